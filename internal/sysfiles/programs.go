package sysfiles

import (
	"path/filepath"
	"strings"
)

// getenv is a variable of the programs.
func (m *maker) getenv(name string) (value string) {
	for _, entry := range m.Environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// installed are the directories above bin in which the PATH finds one of the programs, behind links and before.
func (m *maker) installed(programs ...string) (prefixes []string) {
	for _, dir := range filepath.SplitList(m.getenv("PATH")) {
		for _, program := range programs {
			path := filepath.Join(dir, program)
			if !filepath.IsAbs(path) || !isThere(path) {
				continue
			}
			prefixes = append(prefixes, filepath.Dir(dir))
			if behind, err := filepath.EvalSymlinks(path); err == nil {
				prefixes = append(prefixes, filepath.Dir(filepath.Dir(behind)))
			}
		}
	}
	return prefixes
}

// certifi are globs of the files in which certifi has the authorities that requests, httpx and pip trust.
func (m *maker) certifi() (globs []string) {
	prefixes := []string{m.system("/usr"), m.system("/usr/local")}
	for _, name := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if dir := m.getenv(name); dir != "" {
			prefixes = append(prefixes, dir)
		}
	}
	if home := m.getenv("HOME"); home != "" {
		for _, dir := range []string{".local", ".pyenv/versions/*", ".local/share/pipx/venvs/*",
			".local/share/uv/tools/*"} {
			prefixes = append(prefixes, filepath.Join(home, dir))
		}
	}
	for _, prefix := range append(prefixes, m.installed("python3", "python", "python2")...) {
		for _, dir := range []string{"certifi", "pip/_vendor/certifi"} {
			globs = append(globs, filepath.Join(prefix, "lib*/python*/*-packages", dir, "cacert.pem"))
		}
	}
	return globs
}

// java are globs of the files in which the Java that programs find has its authorities.
func (m *maker) java() (globs []string) {
	homes := m.installed("java")
	if home := m.getenv("JAVA_HOME"); home != "" {
		homes = append(homes, home)
	}
	for _, home := range homes {
		globs = append(globs, filepath.Join(home, "lib/security/cacerts"),
			filepath.Join(home, "jre/lib/security/cacerts"))
	}
	return globs
}
