package testbed

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/internal/proxy"
)

//go:embed hooks
var hookFiles embed.FS

// hooks are what some programs need beside the usual variables, written into the directory of the run;
// it returns the variables that lead there.
//
//   - GNU Wget built with GnuTLS reads no variable that names authorities: it gets a startup file with one more line
//     than the user's own.
//   - PycURL, since libcurl reads none either: hooks/python.
//   - Node, which ignores proxies: hooks/node.cjs.
//
// None of them may stop a program that runs without: each swallows its own errors, and keeps what the user has in
// its place.
func hooks(dir, bundle string, opts Options) ([]string, error) {
	if opts.NoHooks {
		return nil, nil
	}
	rc := getenv(opts.Environ, "WGETRC")
	if rc == "" {
		rc = filepath.Join(getenv(opts.Environ, "HOME"), ".wgetrc")
	}
	lines, _ := os.ReadFile(rc) // there need not be one
	lines = slices.Concat(lines, []byte("\nca_certificate = "+bundle+"\n"))
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(rc); err == nil { // it may hold a password
		mode = info.Mode().Perm()
	}
	wgetrc := filepath.Join(dir, "wgetrc")
	if err := writeAs(wgetrc, lines, mode); err != nil {
		return nil, fmt.Errorf("write a startup file for wget: %w", err)
	}
	if err := writeHooks(dir); err != nil {
		return nil, fmt.Errorf("write the hooks: %w", err)
	}
	python := filepath.Join(dir, "hooks", "python")
	if before := getenv(opts.Environ, "PYTHONPATH"); before != "" {
		python += string(os.PathListSeparator) + before
	}
	node := filepath.Join(dir, "hooks", "node.cjs")
	if strings.ContainsAny(node, " \t\"\\") { // Node knows quotes in NODE_OPTIONS since version 12
		node = strconv.Quote(node)
	}
	node = "--require " + node
	if before := getenv(opts.Environ, "NODE_OPTIONS"); before != "" {
		node = before + " " + node
	}
	return []string{
		"WGETRC=" + wgetrc,
		"PYTHONPATH=" + python,
		"NODE_OPTIONS=" + node,
		"NODE_USE_ENV_PROXY=1",
		"UPGRADEMOCK_HOSTS=" + strings.Join(append([]string{proxy.Production}, opts.Hosts...), ","),
	}, nil
}

// writeHooks writes the files of hooks below dir, readable by all users: a program may change its user.
func writeHooks(dir string) error {
	return fs.WalkDir(hookFiles, "hooks", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if entry.IsDir() {
			return errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, 0o755))
		}
		data, err := hookFiles.ReadFile(name)
		if err != nil {
			return err
		}
		return writeAs(path, data, 0o644)
	})
}

// writeAs writes a new file with that mode, whatever the umask is.
func writeAs(path string, data []byte, mode fs.FileMode) error {
	return errors.Join(os.WriteFile(path, data, 0o600), os.Chmod(path, mode))
}
