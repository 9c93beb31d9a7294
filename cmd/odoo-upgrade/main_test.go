package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// childVariable makes the test binary be the command, for tests that must kill it.
const childVariable = "ODOO_UPGRADE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "":
	case "tune":
		printTuning()
		os.Exit(0)
	default:
		limitFiles()
		os.Exit(Main())
	}
	testscript.Main(testprog.Leakless{M: m}, map[string]func(){"odoo-upgrade": main})
}

// ran is what a run of the command left.
type ran struct {
	code           int
	stdout, stderr string
}

// command runs the command in this process, with env as its environment and no terminal.
func command(tb testing.TB, env map[string]string, stdin string, args ...string) ran {
	tb.Helper()
	var out, errs bytes.Buffer
	code := execute(tb.Context(), args, environment{
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs,
		getenv: func(name string) string { return env[name] },
	})
	return ran{code, out.String(), errs.String()}
}

// noise writes n bytes that repeat nowhere into a file.
func noise(tb testing.TB, dir, name string, n int) string {
	tb.Helper()
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(b)
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// files returns what is in a folder, with everything that shows whether it was touched: kind and mode, which file it
// is, contents.
func files(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		info, err := os.Lstat(name)
		if err != nil {
			tb.Fatal(err)
		}
		text := info.Mode().String() + inode(info)
		switch {
		case info.Mode().IsRegular():
			raw, err := os.ReadFile(name)
			if err != nil {
				tb.Fatal(err)
			}
			text += fmt.Sprintf(" %d bytes %x", len(raw), sha256.Sum256(raw))
		case info.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(name)
			text += " -> " + to
		}
		out[e.Name()] = text
	}
	return out
}

func sameFiles(tb testing.TB, a, b string) bool {
	tb.Helper()
	x, err1 := os.ReadFile(a)
	y, err2 := os.ReadFile(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// quiet swallows what a test server says about connections that tests break on purpose.
var quiet = log.New(io.Discard, "", 0)
