//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

// state is what an idle emulator holds.
type state struct {
	opened, ended, connected, gone  int // over SFTP, since the start
	requests, goroutines, fds, temp int
	memory                          int64 // bytes, resident
}

func (s state) String() string {
	return fmt.Sprintf(
		"SFTP handles %d opened, %d ended; connections %d begun, %d gone; %d requests, %d goroutines, %d file "+
			"descriptors, %d files, %d MiB",
		s.opened, s.ended, s.connected, s.gone, s.requests, s.goroutines, s.fds, s.temp, s.memory>>20)
}

// compare says what is left over, compared with an earlier state.
func (s state) compare(before state) error {
	var errs []error
	expect := func(ok bool, what string, now, then any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %v, against %v", what, now, then))
		}
	}
	expect(s.opened == s.ended, "SFTP handles opened and ended", s.opened, s.ended)
	expect(s.connected == s.gone, "SFTP connections begun and gone", s.connected, s.gone)
	expect(s.requests == 0, "requests that were forgotten and are there", s.requests, 0)
	// The collector and the poller of HTTP connections that are kept open come and go.
	expect(s.goroutines <= before.goroutines+4, "goroutines", s.goroutines, before.goroutines)
	expect(s.fds <= before.fds+4, "file descriptors", s.fds, before.fds)
	expect(s.temp == before.temp, "files", s.temp, before.temp)
	expect(s.memory <= before.memory*5/4+(8<<20), "memory", s.memory, before.memory)
	return errors.Join(errs...)
}

// look finds out the emulator's state.
func (s *soak) look(ctx context.Context, dir string) (state, error) {
	http.DefaultClient.CloseIdleConnections()
	var body bytes.Buffer
	if err := control(ctx, s.e, http.MethodGet, "metrics", &body); err != nil {
		return state{}, err
	}
	m := readMetrics(body.Bytes())
	found := state{
		opened: m[`upgrademock_sftp_events_total{kind="sftp.open"}`],
		ended: m[`upgrademock_sftp_events_total{kind="sftp.close"}`] +
			m[`upgrademock_sftp_events_total{kind="sftp.abort"}`],
		connected:  m[`upgrademock_sftp_events_total{kind="sftp.connect"}`],
		gone:       m[`upgrademock_sftp_events_total{kind="sftp.disconnect"}`],
		goroutines: m["go_goroutines"], memory: s.e.Memory(),
	}
	for name, n := range m {
		if requestsByState.MatchString(name) {
			found.requests += n
		}
	}
	var err error
	if found.fds, err = s.e.Files(); err != nil {
		return found, err
	}
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found.temp++
		}
		return err
	})
	return found, err
}

var (
	requestsByState = regexp.MustCompile(`^upgrademock_requests\{`)
	metric          = regexp.MustCompile(`(?m)^([a-z_]+(?:\{[^}]*\})?) ([0-9.e+]+)$`)
)

// readMetrics reads the numbers of Prometheus' text format.
func readMetrics(text []byte) map[string]int {
	numbers := make(map[string]int)
	for _, m := range metric.FindAllSubmatch(text, -1) {
		if v, err := strconv.ParseFloat(string(m[2]), 64); err == nil {
			numbers[string(m[1])] = int(v)
		}
	}
	return numbers
}

// control makes a call of the control API.
func control(ctx context.Context, e *rig.Emulator, method, path string, to io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, method, e.URL+"/_mock/"+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(to, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return err
}
