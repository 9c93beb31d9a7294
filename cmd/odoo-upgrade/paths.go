package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/claim"
)

// namedFile is a file that a command line names, directly or by naming another.
type namedFile struct {
	what    string // as the user knows it: the flag
	path    string // empty: not given
	open    any    // instead of path: standard input, output, or error
	written bool
}

// same reports whether f and g are one file.
func (f namedFile) same(g namedFile) bool {
	if f.path != "" && g.path != "" {
		return claim.Same(f.path, g.path)
	}
	a, aok := f.info()
	b, bok := g.info()
	return aok && bok && os.SameFile(a, b)
}

func (f namedFile) info() (os.FileInfo, bool) {
	var info os.FileInfo
	var err error
	switch file, ok := f.open.(*os.File); {
	case ok:
		info, err = file.Stat()
	case f.path != "":
		info, err = os.Stat(f.path)
	default:
		return nil, false
	}
	return info, err == nil && info.Mode().IsRegular()
}

// distinct refuses a command line by which one file would have two roles of which at least one is written.
func (a *app) distinct(cmd *cobra.Command, ssh *sshFlags, files ...namedFile) error {
	files = append(files, namedFile{what: "--ca-file", path: a.caFile})
	for _, name := range ssh.keyFiles {
		files = append(files, namedFile{what: "--ssh-key", path: name})
	}
	if hosts, err := ssh.hostKeys(a); err == nil {
		for i, name := range hosts.Files {
			files = append(files, namedFile{what: "--known-hosts", path: name, written: i == 0})
		}
	}
	for _, f := range files {
		if f.written && f.path != "" && f.what != "--known-hosts" {
			files = append(files, namedFile{what: "the lock of " + f.what, path: claim.Name(f.path), written: true})
		}
	}
	stderr := any(a.stderr)
	if w, ok := a.stderr.(*redacted); ok {
		stderr = w.w
	}
	files = append(files, namedFile{what: "standard output", open: a.stdout, written: true},
		namedFile{what: "standard error", open: stderr, written: true})
	for i, f := range files {
		for _, g := range files[:i] {
			if (f.written || g.written) && f.what != g.what && (f.path != "" || g.path != "") && f.same(g) {
				return usagef(cmd, "%s and %s are one file%s: what is written to the one would destroy the other; name two files",
					g.what, f.what, places(g, f))
			}
		}
	}
	return nil
}

func places(f, g namedFile) string {
	switch {
	case f.path == "" || f.path == g.path:
		return " (" + g.path + ")"
	case g.path == "":
		return " (" + f.path + ")"
	}
	return fmt.Sprintf(" (%s, %s)", f.path, g.path)
}
