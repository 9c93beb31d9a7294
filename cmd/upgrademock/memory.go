package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	leanHeap = 40 << 20 // what a small program may use before the collector hurries
	// percent of what is in use that may pile up below leanHeap: polls are answered with less collecting
	roomy    = 600
	liveHeap = "/gc/heap/live:bytes"
	scanHeap = "/gc/scan/heap:bytes"
)

// keepLean has the garbage collector keep a small program small: SSH packets are garbage at the pace of the
// network, and by default the collector lets as much of it pile up as is in use, and more while it runs. The limit
// follows what is really in use, since one below that would have the collector run all the time. It leaves half as
// much for garbage, and four times as much as the collector has to look through: collecting beside buffers costs
// little, beside requests much. GOMEMLIMIT and GOGC, if set, have the last word. This saves a fourth of an SFTP
// upload's CPU time and an eighth of a poll's, for 18 MiB; see bench/README.md.
func keepLean() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(roomy)
	}
	debug.SetMemoryLimit(leanHeap)
	type collected struct{ _ [16]byte } // something to be collected in each cycle
	var follow func(*collected)
	follow = func(*collected) {
		heap := []metrics.Sample{{Name: liveHeap}, {Name: scanHeap}}
		metrics.Read(heap)
		live, scan := int64(heap[0].Value.Uint64()), int64(heap[1].Value.Uint64())
		debug.SetMemoryLimit(max(leanHeap, live*3/2+scan*4))
		runtime.SetFinalizer(new(collected), follow)
	}
	runtime.SetFinalizer(new(collected), follow)
}
