package refserver

import (
	"archive/zip"
	"os"
	"path/filepath"
	"strings"
)

// complete reports whether a dump is there, whole.
func (j *job) complete() bool {
	found, err := os.ReadDir(j.in)
	if err != nil || !j.whole || len(found) == 0 {
		return false
	}
	for _, e := range found {
		if !e.IsDir() {
			continue
		}
		if _, err := os.Lstat(filepath.Join(j.in, e.Name(), "toc.dat")); err != nil {
			return false
		}
	}
	return true
}

// source is the path of the dump that was uploaded, and whether it is a directory.
func (j *job) source() (string, bool) {
	found, _ := os.ReadDir(j.in)
	for _, e := range found {
		if strings.HasPrefix(e.Name(), "origin") {
			return filepath.Join(j.in, e.Name()), e.IsDir()
		}
	}
	return "", false
}

// dumpName is the name of the upgraded dump.
func (j *job) dumpName() string {
	if _, dir := j.source(); dir {
		return "upgraded.dump"
	}
	return "upgraded.zip"
}

// results makes the results of the upgrade: the dump as it was sent, in the form for the results, and what comes with
// it. Otherwise is a server that upgrades for real, whose dump is another one, and that found files in it.
func (j *job) results(otherwise bool) error {
	from, dir := j.source()
	to := filepath.Join(j.out, j.dumpName())
	files := map[string]string{
		filepath.Join(j.out, "upgrade.log"):         j.log(),
		filepath.Join(j.out, "upgrade-report.html"): "<!DOCTYPE html>\n<title>Upgrade to " + j.target + "</title>\n",
	}
	if otherwise && dir {
		files[filepath.Join(j.out, "filestore", "ab", "abcdef")] = "a file"
		files[filepath.Join(to, "9999.dat")] = "\\.\n\n"
	}
	if dir {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			return err
		}
	} else if err := zipped(to, from); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// zipped writes an archive of what a dump becomes.
func zipped(to, from string) error {
	dump, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	z := zip.NewWriter(out)
	for name, content := range map[string]string{"dump.sql": string(plainSQL(dump)), "filestore/ab/abcdef": "a file"} {
		w, err := z.Create(name)
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte(content)); err != nil {
			return err
		}
	}
	return z.Close()
}

// empty removes what is in a directory.
func empty(dir string) error {
	found, err := os.ReadDir(dir)
	for _, e := range found {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return err
}
