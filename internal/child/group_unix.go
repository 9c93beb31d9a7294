//go:build unix

package child

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// group is the process group of a program, which is its leader.
type group struct {
	cmd *exec.Cmd
	tty *os.File // our terminal, if the group has it; nil otherwise
}

// newGroup prepares cmd to be started as the leader of a group.
func newGroup(cmd *exec.Cmd, terminal bool) *group {
	g := &group{cmd: cmd}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	adopt(cmd.SysProcAttr)
	if !terminal {
		return g
	}
	// Not standard input, which may be a file while the program asks for a password on the terminal.
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return g
	}
	if fore, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP); err != nil || fore != unix.Getpgrp() {
		tty.Close()
		return g
	}
	g.tty = tty
	cmd.SysProcAttr.Foreground = true
	cmd.SysProcAttr.Ctty = int(tty.Fd())
	return g
}

func (g *group) close() {
	if g.tty != nil {
		g.foreground(unix.Getpgrp())
		g.tty.Close()
	}
}

// foreground gives the terminal to a process group.
func (g *group) foreground(pgrp int) {
	// Whoever does that in the background is stopped, unless it does not listen to the signal.
	signal.Ignore(syscall.SIGTTOU)
	defer signal.Reset(syscall.SIGTTOU)
	unix.IoctlSetPointerInt(int(g.tty.Fd()), unix.TIOCSPGRP, pgrp)
}

func (g *group) pid() int { return g.cmd.Process.Pid }

// kill sends a signal to all of the group.
func (g *group) kill(sig syscall.Signal) error { return unix.Kill(-g.pid(), sig) }

// watch passes signals on, and ends the group when ctx ends, until the program has ended. It returns before the program is
// reaped, so that its number cannot be another's.
func (g *group) watch(ctx context.Context, signals <-chan os.Signal, ended <-chan struct{}) {
	cancelled := ctx.Done()
	var patience <-chan time.Time
	for {
		select {
		case <-ended:
			return
		case sig := <-signals:
			g.pass(sig)
		case <-cancelled:
			cancelled = nil
			g.kill(syscall.SIGTERM)
			g.kill(syscall.SIGCONT)
			timer := time.NewTimer(Grace)
			defer timer.Stop()
			patience = timer.C
		case <-patience:
			patience = nil
			g.kill(syscall.SIGKILL)
		}
	}
}

// pass gives the signals that a terminal sends to the whole group to the whole group, and others to the program alone.
func (g *group) pass(sig os.Signal) {
	number, ok := sig.(syscall.Signal)
	if !ok {
		return
	}
	switch number {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP:
		g.kill(number)
	default:
		unix.Kill(g.pid(), number)
	}
}

// finish ends what the program left running, and reaps the program. A process that cannot be killed is given up.
func (g *group) finish(mark string) {
	g.kill(syscall.SIGTERM) // while the unreaped program keeps the group's number ours
	g.kill(syscall.SIGCONT)
	g.cmd.Wait()
	asked := map[int]bool{}
	began := time.Now()
	for {
		reap(-g.pid())
		dying := false // one that is about to end has no environment any more
		for pid := range asked {
			reap(pid)
			dying = dying || unix.Kill(pid, 0) == nil
		}
		inGroup := g.kill(0) == nil
		others := marked(mark)
		waited := time.Since(began)
		if !inGroup && !dying && len(others) == 0 || waited > 2*Grace {
			return
		}
		sig := syscall.SIGTERM
		if waited > Grace {
			sig = syscall.SIGKILL
			g.kill(sig)
		}
		for _, pid := range others {
			if !asked[pid] || sig == syscall.SIGKILL {
				asked[pid] = true
				unix.Kill(pid, sig)
			}
		}
		time.Sleep(2 * time.Millisecond) // nobody tells us when they end
	}
}

func status(state *os.ProcessState) (int, syscall.Signal) {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return statusSignal + int(ws.Signal()), ws.Signal()
	}
	return state.ExitCode(), 0
}
