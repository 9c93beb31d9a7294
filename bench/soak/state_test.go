//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadMetrics(t *testing.T) {
	t.Parallel()
	got := readMetrics([]byte(`# HELP go_goroutines Number of goroutines that currently exist.
# TYPE go_goroutines gauge
go_goroutines 11
upgrademock_dump_bytes_received_total 1.5e+06
upgrademock_requests{state="draft"} 2
upgrademock_sftp_events_total{kind="sftp.open"} 16
`))
	want := map[string]int{
		"go_goroutines": 11, "upgrademock_dump_bytes_received_total": 1500000, `upgrademock_requests{state="draft"}`: 2,
		`upgrademock_sftp_events_total{kind="sftp.open"}`: 16,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Each thing that is left over is named.
func TestState_compare(t *testing.T) {
	t.Parallel()
	before := state{opened: 1, ended: 1, connected: 2, gone: 2, goroutines: 10, fds: 12, temp: 4, memory: 30 << 20}
	if err := before.compare(before); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	for what, change := range map[string]func(*state){
		"SFTP handles":     func(s *state) { s.opened++ },
		"SFTP connections": func(s *state) { s.connected++ },
		"requests":         func(s *state) { s.requests++ },
		"goroutines":       func(s *state) { s.goroutines = 15 },
		"file descriptors": func(s *state) { s.fds = 17 },
		"files":            func(s *state) { s.temp++ },
		"memory":           func(s *state) { s.memory *= 2 },
	} {
		after := before
		change(&after)
		if err := after.compare(before); err == nil || !strings.HasPrefix(err.Error(), what) {
			t.Errorf("%s are left over: %v", what, err)
		}
	}
}
