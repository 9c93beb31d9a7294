//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
	"github.com/upgrademock/upgrademock/mockserver"
)

// startRounds is how often a start is measured: it is quick, and noisy.
const startRounds = 15

// start is how long the emulator takes to its first answer, with all listeners on, and what it is when idle.
func (b *bench) start() ([]row, error) {
	dir, err := os.MkdirTemp(b.dir, "start-") // the authority is made at the first start and kept, as for a user
	if err != nil {
		return nil, err
	}
	first := func() (sample, error) { return b.firstAnswer(dir) }
	if _, err := first(); err != nil {
		return nil, err
	}
	var ours []sample
	for range startRounds {
		s, err := first()
		if err != nil {
			return nil, err
		}
		ours = append(ours, s)
	}
	e, err := b.emulator()
	if err != nil {
		return nil, err
	}
	defer e.Kill()
	if _, err := e.Create(b.ctx); err != nil {
		return nil, err
	}
	idle := sample{value: float64(e.Memory()) / (1 << 20)}

	var failed error
	inProcess := testing.Benchmark(func(tb *testing.B) {
		for tb.Loop() {
			if failed = oneServer(); failed != nil {
				tb.FailNow()
			}
		}
	})
	if failed != nil {
		return nil, failed
	}
	return []row{
		{name: "process start to first answer", unit: "ms", lessIsGood: true, ours: median(ours), bound: 20},
		{name: "memory when idle", unit: "MiB", lessIsGood: true, ours: idle, bound: 20},
		{name: "made, started and closed in process", unit: "ms", lessIsGood: true, ours: sample{
			value: float64(inProcess.NsPerOp()) / 1e6}, bound: 2},
	}, nil
}

func oneServer() error {
	srv, err := mockserver.New(nil)
	if err != nil {
		return err
	}
	if err := srv.Start(); err != nil {
		srv.Close()
		return err
	}
	return srv.Close()
}

// firstAnswer starts the emulator and asks it until it answers.
func (b *bench) firstAnswer(dir string) (sample, error) {
	port, err := freePort()
	if err != nil {
		return sample{}, err
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	cmd := exec.Command(b.binary, "serve", "--http", addr, "--https", "127.0.0.1:0", "--sftp", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "XDG_CACHE_HOME="+dir)
	began := time.Now()
	p, err := rig.Start(cmd)
	if err != nil {
		return sample{}, err
	}
	defer p.Kill()
	for {
		if answers(addr) {
			return sample{value: time.Since(began).Seconds() * 1e3}, nil
		}
		if time.Since(began) > 10*time.Second {
			return sample{}, fmt.Errorf("no answer within 10 s; the last words:\n%s", p.Output())
		}
		runtime.Gosched()
	}
}

// answers asks once, by hand: an HTTP client would take longer than the answer.
func answers(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		time.Sleep(200 * time.Microsecond)
		return false
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /database/v1/status HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr)
	n, _ := conn.Read(make([]byte, 12))
	return n > 0
}
