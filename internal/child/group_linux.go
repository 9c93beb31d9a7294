package child

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// adopt has the program killed should we be, and makes us the parent of what it leaves behind (prctl(2), PR_SET_CHILD_SUBREAPER): in many
// containers nobody else would reap it.
func adopt(attr *syscall.SysProcAttr) {
	attr.Pdeathsig = syscall.SIGKILL
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// reap takes note of the processes that have ended, of a group if who is negative. Those that are not our children are left alone.
func reap(who int) {
	for {
		if pid, err := unix.Wait4(who, nil, unix.WNOHANG, nil); err != unix.EINTR && pid <= 0 {
			return
		}
	}
}

// cldStopped is CLD_STOPPED: why a child changed its state (waitid(2)).
const cldStopped = 5

// awaitEnd returns when the program has ended, and leaves it unreaped. A program that is stopped at the terminal stops us, too, so that
// the shell has its prompt; when we go on, so does the program.
func (g *group) awaitEnd() {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, g.pid(), &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || info.Code != cldStopped {
			return
		}
		unix.Waitid(unix.P_PID, g.pid(), &info, unix.WSTOPPED|unix.WNOHANG, nil) // seen
		g.suspend()
	}
}

// suspend stops us as the terminal stopped the program.
func (g *group) suspend() {
	if g.tty == nil {
		return // somebody stopped it, and will have it go on
	}
	us := unix.Getpgrp()
	g.foreground(us)
	unix.Kill(0, syscall.SIGTSTP) // returns when the shell has us go on
	if fore, err := unix.IoctlGetInt(int(g.tty.Fd()), unix.TIOCGPGRP); err == nil && fore == us {
		g.foreground(g.pid())
	}
	g.kill(syscall.SIGCONT)
}

// marked are the processes that have the mark in the environment with which they were started.
func marked(mark string) []int {
	if mark == "" {
		return nil
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		// Another user's cannot be read, one that has ended has none.
		environ, err := os.ReadFile("/proc/" + name + "/environ")
		if err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+mark+"\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}
