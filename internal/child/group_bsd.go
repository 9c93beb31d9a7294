//go:build unix && !linux

package child

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func (g *group) adopt() {}

func (g *group) forget() {}

// awaitEnd returns when the program has ended, and whether by itself. Deliberately: without Linux's waitid it is
// reaped by it, and a program that is stopped at the terminal does not stop us.
func (g *group) awaitEnd() bool {
	g.cmd.Wait()
	return g.cmd.ProcessState.Exited()
}

// process is one that runs.
type process struct {
	pid  int
	name string
}

// left are the processes of the group: others cannot be distinguished from those of other programs here.
func (g *group) left(string) []process {
	if g.kill(0) != nil {
		return nil
	}
	out, err := exec.Command("ps", "-axo", "pid=,pgid=,stat=,comm=").Output()
	if err != nil { // there is no ps, or it is another one
		return []process{{-g.pid(), "process group"}}
	}
	var left []process
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[1] != strconv.Itoa(g.pid()) || strings.HasPrefix(fields[2], "Z") {
			continue
		}
		if pid, err := strconv.Atoi(fields[0]); err == nil {
			left = append(left, process{pid, filepath.Base(strings.Join(fields[3:], " "))})
		}
	}
	return left
}

func (p process) signal(sig syscall.Signal) { unix.Kill(p.pid, sig) }
