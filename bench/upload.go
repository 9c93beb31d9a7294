//go:build linux

package main

import (
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

// curlUpload sends a file; a refusal by status is an error.
func (b *bench) curlUpload(url, file string) error {
	answer, err := b.command("curl", "-sS", "-k", "--fail", "--noproxy", "*", "-T", file, url)
	if err == nil && strings.Contains(answer, `"reason"`) {
		return &refusal{answer}
	}
	return err
}

// refusal is an answer with failures.
type refusal struct{ answer string }

func (r *refusal) Error() string { return "the emulator refused: " + strings.TrimSpace(r.answer) }

// uploads is one curl that uploads the file, over HTTP and HTTPS, against the smallest Go handler and nginx.
func (b *bench) uploads() (rows []row, err error) {
	e, err := b.emulator()
	if err != nil {
		return nil, err
	}
	defer e.Kill()
	smallest, err := b.startSmallest(nil)
	if err != nil {
		return nil, err
	}
	defer smallest.Kill()
	nginx, err := startNginx(b.dir, b.certFile, b.keyFile)
	if err != nil {
		return nil, err
	}
	defer nginx.Kill()
	r, err := e.Create(b.ctx)
	if err != nil {
		return nil, err
	}
	path := "/database/v1/upload?" + r.Query()
	measure := func(p *rig.Process, url string) func() (sample, error) {
		return func() (sample, error) {
			return rate(p, b.size, func() error { return b.curlUpload(url, b.source) })
		}
	}
	for _, c := range []struct {
		name, url, peerName, peerURL string
		peer                         *rig.Process
		ratio                        float64
	}{
		{"HTTP upload", e.URL, "smallest Go", smallest.url, smallest.Process, 0.95},
		{"HTTPS upload", e.HTTPSURL, "smallest Go", smallest.httpsURL, smallest.Process, 0.95},
		{"HTTP upload", e.URL, "nginx", nginx.url, nginx.Process, 0},
		{"HTTPS upload", e.HTTPSURL, "nginx", nginx.httpsURL, nginx.Process, 0},
	} {
		r, err := b.turns(row{name: c.name, unit: "MB/s", peerName: c.peerName, cpuUnit: perGiB, ratio: c.ratio},
			measure(e.Process, c.url+path), measure(c.peer, c.peerURL))
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
	os.Remove(smallest.file)
	os.Remove(nginx.file)
	return rows, nil
}

const (
	eight          = 8
	wantedMemory   = 32 << 20
	uploadMemories = "8 HTTP uploads at once"
)

// uploadMemory is eight big uploads at once, for what they cost in memory.
func (b *bench) uploadMemory() ([]row, error) {
	e, err := b.emulator()
	if err != nil {
		return nil, err
	}
	defer e.Kill()
	half := b.size / 2
	if err := os.Truncate(b.source, half); err != nil {
		return nil, err
	}
	defer writeRandom(b.source, b.size)
	s, err := rate(e.Process, eight*half, func() error {
		var wg sync.WaitGroup
		errs := make([]error, eight)
		for i := range errs {
			wg.Go(func() {
				r, err := e.Create(b.ctx)
				if err == nil {
					err = b.curlUpload(e.URL+"/database/v1/upload?"+r.Query(), b.source)
				}
				errs[i] = err
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	})
	return []row{{name: uploadMemories + ", " + mib(half) + " each", unit: "MB/s", ours: s, cpuUnit: perGiB,
		memory: wantedMemory}}, err
}
