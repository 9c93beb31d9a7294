// Package sysfiles makes the files that programs in a space of package isolate see in the place of the system's: where
// names lead, and which authorities are trusted. Programs that read neither variables nor options read these.
package sysfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/isolate"
)

// Options say what programs are to see. Dir, Authority and Bundle are required.
type Options struct {
	Dir       string   // where the files are made: a directory that is there and empty
	Names     []string // the names that lead to 127.0.0.1
	Authority []byte   // the certificate of the emulator's authority, as PEM
	Bundle    string   // the path of a file with that authority and those of the system
	Environ   []string // of the programs
	// Foreign says that root's files are not root's for the programs, since they are in a space of somebody else.
	Foreign bool
	// Root is the directory under which the system's files are; "" is /. It is for tests.
	Root string
}

// maker collects what is to be put in the place of what.
type maker struct {
	Options
	mounts []isolate.Mount
}

// Make makes the files, and returns what is to be put in the place of what, in this order.
func Make(opts Options) ([]isolate.Mount, error) {
	m := &maker{Options: opts}
	for _, make := range []func() error{m.names, m.authorities, m.ssh} {
		if err := make(); err != nil {
			return nil, fmt.Errorf("sysfiles: %w", err)
		}
	}
	return m.mounts, nil
}

// system is where a file of the system is.
func (m *maker) system(path string) string { return filepath.Join(m.Root, path) }

// isThere reports whether a file of the system is there that programs can see.
func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// replace makes a file, and puts it in the place of the system's, if that has one.
func (m *maker) replace(path string, data []byte) error {
	if !isThere(m.system(path)) {
		return nil
	}
	made := filepath.Join(m.Dir, strings.ReplaceAll(strings.Trim(path, "/"), "/", "_"))
	if err := errors.Join(os.WriteFile(made, data, 0o600), os.Chmod(made, 0o644)); err != nil {
		return err
	}
	m.put(made, m.system(path))
	return nil
}

// put puts a file or directory in the place of another one that is there.
func (m *maker) put(source, target string) {
	m.mounts = append(m.mounts, isolate.Mount{Source: source, Target: target})
}

// names makes the files that say where names lead.
func (m *maker) names() error {
	hosts, err := os.ReadFile(m.system("/etc/hosts"))
	if err != nil {
		return fmt.Errorf("%w: names are led elsewhere by a file in its place", err)
	}
	services, err := os.ReadFile(m.system("/etc/nsswitch.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // musl has none
		return err
	}
	for _, file := range []struct {
		path string
		data []byte
	}{
		{"/etc/hosts", Hosts(hosts, m.Names)},
		{"/etc/nsswitch.conf", nsswitch(services)},
		{"/etc/resolv.conf", []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")},
	} {
		if err := m.replace(file.path, file.data); err != nil {
			return err
		}
	}
	// A daemon that looks names up for others does so outside.
	for _, dir := range []string{"/run/nscd", "/var/run/nscd"} {
		if isThere(m.system(dir)) {
			empty := filepath.Join(m.Dir, "nscd")
			if err := os.MkdirAll(empty, 0o755); err != nil {
				return err
			}
			m.put(empty, m.system(dir))
		}
	}
	return nil
}

// Hosts is a hosts file (hosts(5)) in which the names lead to 127.0.0.1, and all others where they led, and localhost
// to loopback.
func Hosts(before []byte, names []string) []byte {
	var b strings.Builder
	if len(names) > 0 {
		b.WriteString("127.0.0.1\t" + strings.Join(names, " ") + "\n")
	}
	local := false
	for line := range strings.Lines(string(before)) {
		text, _, _ := strings.Cut(line, "#")
		fields := strings.Fields(text)
		if len(fields) < 2 {
			continue
		}
		kept := slices.DeleteFunc(fields[1:], func(name string) bool {
			return slices.ContainsFunc(names, func(ours string) bool { return strings.EqualFold(ours, name) })
		})
		if len(kept) > 0 {
			b.WriteString(fields[0] + "\t" + strings.Join(kept, " ") + "\n")
			local = local || slices.Contains(kept, "localhost")
		}
	}
	if !local {
		b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost\n")
	}
	return []byte(b.String())
}

// nsswitch is a file nsswitch.conf(5) in which hosts are found in files and by DNS alone: other services ask daemons
// that are outside.
func nsswitch(before []byte) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(before)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "hosts:") {
			b.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	b.WriteString("hosts: files dns\n")
	return []byte(b.String())
}
