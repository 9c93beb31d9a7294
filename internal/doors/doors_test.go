// Package doors holds the project's doors shut: which package must not know of which, and why. It is a test and
// nothing else.
//
// Three readings of the wire contract stand beside each other on purpose, the emulator that writes it, the client
// that reads it and the suite that judges it: shared types would make a misspelt key right three times.
package doors

import (
	"errors"
	"go/build"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/upgrademock/upgrademock"

// A door leads from a package of ours, and all below it when it ends in "/...", to what it must not import. A
// target of ours must not be reached through other packages of ours either; of others, only the import itself is
// forbidden.
type door struct {
	from string
	to   []string // ours without the module's name; "ours" is every package of ours, save what but names
	but  []string
	why  string
}

var doors = []door{
	{"fixtures", []string{"ours"}, nil, "fixtures are data, and depend on no package that is tested with them"},
	{"client/...", []string{"ours"}, []string{"internal/claim", "internal/safefile", "internal/sftpwire",
		"client/internal/transfer", "client/internal/rsync", "internal/version"},
		"the client is for production, and reads the contract for itself"},
	{"client/internal/rsync", []string{"ours", "net", "net/http", "golang.org/x/crypto/ssh"},
		[]string{"client/internal/transfer", "internal/sftpwire"},
		"rsync is spoken over a channel that is open, and apart from the emulator's own"},
	{"client/internal/transfer", []string{"ours", "net", "net/http"}, []string{"internal/sftpwire"},
		"a transfer moves bytes over a channel that is open"},
	{"internal/claim", []string{"ours"}, nil, "files are files, whatever is in them"},
	{"cmd/odoo-upgrade/...", []string{"mockserver/...", "conformance/...", "sftpserver/...", "fixtures"}, nil,
		"the client's command is for production"},
	{"conformance/...", []string{"ours"}, []string{"fixtures", "internal/version", "internal/disguise"},
		"the suite judges any server with its own eyes: a bug shared with what it judges would hide"},
	{"internal/sftpwire", []string{"ours", "net", "github.com/pkg/sftp"}, nil,
		"packets are bytes, independent of the program that sends them"},
	{"sftpserver/...", []string{"ours"}, []string{"internal/sshhost", "internal/throttle", "internal/drain",
		"internal/sftpwire"}, "the SFTP host knows neither HTTP nor requests; it asks its Shares"},
	{"internal/sshhost", []string{"ours"}, []string{"internal/throttle", "internal/drain"},
		"the SSH host knows logins and sessions, not what they are for"},
	{"internal/sshhost", []string{"net/http", "github.com/pkg/sftp"}, nil,
		"the SSH host knows logins and sessions, not what they are for"},
	{"sftpserver/...", []string{"net/http", "github.com/gorilla/mux"}, nil, "the SFTP host knows no HTTP"},
	{"internal/rsync", []string{"ours", "net", "net/http", "golang.org/x/crypto/ssh", "github.com/gliderlabs/ssh"}, nil,
		"rsync is spoken over any stream, and knows neither SSH nor requests"},
	{"internal/bytesize", []string{"ours"}, []string{"internal/spelling"}, "a size is a size, whatever has it"},
	{"internal/tty", []string{"ours"}, nil, "a terminal is a terminal, whatever it shows"},
	{"internal/helptext", []string{"ours"}, []string{"internal/spelling", "internal/tty"},
		"help is fitted into the terminal, whatever it says"},
	{"internal/version", []string{"ours"}, nil, "a program has its version, whatever it does"},
	{"internal/manual", []string{"ours"}, nil, "a program has a manual, whatever it does"},
	{"internal/reference", []string{"ours"}, nil, "a page is made of what it is given"},
	{"internal/clientenv", []string{"ours"}, nil, "variables are text, whoever sets them"},
	{"internal/shard", []string{"ours"}, nil, "a list is divided, whatever is in it"},
	{"internal/spelling", []string{"ours"}, nil, "words are compared, independent of their use"},
	{"mockserver/scenario", []string{"ours"}, []string{"fixtures", "internal/spelling",
		"internal/bytesize", "internal/safefile"},
		"scripts are data: read, parsed, validated, matched; those that come with the emulator are among the fixtures"},
	{"mockserver/scenario", []string{"os/exec", "net", "sync", "math/rand", "math/rand/v2", "crypto/rand"}, nil,
		"a script decides by what it is given: no network, no goroutines, no chance"},
	{"mockserver/internal/machine", []string{"ours"}, []string{"mockserver/scenario", "fixtures",
		"internal/spelling", "internal/bytesize", "internal/safefile"},
		"the state of a request is a pure function of its script, the clock and the calls so far"},
	{"mockserver/internal/machine", []string{"os", "net", "sync", "math/rand", "math/rand/v2", "crypto/rand"}, nil,
		"the machine decides by what it is given: no file, no network, no goroutines, no chance"},
	{"mockserver/internal/platform", []string{"ours"}, []string{"mockserver/scenario", "fixtures",
		"internal/spelling", "internal/bytesize", "mockserver/internal/machine", "internal/dump/...", "internal/safefile",
		"mockserver/internal/datadir", "mockserver/internal/boltfile", "mockserver/internal/sshkeys"},
		"requests, states and dumps are all that the platform is"},
	{"mockserver/internal/platform", []string{"net", "net/http", "github.com/gorilla/mux",
		"golang.org/x/crypto/ssh", "github.com/gliderlabs/ssh", "github.com/pkg/sftp"}, nil,
		"the platform knows neither HTTP nor SSH"},
	{"mockserver/journal", []string{"ours", "net/http"}, nil, "events are plain data, for readers of any kind"},
	{"mockserver/internal/skip", []string{"ours", "net", "net/http"}, nil,
		"who waits is seen by the order of calls, whatever they are"},
	{"mockserver/internal/eventlog", []string{"ours"}, []string{"mockserver/journal"},
		"the log holds events, whatever they are about"},
	{"mockserver/internal/eventlog", []string{"net/http"}, nil, "the log holds events, and serves nothing"},
	{"mockserver/internal/api/...", []string{"sftpserver/...", "mockserver/internal/control",
		"mockserver/internal/verify"}, nil,
		"an emulated API writes answers from the platform, and knows no SFTP server"},
	{"mockserver/internal/api", []string{"mockserver/internal/api/database", "mockserver/internal/api/script"}, nil,
		"what all APIs share is no API's"},
	{"mockserver/internal/api/script", []string{"mockserver/internal/api/database", "internal/sshhost",
		"internal/rsync", "mockserver/internal/transfer"}, nil,
		"the script API answers calls; the server connects it with what opens transfers"},
	{"mockserver/internal/api/database", []string{"mockserver/internal/api/script"}, nil, "one API knows no other"},
	{"mockserver/internal/transfer", []string{"ours"}, []string{"internal/sshhost", "internal/throttle", "internal/drain",
		"internal/rsync/...", "internal/bytesize", "internal/spelling", "internal/safefile", "internal/dump/...", "fixtures",
		"mockserver/journal", "mockserver/scenario", "mockserver/internal/platform", "mockserver/internal/machine",
		"mockserver/internal/scripts", "mockserver/internal/sshkeys", "mockserver/internal/datadir",
		"mockserver/internal/boltfile"},
		"a transfer is a login and a run of rsync on the platform's files, whoever has asked for it"},
	{"mockserver/internal/transfer", []string{"net/http"}, nil, "what starts a transfer is an API's business"},
	{"mockserver/internal/scripts", []string{"net/http", "sftpserver/..."}, nil,
		"a scenario is chosen and counted, whatever call it is for"},
	{"mockserver/internal/redact", []string{"ours", "net", "net/http"}, nil,
		"a text is a text, wherever it came from"},
	{"mockserver/internal/sshkeys", []string{"ours", "net", "net/http"}, nil,
		"a text is a text, wherever it came from"},
	{"mockserver/internal/httpconn", []string{"ours", "net/http"}, nil,
		"connections are bytes: what is said over them is others' business"},
	{"mockserver/internal/verify", []string{"mockserver/internal/platform", "sftpserver/...", "net/http"}, nil,
		"a verdict is a function of script and journal"},
	{"mockserver/...", []string{"client/...", "conformance/...", "cmd/..."}, nil,
		"the emulator writes the contract by itself"},
	{"internal/testbed", []string{"client/...", "conformance/...", "cmd/..."}, nil, "a test bed is for any client"},
	{"internal/certify", []string{"client/...", "conformance/...", "cmd/..."}, nil,
		"a client is judged by what the emulator saw, ours as any other"},
	{"internal/capsule", []string{"ours", "net", "net/http"}, []string{"mockserver/scenario", "mockserver/journal",
		"fixtures", "internal/dump/...", "internal/safefile", "internal/bytesize", "internal/spelling", "internal/version"},
		"a capsule is a file, whoever makes it: the emulator makes one of itself"},
	{"internal/replay", []string{"conformance/...", "cmd/..."}, nil, "what happened is played again on an emulator"},
	{"internal/disguise", []string{"ours"}, nil, "a key is disguised, whatever records it"},
	{"internal/recording", []string{"mockserver", "client/...", "conformance/...", "cmd/..."}, nil,
		"a recording is read whoever has made it"},
	{"internal/retrace", []string{"ours"}, []string{"mockserver/scenario", "mockserver/journal", "fixtures",
		"internal/spelling", "internal/bytesize", "internal/safefile", "internal/version"},
		"a scenario is made of what was seen, whoever saw it"},
	{"internal/retrace", []string{"os", "net", "sync", "math/rand", "math/rand/v2", "crypto/rand"}, nil,
		"what was seen makes the same scenario every time: no file, no network, no chance"},
	{"internal/child", []string{"ours"}, nil, "a child process is a child process"},
	{"internal/isolate", []string{"ours"}, nil, "a machine is a machine, whatever listens there"},
	{"internal/sysfiles", []string{"ours"}, []string{"internal/isolate", "internal/clientenv"},
		"the system's files are files, whatever the names in them lead to"},
	{"internal/proxy", []string{"ours"}, []string{"internal/localca", "internal/safefile"},
		"the proxy leads to a given server, and shows certificates of the authority"},
	{"internal/drain", []string{"ours", "net/http"}, nil, "a connection is drained whatever was said over it"},
	{"internal/throttle", []string{"ours", "net", "net/http"}, nil,
		"a throttle counts bytes, whatever they are part of"},
	{"internal/postgres", []string{"ours"}, nil, "a database server has nothing of ours in it"},
	{"internal/testprog", []string{"ours"}, []string{"internal/postgres"}, "tests of every package use it"},
	{"internal/dump/...", []string{"ours"}, []string{"internal/dump/..."},
		"dumps are files, independent of the way on which they came"},
	{"mockserver/internal/datadir", []string{"ours"}, []string{"internal/safefile", "mockserver/internal/boltfile"},
		"a data directory is files, whatever they are for"},
	{"mockserver/internal/boltfile", []string{"ours", "go.etcd.io/bbolt"}, nil,
		"a database is checked before what opens it is trusted"},
	{"internal/safefile", []string{"ours"}, nil, "files are files"},
	{"internal/localca", []string{"ours"}, []string{"internal/safefile"},
		"an authority signs certificates, independent of their use"},
	{"conformance/internal/raw", []string{"ours"}, nil, "HTTP, SSH and SFTP are spoken whatever is said over them"},
	{"conformance/internal/rsync", []string{"ours", "net", "net/http", "golang.org/x/crypto/ssh"},
		[]string{"conformance/internal/raw"}, "rsync is spoken over a stream that is open, and read by the judge alone"},
	{"conformance/internal/refserver", []string{"ours"}, nil,
		"a second server, so that the suite is not fitted to the emulator"},
	{"conformance", []string{"testing"}, nil, "the suite is a library for programs; conformancetest is for tests"},
	{"internal/apidoc", []string{"ours"}, nil, "any package's tests may use it"},
	{"...", []string{"html/template", "text/template", "github.com/prometheus/client_golang/prometheus"}, nil,
		"a template calls methods by their names, so that all methods of all types are linked; with Prometheus' own " +
			"library comes protobuf: a fifth of the emulator each"},
	{"...", []string{"internal/apidoc", "internal/testprog", "internal/testclient", "mockserver/mockservertest",
		"conformance/conformancetest", "conformance/internal/refserver"}, []string{},
		"what is for tests is imported by tests alone"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

// list is every package of ours with what it imports, tests left out. It reads the files itself, so that the go
// tool knows what a result that it remembers depends on.
func list(t *testing.T) map[string]pkg {
	t.Helper()
	packages := make(map[string]pkg)
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); dir != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
			name == "testdata") {
			return fs.SkipDir
		}
		p, err := build.ImportDir(dir, 0)
		if _, none := errors.AsType[*build.NoGoError](err); none {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, dir)
		importPath := path.Join(module, filepath.ToSlash(rel))
		packages[importPath] = pkg{importPath, p.Imports}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

// matches reports whether a package, by its import path, is what a door says.
func matches(pattern, importPath string) bool {
	if pattern == "ours" {
		pattern = "..."
	}
	prefix, all := strings.CutSuffix(pattern, "...")
	for _, full := range []string{path.Join(module, prefix), strings.TrimSuffix(prefix, "/")} {
		if importPath == full || all && strings.HasPrefix(importPath, full+"/") && full != "" {
			return true
		}
	}
	return false
}

// reached is every package of ours that p imports, by whatever way, with the way; and what p itself imports of others.
func reached(packages map[string]pkg, p pkg) map[string][]string {
	ways := make(map[string][]string)
	for _, i := range p.Imports {
		ways[i] = []string{p.ImportPath, i}
	}
	queue := slices.Clone(p.Imports)
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		ours, ok := packages[next]
		if !ok {
			continue
		}
		for _, i := range ours.Imports {
			if _, seen := ways[i]; !seen && packages[i].ImportPath != "" {
				ways[i] = append(slices.Clone(ways[next]), i)
				queue = append(queue, i)
			}
		}
	}
	return ways
}

func TestDoors(t *testing.T) {
	t.Parallel()
	packages := list(t)
	for _, d := range doors {
		used := false
		for _, p := range packages {
			if !matches(d.from, p.ImportPath) {
				continue
			}
			used = true
			for target, way := range reached(packages, p) {
				forbidden := slices.ContainsFunc(d.to, func(to string) bool {
					return matches(to, target) && (to != "ours" || packages[target].ImportPath != "")
				})
				allowed := slices.ContainsFunc(d.but, func(but string) bool { return matches(but, target) })
				inside := matches(d.from, target) && d.from != "..." // packages of the same pattern may use each other
				if forbidden && !allowed && !inside {
					t.Errorf("%s must not import %s (%s); it does: %s", d.from, strings.TrimPrefix(target,
						module+"/"), d.why,
						strings.ReplaceAll(strings.Join(way, " → "), module+"/", ""))
				}
			}
		}
		if !used {
			t.Errorf("the door of %s leads from nowhere: no such package", d.from)
		}
	}
}

// The test's own eyes: it sees what it is to see.
func TestDoors_seeThrough(t *testing.T) {
	t.Parallel()
	packages := map[string]pkg{
		module + "/a":   {module + "/a", []string{module + "/b", "fmt"}},
		module + "/b":   {module + "/b", []string{module + "/c/d", "net/http"}},
		module + "/c/d": {module + "/c/d", nil},
	}
	ways := reached(packages, packages[module+"/a"])
	if got := strings.Join(ways[module+"/c/d"], " "); got != module+"/a "+module+"/b "+module+"/c/d" {
		t.Errorf("the way to c/d: %q", got)
	}
	if _, ok := ways["net/http"]; ok {
		t.Error("what others import of others is no import of ours")
	}
	for _, tc := range []struct {
		pattern, path string
		want          bool
	}{
		{"a", module + "/a", true}, {"a", module + "/ab", false}, {"a", module + "/a/b", false}, {"a/...",
			module + "/a/b", true},
		{"a/...", module + "/a", true}, {"a/...", module + "/ab", false}, {"net/http", "net/http", true}, {"net",
			"net/http", false},
		{"...", module + "/x", true}, {"ours", module + "/x", true}, {"ours", "fmt", false},
	} {
		if got := matches(tc.pattern, tc.path); got != tc.want {
			t.Errorf("%s and %s: %v", tc.pattern, tc.path, got)
		}
	}
}
