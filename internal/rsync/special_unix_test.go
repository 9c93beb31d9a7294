//go:build unix

package rsync_test

import (
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// awaitHangup waits until nobody has the other end of f open any more. Nothing is read.
func awaitHangup(f *os.File) error {
	for {
		fds := []unix.PollFd{{Fd: int32(f.Fd())}} // a hangup is reported although no event is asked for
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return err
		}
	}
}

// makeSpecial makes files that are neither regular nor directories.
func makeSpecial(tb testing.TB, dir string) {
	tb.Helper()
	check(tb, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	// The name of a socket must be short, and is taken by way of a link.
	short := filepath.Join(tb.TempDir(), "s")
	if len(short) > 90 {
		short = filepath.Join(os.TempDir(), rand.Text()[:8])
	}
	check(tb, os.Symlink(dir, short))
	defer os.Remove(short)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(short, "socket")})
	check(tb, err)
	l.SetUnlinkOnClose(false)
	check(tb, l.Close())
	if os.Getuid() == 0 {
		if err := syscall.Mknod(filepath.Join(dir, "device"), syscall.S_IFCHR|0o600, 1<<8|3); err != nil {
			tb.Logf("no device is made: %v", err)
		}
	}
}
