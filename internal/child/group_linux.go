package child

import (
	"bytes"
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// running are the programs that are about to be started, run, or have left something.
var running struct {
	sync.Mutex
	count int
	since uint64 // nothing of theirs was started before, in the unit of process.started
}

// adopt has the program killed should we be, and makes us the parent of what it leaves behind, until forget.
func (g *group) adopt() {
	g.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err == nil {
		g.since = uint64(now.Nano() / int64(tick))
	}
	running.Lock()
	defer running.Unlock()
	if running.count++; running.count == 1 {
		running.since = g.since
	}
}

func (g *group) forget() {
	running.Lock()
	defer running.Unlock()
	running.count--
}

// Why a child changed its state (waitid(2)).
const (
	cldExited  = 1
	cldStopped = 5
)

// awaitEnd returns when the program has ended, and whether by itself; it leaves it unreaped, so that its number
// stays its own. A program that is stopped at the terminal stops us, too, so that the shell has its prompt; when
// we go on, so does the program.
func (g *group) awaitEnd() bool {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, g.pid(), &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || info.Code != cldStopped {
			return err == nil && info.Code == cldExited
		}
		unix.Waitid(unix.P_PID, g.pid(), &info, unix.WSTOPPED|unix.WNOHANG, nil) // seen
		g.suspend()
	}
}

// suspend stops us as the terminal stopped the program.
func (g *group) suspend() {
	if g.tty == nil {
		return // it was stopped by a signal, and will be continued by one
	}
	us := unix.Getpgrp()
	g.foreground(us)
	unix.Kill(0, syscall.SIGTSTP) // returns when the shell has us go on
	if fore, err := unix.IoctlGetInt(int(g.tty.Fd()), unix.TIOCGPGRP); err == nil && fore == us {
		g.foreground(g.pid())
	}
	g.kill(syscall.SIGCONT)
}

// tick is the unit of the start times of processes: USER_HZ is 100 on every machine that Go knows.
const tick = 10 * time.Millisecond

// process is one that runs, or one that has ended and was not reaped.
type process struct {
	pid, parent, group int
	dead               bool
	started            uint64 // in ticks since the system's start
	name               string
}

// look reads the state of a process (proc_pid_stat(5)).
func look(pid int) (p process, ok bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return p, false
	}
	// The name stands in brackets, and may have some itself.
	from, to := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if from < 0 || to < from {
		return p, false
	}
	fields := strings.Fields(string(stat[to+1:])) // from the third on
	if len(fields) < 20 {
		return p, false
	}
	number := func(field int) int {
		n, err := strconv.Atoi(fields[field-3])
		ok = ok && err == nil
		return n
	}
	ok = true
	p = process{pid: pid, parent: number(4), group: number(5), started: uint64(number(22)),
		name: string(stat[from+1 : to])}
	p.dead = fields[0] == "Z" || fields[0] == "X"
	return p, ok
}

// marked reports whether the process has the mark in the environment with which it was started.
func (p *process) marked(mark string) bool {
	if mark == "" {
		return false
	}
	// Another user's cannot be read, one that has ended has none.
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/environ")
	return err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+mark+"\x00"))
}

// signal sends a signal to the process, unless another has its number meanwhile.
func (p process) signal(sig syscall.Signal) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == unix.ENOSYS { // Linux before 5.3
		unix.Kill(p.pid, sig)
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if now, ok := look(p.pid); ok && now.started == p.started {
		unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}

// left are the processes that the program has started, at one remove or more, and that run; those that have ended
// and are ours now are reaped. Not one of them is older than the program. They are in its group, carry the mark,
// or are children of these; and, where no other program runs by which they could have been left, orphans that have
// become our children: what this process starts by itself is in its own group.
func (g *group) left(mark string) []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	running.Lock()
	alone, since := running.count == 1, running.since
	running.Unlock()
	us, ourGroup := os.Getpid(), unix.Getpgrp()
	all := map[int]process{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == us || pid == g.pid() {
			continue
		}
		if p, ok := look(pid); ok && p.started >= since {
			all[pid] = p
		}
	}
	theirs := map[int]bool{g.pid(): true}
	var isTheirs func(p process) bool
	isTheirs = func(p process) bool {
		is, known := theirs[p.pid]
		if known {
			return is
		}
		theirs[p.pid] = false // until known: process tables that are read in pieces may have circles
		parent, ok := all[p.parent]
		seen, before := g.seen[p.pid]
		is = before && seen == p.started || p.group == g.pid() || ok && isTheirs(parent) ||
			p.parent == us && alone && p.group != ourGroup ||
			p.started >= g.since && p.marked(mark)
		theirs[p.pid] = is
		return is
	}
	var left []process
	for pid, p := range all {
		switch {
		case !isTheirs(p):
		case !p.dead:
			g.seen[pid] = p.started
			left = append(left, p)
		case p.parent == us:
			unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
	slices.SortFunc(left, func(a, b process) int { return cmp.Compare(a.pid, b.pid) })
	return left
}
