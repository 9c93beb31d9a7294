//go:build unix

package child

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// group is the process group of a program, which is its leader.
type group struct {
	cmd   *exec.Cmd
	tty   *os.File       // our terminal, if the group has it; nil otherwise
	since uint64         // when the program was started, as process.started
	seen  map[int]uint64 // the processes found so far that the program left running, and when they were started
}

// newGroup prepares cmd to be started as the leader of a group.
func newGroup(cmd *exec.Cmd, terminal bool) *group {
	g := &group{cmd: cmd, seen: map[int]uint64{}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	g.adopt()
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
	g.takeTerminal()
	g.forget()
}

// takeTerminal takes the terminal back from the group. It may be called more than once.
func (g *group) takeTerminal() {
	if g.tty != nil {
		g.foreground(unix.Getpgrp())
		g.tty.Close()
		g.tty = nil
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

// watch passes signals on, and ends the group when ctx ends, until the program has ended. It returns before the
// program is reaped, so that its number cannot be another's, and whether the group was meant to end.
func (g *group) watch(ctx context.Context, c *Command, ended <-chan struct{}) (interrupted bool) {
	cancelled := ctx.Done()
	var patience <-chan time.Time
	for {
		select {
		case <-ended:
			return interrupted
		case sig := <-c.Signals:
			g.pass(sig)
			interrupted = interrupted || ends(sig)
		case <-cancelled:
			cancelled, interrupted = nil, true
			g.kill(syscall.SIGTERM)
			g.kill(syscall.SIGCONT)
			timer := time.NewTimer(c.grace())
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
	if ends(sig) {
		g.kill(number)
	} else {
		unix.Kill(g.pid(), number)
	}
}

// ends reports whether a signal asks a program to end.
func ends(sig os.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP:
		return true
	}
	return false
}

// The pauses between two looks at the processes that are left: no system reports when they end.
const (
	lookPause = 2 * time.Millisecond
	slowPause = 50 * time.Millisecond
	quiet     = 200 * time.Millisecond // what is over by then was about to end
)

func (c *Command) grace() time.Duration { return cmp.Or(c.Grace, 2*time.Second) }

// giveUp is how long a process that was killed is waited for.
const giveUp = 2 * time.Second

// finish lets what the program left running go on for the time linger, ends it then, reaps the program, and
// returns what had to be ended. A process that cannot be killed is given up.
func (g *group) finish(ctx context.Context, c *Command, linger time.Duration) (ended []string) {
	defer g.cmd.Wait() // last: until then the group's number is ours
	g.takeTerminal()   // as a shell has it: who interrupts now means us
	left := g.linger(ctx, c, linger)
	for _, p := range left {
		ended = append(ended, p.String())
	}
	asked := map[int]bool{}
	for began := time.Now(); len(left) > 0 && time.Since(began) < c.grace()+giveUp; left = g.left(c.Mark) {
		kill := time.Since(began) > c.grace()
		for _, p := range left {
			switch {
			case kill:
				p.signal(syscall.SIGKILL)
			case !asked[p.pid]:
				asked[p.pid] = true
				p.signal(syscall.SIGTERM)
				p.signal(syscall.SIGCONT)
			}
		}
		time.Sleep(lookPause)
	}
	return ended
}

// linger returns what is left after that time, or earlier when the program is interrupted.
func (g *group) linger(ctx context.Context, c *Command, linger time.Duration) []process {
	began, said := time.Now(), false
	for pause := lookPause; ; pause = min(2*pause, slowPause) {
		left, waited := g.left(c.Mark), time.Since(began)
		if len(left) == 0 || waited >= linger {
			return left
		}
		if !said && waited > quiet && c.Lingering != nil {
			said = true
			var names []string
			for _, p := range left {
				names = append(names, p.String())
			}
			c.Lingering(names)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return left
		case sig := <-c.Signals:
			if ends(sig) {
				return left
			}
		}
	}
}

// String is the process as people know it. Its arguments are left out: they may hold secrets.
func (p process) String() string {
	name := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, p.name)
	return fmt.Sprintf("%s (%d)", name, p.pid)
}

func status(state *os.ProcessState) (int, syscall.Signal) {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return statusSignal + int(ws.Signal()), ws.Signal()
	}
	return state.ExitCode(), 0
}
