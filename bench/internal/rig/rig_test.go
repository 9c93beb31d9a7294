//go:build linux

package rig_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sh runs a script until it has written "there", and kills it at the end.
func sh(t *testing.T, script string) *rig.Process {
	t.Helper()
	p, err := rig.Start(exec.Command("/bin/sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := rig.Await(p, func() bool { return strings.Contains(p.Output(), "there") }); err != nil {
		t.Fatal(err)
	}
	return p
}

// A process is measured with what is below it, also when that has ended.
func TestProcess(t *testing.T) {
	t.Parallel()
	p := sh(t, `sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; sh -c 'echo there; sleep 60' & wait`)
	if cpu := p.CPU(); cpu < 20*time.Millisecond || cpu > time.Minute {
		t.Errorf("a loop of a child that has ended took %v of processor time", cpu)
	}
	if memory, self := p.Memory(), os.Getpagesize(); memory < int64(self) || p.Peak() < memory {
		t.Errorf("%d bytes of memory, at most %d", memory, p.Peak())
	}
	if n, err := p.Files(); err != nil || n < 3 {
		t.Errorf("%d open files, %v", n, err)
	}
}

// What a child has taken is never missing, not even in the instant in which it ends.
func TestProcess_CPUOnlyGrows(t *testing.T) {
	t.Parallel()
	p := sh(t, `echo there; while :; do sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; done`)
	enough := time.Second
	if testing.Short() {
		enough /= 10
	}
	for last := time.Duration(0); last < enough; {
		cpu := p.CPU()
		if cpu < last {
			t.Fatalf("%v of processor time after %v", cpu, last)
		}
		last = cpu
	}
}

// Stop waits for an orderly end, and says how it was.
func TestProcess_Stop(t *testing.T) {
	t.Parallel()
	p := sh(t, `trap 'exit 0' TERM; echo there; while :; do sleep 0.01; done`)
	if err := p.Stop(); err != nil {
		t.Errorf("an orderly end: %v", err)
	}
	p = sh(t, `trap 'exit 3' TERM; echo there; while :; do sleep 0.01; done`)
	var exit *exec.ExitError
	if err := p.Stop(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("an end with status 3: %v", err)
	}
}

// A server that ends before it serves is an error that shows what it said.
func TestAwait_ended(t *testing.T) {
	t.Parallel()
	p, err := rig.Start(exec.Command("/bin/sh", "-c", "echo 'address in use' >&2; exit 1"))
	if err != nil {
		t.Fatal(err)
	}
	err = rig.Await(p, func() bool { return false })
	if !errors.Is(err, rig.ErrEnded) || !strings.Contains(err.Error(), "address in use") {
		t.Errorf("got %v", err)
	}
}
