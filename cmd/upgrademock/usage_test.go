package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	testscript.Run(t, scripts("testdata/usage"))
}

// TestUsage_addressTaken checks that the message about a taken address names the flag to change.
func TestUsage_addressTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	addr := taken.Addr().String()
	for _, flag := range []string{"http", "https", "sftp", "control", "proxy"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"serve", "exec"} {
				if command == "exec" && flag == "proxy" {
					continue // its proxy takes a free port
				}
				args := []string{command, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--sftp",
					"127.0.0.1:0", "--" + flag, addr}
				if command == "exec" {
					args = append(args, "--", "true")
				}
				cmd := exec.CommandContext(t.Context(), "upgrademock", args...)
				cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TMPDIR="+t.TempDir())
				out, err := cmd.CombinedOutput()
				want := fmt.Sprintf(
					"--%s %s: address already in use by another program; choose another address, or port 0 for a free one\n", flag,
					addr)
				exit, _ := errors.AsType[*exec.ExitError](err)
				if exit == nil || exit.ExitCode() != 1 || !strings.HasSuffix(string(out), want) {
					t.Errorf("%s: %v\n%s\nwant exit status 1 and %s", command, err, out, want)
				}
			}
		})
	}
}
