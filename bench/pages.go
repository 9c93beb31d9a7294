//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

const (
	openPages    = 50
	pageRequests = 500
)

// pages is how many polls of 500 requests are answered while 50 pages look on, beside none. Clients and pages are
// processes of their own, which take their part of the processors: the CPU time is that of the emulator.
func (b *bench) pages() ([]row, error) {
	watchers, err := rig.Build(b.ctx, b.dir, "bench/watchers")
	if err != nil {
		return nil, err
	}
	running := filepath.Join(b.dir, "running.yaml")
	if err := os.WriteFile(running, []byte("name: running\nsteps: [{state: processing, for: released}, {state: done}]\n"),
		0o600); err != nil {
		return nil, err
	}
	e, err := b.emulator("--scenario", running)
	if err != nil {
		return nil, err
	}
	defer e.Kill()
	script, err := b.pollScript(e)
	if err != nil {
		return nil, err
	}
	alone := func() (sample, error) { return b.wrk(e.Process, eight, e.URL, "-s", script) }
	watched := func() (sample, error) {
		p, err := b.openPages(watchers, e)
		if err != nil {
			return sample{}, err
		}
		defer p.Kill()
		s, err := alone()
		select {
		case <-p.Done():
			err = fmt.Errorf("the pages have gone: %s", p.Output())
		default:
		}
		return s, err
	}
	r, err := b.turns(row{
		name: fmt.Sprintf("polls of %d requests, %d pages open", pageRequests, openPages), unit: "1/s",
		peerName: "no page", cpuUnit: "µs each", ratio: 0.9, cpuRatio: 1.1,
	}, watched, alone)
	return []row{r}, err
}

// openPages opens the pages, and waits until all of them look on.
func (b *bench) openPages(program string, e *rig.Emulator) (*rig.Process, error) {
	p, err := rig.Start(exec.Command(program, "-pages", strconv.Itoa(openPages), e.URL+"/_mock"))
	if err != nil {
		return nil, err
	}
	return p, rig.Await(p, func() bool { return strings.Contains(p.Output(), "ready") })
}

// pollScript makes requests that are being processed, and a script for wrk that polls one after the other.
func (b *bench) pollScript(e *rig.Emulator) (string, error) {
	var script strings.Builder
	script.WriteString("local polls = {\n")
	for range pageRequests {
		r, err := e.Create(b.ctx)
		if err == nil {
			err = e.Call(b.ctx, "upload", r.Query(), "application/octet-stream", strings.NewReader("x"), nil)
		}
		if err == nil {
			err = e.Call(b.ctx, "process", r.Query(), "", nil, nil)
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&script, "%q,\n", "/database/v1/status?"+r.Query())
	}
	script.WriteString(`}
local raw, n = {}, 0
function init() for i, path in ipairs(polls) do raw[i] = wrk.format("GET", path) end end
function request() n = n % #raw + 1 return raw[n] end
`)
	path := filepath.Join(b.dir, "polls.lua")
	return path, os.WriteFile(path, []byte(script.String()), 0o600)
}
