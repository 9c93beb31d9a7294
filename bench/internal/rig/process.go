//go:build linux

// Package rig starts what is measured, and measures it: processes with their processor time and memory, the emulator
// among them.
//
// It reads /proc, so it works on Linux.
package rig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a server under measurement with all processes below it. Stop or Kill it.
type Process struct {
	cmd    *exec.Cmd
	output *tail
	done   chan struct{} // closed when the process has ended
	err    error         // how, once done is closed

	mu   sync.Mutex
	peak int64
}

// sampleEvery is how often memory is looked at.
const sampleEvery = 20 * time.Millisecond

// Start starts a process. What it writes is kept for [Process.Output].
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, output: new(tail), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	go p.sample()
	return p, nil
}

func (p *Process) sample() {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		now := p.Memory()
		p.mu.Lock()
		p.peak = max(p.peak, now)
		p.mu.Unlock()
		select {
		case <-ticker.C:
		case <-p.done:
			return
		}
	}
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is the end of what the process wrote.
func (p *Process) Output() string { return p.output.String() }

// Done is closed when the process has ended by itself or was ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop ends the process in order, and by force when it does not follow.
func (p *Process) Stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(10 * time.Second):
		p.Kill()
		return fmt.Errorf("%s did not end within 10 s of SIGTERM; its last words:\n%s", filepath.Base(p.cmd.Path), p.Output())
	}
}

// Kill ends the process and its children with SIGKILL, as a crash would.
func (p *Process) Kill() {
	syscall.Kill(-p.PID(), syscall.SIGKILL)
	<-p.done
}

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// CPU is the processor time that the process and its children, also those that have ended, have taken.
func (p *Process) CPU() time.Duration {
	for {
		ticks, whole := p.ticks()
		if whole {
			return time.Duration(ticks) * time.Second / ticksPerSecond
		}
	}
}

// ticks adds up what the processes say. It is not the whole when one has ended meanwhile, whose parent had been asked
// before.
func (p *Process) ticks() (ticks int64, whole bool) {
	for _, pid := range p.tree() {
		f := statFields(pid)
		if f == nil && pid != p.PID() {
			return 0, false
		}
		if f != nil {
			// utime, stime, and those of children that were waited for
			ticks += f.number(14) + f.number(15) + f.number(16) + f.number(17)
		}
	}
	return ticks, true
}

// Memory is the resident memory of the process and its children now, in bytes. Pages that several share count for each,
// as they do in ps.
func (p *Process) Memory() int64 {
	var pages int64
	for _, pid := range p.tree() {
		if f := statFields(pid); f != nil {
			pages += f.number(24)
		}
	}
	bytes := pages * int64(os.Getpagesize())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peak = max(p.peak, bytes)
	return bytes
}

// ResetPeak begins a new measurement of the peak.
func (p *Process) ResetPeak() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peak = 0
}

// Peak is the most [Process.Memory] that was seen since the last ResetPeak.
func (p *Process) Peak() int64 {
	p.Memory()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peak
}

// Files is how many file descriptors the process has open.
func (p *Process) Files() (int, error) {
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.PID()), "fd"))
	return len(entries), err
}

// tree is the process and all below it.
func (p *Process) tree() []int {
	tree := []int{p.PID()}
	for i := 0; i < len(tree); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", tree[i]))
		for _, name := range tasks {
			data, _ := os.ReadFile(name)
			for _, child := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(child); err == nil {
					tree = append(tree, pid)
				}
			}
		}
	}
	return tree
}

// stat is a line of /proc/PID/stat after the name, which may hold spaces.
type stat []string

func statFields(pid int) stat {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, ok := bytes.Cut(data, []byte(") "))
	if !ok {
		return nil
	}
	return strings.Fields(string(rest))
}

// number is the field with the number that proc(5) gives it.
func (f stat) number(n int) int64 {
	if i := n - 3; i < len(f) {
		v, _ := strconv.ParseInt(f[i], 10, 64)
		return v
	}
	return 0
}

// tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailSize = 8 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, b...)
	if extra := len(t.data) - tailSize; extra > 0 {
		t.data = append(t.data[:0], t.data[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}

// ErrEnded says that a server ended before it served.
var ErrEnded = errors.New("the server ended before it served")
