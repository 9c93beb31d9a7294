//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

const (
	wrkTime      = 3 // seconds
	heldRequests = 100_000
)

var requestsPerSecond = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
var notSuccess = regexp.MustCompile(`Non-2xx|Socket errors`)

// wrk polls a URL from so many connections and returns the polls per second.
func (b *bench) wrk(p *rig.Process, connections int, url string, flags ...string) (sample, error) {
	var out string
	s, err := duration(p, func() (err error) {
		out, err = b.command("wrk", append(flags, "-t", strconv.Itoa(min(connections, 2)), "-c", strconv.Itoa(connections),
			"-d", strconv.Itoa(wrkTime), url)...)
		return err
	})
	if err != nil {
		return s, err
	}
	s.value, err = readWrk(out)
	s.cpu *= 1e6 / (s.value * wrkTime)
	return s, err
}

// readWrk takes the rate from what wrk wrote.
func readWrk(out string) (float64, error) {
	m := requestsPerSecond.FindStringSubmatch(out)
	if m == nil || notSuccess.MatchString(out) {
		return 0, fmt.Errorf("wrk met trouble, or wrote something unknown:\n%s", out)
	}
	return strconv.ParseFloat(m[1], 64)
}

// statusURL is the status of a fresh request, and statusBody what it answers.
func (b *bench) statusURL(e *rig.Emulator) (url string, body []byte, err error) {
	r, err := e.Create(b.ctx)
	if err != nil {
		return "", nil, err
	}
	url = e.URL + "/database/v1/status?" + r.Query()
	resp, err := http.Get(url)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return url, body, err
}

// polls is wrk on the status, against the smallest Go handler that answers the same bytes.
func (b *bench) polls() ([]row, error) {
	e, err := b.emulator()
	if err != nil {
		return nil, err
	}
	defer e.Kill()
	return b.pollRows(e, "status polls", []int{1, 8, 64})
}

func (b *bench) pollRows(e *rig.Emulator, name string, connections []int) (rows []row, err error) {
	url, body, err := b.statusURL(e)
	if err != nil {
		return nil, err
	}
	smallest, err := b.startSmallest(body)
	if err != nil {
		return nil, err
	}
	defer smallest.Kill()
	for _, n := range connections {
		want := 0.8
		if n == 1 {
			want = 0
		}
		r, err := b.turns(row{name: fmt.Sprintf("%s, %d connections", name, n), unit: "1/s", peerName: "smallest Go",
			cpuUnit: "µs each", ratio: want},
			func() (sample, error) { return b.wrk(e.Process, n, url) },
			func() (sample, error) {
				return b.wrk(smallest.Process, n, strings.Replace(url, e.URL, strings.TrimSuffix(smallest.url, "/"), 1))
			}) // the same path: it costs the same to read
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// held is the same with many requests in the emulator, and what each of them costs in memory.
func (b *bench) held() ([]row, error) {
	e, err := b.emulator()
	if err != nil {
		return nil, err
	}
	defer e.Kill()
	if err := b.fill(e, 20_000); err != nil { // the journal is full, and what comes now is requests alone
		return nil, err
	}
	before := e.Memory()
	s, err := duration(e.Process, func() error { return b.fill(e, heldRequests-20_000) })
	if err != nil {
		return nil, err
	}
	each := sample{value: float64(e.Memory()-before) / (heldRequests - 20_000) / 1024, peak: s.peak}
	rows, err := b.pollRows(e, "status polls, 100,000 held", []int{8, 64})
	return append([]row{{name: "memory of a request, 100,000 held", unit: "KiB", lessIsGood: true, ours: each, bound: 4}},
		rows...), err
}

// fill makes n requests.
func (b *bench) fill(e *rig.Emulator, n int) error {
	ctx, stop := context.WithCancelCause(b.ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for range eight {
		wg.Go(func() {
			for i := 0; i < n/eight && ctx.Err() == nil; i++ {
				if _, err := e.Create(ctx); err != nil {
					stop(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
