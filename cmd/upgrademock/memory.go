package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	leanHeap = 40 << 20 // what the program may use before the collector hurries
	roomy    = 600      // percent of what is in use, below leanHeap: polls are answered with less collecting
	lean     = 300      // and above
	liveHeap = "/gc/heap/live:bytes"
)

// keepLean has the garbage collector keep a small program small: SSH packets are garbage at the pace of the network, and by default the
// collector lets as much of it pile up as is in use, and more while it runs. The limit follows what is really in use, since one below that
// would have the collector run all the time. GOMEMLIMIT and GOGC, if set, have the last word.
func keepLean() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	garbage := func(percent int) {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(percent)
		}
	}
	debug.SetMemoryLimit(leanHeap)
	garbage(roomy)
	type collected struct{ _ [16]byte } // something to be collected in each cycle
	var follow func(*collected)
	follow = func(*collected) {
		live := []metrics.Sample{{Name: liveHeap}}
		metrics.Read(live)
		inUse := int64(live[0].Value.Uint64())
		if inUse > leanHeap { // requests by the ten thousand: collecting often now costs more than it saves
			debug.SetMemoryLimit(math.MaxInt64)
			garbage(lean)
		} else {
			debug.SetMemoryLimit(max(leanHeap, inUse*3/2))
			garbage(roomy)
		}
		runtime.SetFinalizer(new(collected), follow)
	}
	runtime.SetFinalizer(new(collected), follow)
}
