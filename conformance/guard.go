package conformance

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// guard runs f and turns what it panics with into an outcome. A panic of the suite's own is an Error, not the
// end of the program: one odd answer must not hide the other verdicts.
func (c *checker) guard(f func()) (st stop) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case stop:
			st = v
		default:
			st = stop{verdict: Error, message: fmt.Sprintf("the suite has a mistake, please report it: %v at %s",
				v, panicPlace())}
		}
	}()
	f()
	return stop{verdict: Pass}
}

// panicPlace is the line of this package that panicked.
func panicPlace() string {
	for _, line := range strings.Split(string(debug.Stack()), "\n") {
		if i := strings.LastIndex(line, "/conformance/"); i >= 0 && !strings.Contains(line, "guard.go") &&
			strings.Contains(line, ".go:") {
			place, _, _ := strings.Cut(line[i+1:], " ")
			return place
		}
	}
	return "an unknown place"
}
