//go:build !unix

package child

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// group is a program alone: this system has no process groups.
type group struct{ cmd *exec.Cmd }

func newGroup(cmd *exec.Cmd, _ bool) *group { return &group{cmd} }

func (g *group) close() {}

// watch passes signals on, and kills the program when ctx ends.
func (g *group) watch(ctx context.Context, c *Command, ended <-chan struct{}) (interrupted bool) {
	for {
		select {
		case <-ended:
			return false
		case sig := <-c.Signals:
			g.cmd.Process.Signal(sig)
		case <-ctx.Done():
			g.cmd.Process.Kill()
			<-ended
			return true
		}
	}
}

func (g *group) awaitEnd() bool {
	g.cmd.Wait()
	return true
}

// finish does nothing: what the program left running is not known here.
func (g *group) finish(context.Context, *Command, time.Duration) []string { return nil }

func status(state *os.ProcessState) (int, syscall.Signal) { return state.ExitCode(), 0 }
