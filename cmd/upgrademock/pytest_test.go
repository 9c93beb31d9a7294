//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// TestPytestPlugin runs the tests of the package in python, against this program.
func TestPytestPlugin(t *testing.T) {
	t.Parallel()
	python := testprog.NeedPython(t, "pytest", "python3-pytest")
	for _, module := range []string{"requests", "httpx", "aiohttp", "paramiko"} { // urllib3 comes with requests
		testprog.NeedPython(t, module, "python3-"+module)
	}
	program, err := exec.LookPath("upgrademock")
	if err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs("../../python/src")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	args := []string{"-m", "pytest", "-q", "-p", "no:cacheprovider",
		"--basetemp", filepath.Join(home, "pytest"), "-W", "error::DeprecationWarning:pytest_upgrademock"}
	if testing.Short() {
		args = append(args, "tests/test_reach.py")
	}
	cmd := exec.CommandContext(t.Context(), python, args...)
	cmd.Dir = filepath.Dir(source)
	cmd.Env = append(os.Environ(), "UPGRADEMOCK_BIN="+program, "PYTHONPATH="+source, "PYTHONDONTWRITEBYTECODE=1",
		"PYTEST_PLUGINS=pytest_upgrademock.plugin", "PYTEST_ADDOPTS=", "HOME="+home, "XDG_CACHE_HOME="+home, "TMPDIR="+home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
