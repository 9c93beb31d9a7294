//go:build unix

package child

import (
	"os"
	"syscall"
)

// Signals are those that are meant for the program when we get them.
var Signals = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
	syscall.SIGWINCH,
}
