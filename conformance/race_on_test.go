//go:build race

package conformance_test

// raceEnabled says that the race detector runs: everything takes several times as long.
const raceEnabled = true
