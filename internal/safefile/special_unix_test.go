//go:build unix

package safefile_test

import (
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
	"testing"
)

// special makes a pipe and a socket in dir, and returns their names.
func special(tb testing.TB, dir string) []string {
	tb.Helper()
	check(tb, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	check(tb, err)
	tb.Cleanup(func() { l.Close() })
	return []string{"pipe", "s"}
}

// onDisk is how many bytes a file takes.
func onDisk(info fs.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }
