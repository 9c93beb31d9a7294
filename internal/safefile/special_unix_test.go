//go:build unix

package safefile_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/upgrademock/upgrademock/internal/safefile"
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

// A pipe is read as far as somebody writes to it, and a device not for ever.
func TestReadNamed_special(t *testing.T) {
	t.Parallel()
	_, dir := inRoot(t)
	special(t, dir)
	pipe := filepath.Join(dir, "pipe")
	if data, err := safefile.ReadNamed(pipe, 100); err != nil || len(data) > 0 {
		t.Errorf("a pipe without a writer: %q, %v", data, err)
	}
	if data, err := safefile.ReadNamed("/dev/zero", 100); err == nil {
		t.Errorf("a device without end: %d bytes", len(data))
	}
	if data, err := safefile.ReadNamed(filepath.Join(dir, "s"), 100); err == nil {
		t.Errorf("a socket: %q", data)
	}

	both, err := os.OpenFile(pipe, os.O_RDWR, 0) // a writer is there before the reader
	check(t, err)
	written := make(chan error, 1)
	got := make(chan string, 1)
	go func() {
		data, err := safefile.ReadNamed(pipe, 1<<20)
		if err != nil {
			t.Error(err)
		}
		got <- string(data)
	}()
	text := strings.Repeat("what a command says\n", 10_000) // more than a pipe holds
	go func() {
		_, err := both.WriteString(text)
		written <- errors.Join(err, both.Close())
	}()
	check(t, <-written)
	if data := <-got; data != text {
		t.Errorf("a pipe with a writer: %d bytes, want %d", len(data), len(text))
	}
}

// onDisk is how many bytes a file takes.
func onDisk(info fs.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }
