//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRow_misses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		row  row
		want []string
	}{
		"nothing wanted": {row{ours: sample{value: 1}, peer: &sample{value: 100}}, nil},
		"fast enough":    {row{ours: sample{value: 80}, peer: &sample{value: 100}, ratio: 0.8}, nil},
		"too slow": {row{ours: sample{value: 79}, peer: &sample{value: 100}, ratio: 0.8},
			[]string{"ratio < 0.8"}},
		"short enough": {row{ours: sample{value: 50}, peer: &sample{value: 100}, ratio: 0.5, lessIsGood: true}, nil},
		"too long": {row{ours: sample{value: 51}, peer: &sample{value: 100}, ratio: 0.5, lessIsGood: true},
			[]string{"ratio > 0.5"}},
		"too much processor": {row{ours: sample{value: 1, cpu: 13}, peer: &sample{value: 1, cpu: 10}, ratio: 1,
			cpuRatio: 1.2}, []string{"CPU > 1.2 ×"}},
		"within the bound": {row{unit: "ms", ours: sample{value: 20}, bound: 20}, nil},
		"beyond the bound": {row{unit: "ms", ours: sample{value: 21}, bound: 20}, []string{"> 20 ms"}},
		"too much memory":  {row{ours: sample{peak: 33 << 20}, memory: 32 << 20}, []string{"memory > 32 MiB"}},
		"more than one of all": {row{unit: "s", ours: sample{value: 3, peak: 2 << 20}, bound: 2, memory: 1 << 20},
			[]string{"> 2 s", "memory > 1 MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, tc.row.misses()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestPrintTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	missed := printTable(&out, []row{
		{name: "SFTP upload", unit: "MB/s", peerName: "sshd", ours: sample{300, 2, 20 << 20}, peer: &sample{200, 1, 10 << 20},
			cpuUnit: "s/GiB", ratio: 1, cpuRatio: 1.2},
		{name: "start", unit: "ms", ours: sample{value: 7.256}, lessIsGood: true, bound: 20},
	})
	const want = `
WHAT         UNIT  OURS  PEER      RATIO  CPU                PEAK MEMORY      TARGET
SFTP upload  MB/s  300   200 sshd  1.50   2.00 : 1.00 s/GiB  20 MiB : 10 MiB  ratio ≥ 1, CPU ≤ 1.2 ×  MISSED: CPU > 1.2 ×
start        ms    7.26                                                       ≤ 20 ms
`
	got := "\n"
	for line := range strings.Lines(out.String()) {
		got += strings.TrimRight(line, " \n") + "\n"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if missed != 1 {
		t.Errorf("%d rows missed their target, want 1", missed)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	got := median([]sample{{value: 3, peak: 1}, {value: 1, cpu: 9, peak: 7}, {value: 2, cpu: 5}})
	if want := (sample{value: 2, cpu: 5, peak: 7}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestReadWrk(t *testing.T) {
	t.Parallel()
	const good = `Running 3s test @ http://127.0.0.1:8480/database/v1/status
  2 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   254.16us  380.57us  14.46ms   93.01%
    Req/Sec    19.06k     2.18k   23.51k    66.67%
  113796 requests in 3.00s, 160.07MB read
Requests/sec:  37901.25
Transfer/sec:     53.31MB
`
	if got, err := readWrk(good); err != nil || got != 37901.25 {
		t.Errorf("got %v, %v; want 37901.25", got, err)
	}
	for _, bad := range []string{"", "  Non-2xx or 3xx responses: 113796\n" + good,
		"  Socket errors: connect 8, read 0, write 0, timeout 0\n" + good} {
		if got, err := readWrk(bad); err == nil {
			t.Errorf("%q: read as %v", bad, got)
		}
	}
}
