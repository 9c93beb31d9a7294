package database

import "sync"

// answerPool has buffers for answers, as large as a status, or as the longest answer so far. They save a twentieth of a
// poll's CPU time, and together with the pool of calls of api a ninth, which would go into the garbage collector; see
// bench/README.md.
var answerPool = sync.Pool{New: func() any {
	b := make([]byte, 0, 2<<10)
	return &b
}}
