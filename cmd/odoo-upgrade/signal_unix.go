//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreSizeSignal makes a file that grows beyond what "ulimit -f" allows an error to be reported, and not the end
// of the process.
func ignoreSizeSignal() { signal.Ignore(syscall.SIGXFSZ) }
