// Package testprog finds the external programs that tests drive, and says how many of them to run.
//
// On a developer's machine a missing program skips the test with a message that says what to install.
// In CI (CI=true) the same is a failure: a check that silently did not run is worth nothing.
//
// With -short a test that needs a program is skipped: what runs then needs nothing but Go. Under the race detector it
// runs all the same, since programs are what drives the server there.
package testprog

import (
	"bytes"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Need returns the path of the program name, and skips or fails the test where there is none.
// The package is the Debian package to install, for the message.
func Need(tb testing.TB, name, debianPackage string) string {
	tb.Helper()
	leaveOut(tb, name)
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(tb, "program "+name, debianPackage)
	}
	return path
}

// leaveOut skips with -short a test that needs a program.
func leaveOut(tb testing.TB, program string) {
	tb.Helper()
	if testing.Short() && !raceDetector {
		tb.Skipf("-short: tests that run %s are left out", program)
	}
}

// NeedPython returns the path of the system's Python 3 that has the module, and skips or fails the test where there is
// none. Debian's modules belong to Debian's own interpreter, so that one is asked first.
func NeedPython(tb testing.TB, module, debianPackage string) string {
	tb.Helper()
	leaveOut(tb, "python3")
	path := PythonWith(module)
	if path == "" {
		Missing(tb, "Python module "+module, debianPackage)
	}
	return path
}

// pythons has the interpreter for each module that was looked for, "" where there is none.
var pythons = struct {
	sync.Mutex
	of map[string]string
}{of: make(map[string]string)}

// PythonWith returns the path of the system's Python 3 that has the module, and "" where there is none. The module is
// not imported, which costs a good part of a second for some.
func PythonWith(module string) string {
	pythons.Lock()
	defer pythons.Unlock()
	if path, known := pythons.of[module]; known {
		return path
	}
	pythons.of[module] = ""
	const find = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		path, err := exec.LookPath(python)
		if err == nil && exec.Command(path, "-c", find, module).Run() == nil {
			pythons.of[module] = path
			break
		}
	}
	return pythons.of[module]
}

// UsePython puts the directory of the Python 3 that the PATH leads to first in the PATH of this process where "python3"
// is a script that looks for it, as with pyenv, which takes longer than Python's own start.
func UsePython() {
	path, err := exec.LookPath("python3")
	if err != nil {
		return
	}
	if content, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(content, []byte("#!")) {
		return
	}
	if python, err := exec.Command(path, "-c", "import sys; print(sys.executable)").Output(); err == nil {
		dir := filepath.Dir(strings.TrimSpace(string(python)))
		os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	}
}

// Sample reports whether a test that runs many programs should run a representative sample of them: with -short, and
// under the race detector, which slows everything down and sees this process only, not those programs.
func Sample() bool { return testing.Short() || raceDetector }

// OneIn skips, with -short, all but one in n of the cases of a long table, which call it: always the same ones, since
// their names choose.
func OneIn(tb testing.TB, n uint32) {
	tb.Helper()
	name := fnv.New32a()
	name.Write([]byte(tb.Name()))
	if testing.Short() && name.Sum32()%n != 0 {
		tb.Skipf("-short: one case in %d is enough", n)
	}
}

// Missing skips the test, or fails it in CI, because what it needs is not there.
func Missing(tb testing.TB, what, debianPackage string) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf("%s is missing and CI=true: install the package %s in .ci/run", what, debianPackage)
	}
	tb.Skipf("%s is missing: apt-get install %s", what, debianPackage)
}

// Refused skips the test, also in CI, because the kernel, or the container around it, refuses what it needs: no package
// that is installed would help.
func Refused(tb testing.TB, why error) {
	tb.Helper()
	tb.Skipf("not on this machine: %v", why)
}

// Rsyncs returns the rsync clients to run a test with: the system's under the name "rsync", and under "old" the one
// that the environment variable OLD_RSYNC names, if it is set, but for a [Sample]. Clients differ in what they accept
// of a server.
func Rsyncs(tb testing.TB) map[string]string {
	tb.Helper()
	clients := map[string]string{"rsync": Need(tb, "rsync", "rsync")}
	if old := os.Getenv("OLD_RSYNC"); old != "" && !Sample() {
		clients["old"] = old
	}
	return clients
}
