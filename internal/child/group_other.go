//go:build !unix

package child

import (
	"context"
	"os"
	"os/exec"
	"syscall"
)

// group is a program alone: this system has no process groups.
type group struct{ cmd *exec.Cmd }

func newGroup(cmd *exec.Cmd, _ bool) *group { return &group{cmd} }

func (g *group) close() {}

func (g *group) watch(ctx context.Context, signals <-chan os.Signal, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case sig := <-signals:
			g.cmd.Process.Signal(sig)
		case <-ctx.Done():
			g.cmd.Process.Kill()
			<-ended
			return
		}
	}
}

func (g *group) awaitEnd() { g.cmd.Wait() }

func (g *group) finish(string) {}

func status(state *os.ProcessState) (int, syscall.Signal) { return state.ExitCode(), 0 }
