package sftpserver_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pkg/sftp"

	"github.com/upgrademock/upgrademock/sftpserver"
)

func put(t *testing.T, c *sftp.Client, flags int, data []byte) {
	t.Helper()
	f, err := c.OpenFile("/"+name, flags)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFrom(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func (h *host) wants(want []byte) {
	h.tb.Helper()
	if got := h.share.bytes(); !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		h.tb.Errorf("the file has %d bytes, want %d; they differ from %d on", len(got), len(want), at)
	}
}

func TestWrite_wholeShorterResumedReadBack(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.client(sftp.UseConcurrentWrites(true))
	long, short := pattern(1<<20+3), pattern(1000)
	put(t, c, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, long)
	h.wants(long)
	put(t, c, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, short)
	h.wants(short)

	// Resumed: no truncation, writing from the present size on.
	f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil || st.Size() != 1000 {
		t.Fatalf("FSTAT: %v, %v", st, err)
	}
	if _, err := f.WriteAt(long[1000:], 1000); err != nil {
		t.Fatal(err)
	}
	f.Close()
	h.wants(long)

	g, err := c.OpenFile(name, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(g)
	if err != nil || !bytes.Equal(got, long) {
		t.Errorf("read back %d bytes, %v", len(got), err)
	}
	if _, err := g.WriteAt([]byte("middle"), 500); err != nil {
		t.Error(err)
	}
	g.Close()
	copy(long[500:], "middle")
	h.wants(long)

	var reported []string
	for _, e := range h.events.all(sftpserver.EventOpen, sftpserver.EventClose) {
		reported = append(reported, fmt.Sprintf("%s %d %s size %d wrote %v read %v",
			e.Kind, e.Handle, e.Flags, e.Size, e.Written, e.Read))
	}
	want := []string{
		"open 1 write|create|truncate size 0 wrote [] read []",
		"close 1 write|create|truncate size 1048579 wrote [{0 1048579}] read []",
		"open 2 write|create|truncate size 0 wrote [] read []",
		"close 2 write|create|truncate size 1000 wrote [{0 1000}] read []",
		"open 3 write|create size 1000 wrote [] read []",
		"close 3 write|create size 1048579 wrote [{1000 1048579}] read []",
		"open 4 read|write size 1048579 wrote [] read []",
		"close 4 read|write size 1048579 wrote [{500 506}] read [{0 1048579}]",
	}
	if diff := cmp.Diff(want, reported); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

// TestAppend covers both ways in which clients count after opening with the append flag, in orders in which the
// workers may get the packets.
func TestAppend(t *testing.T) {
	t.Parallel()
	tail := pattern(300_000)
	for _, test := range []struct {
		name  string
		size  int // of the file before
		start int // where the client begins to count
		flags int
	}{
		{"from zero", 100, 0, fWrite | fAppend},
		{"from zero, creating", 70_000, 0, fWrite | fAppend | fCreate},
		{"from zero, reading too", 70_000, 0, fRead | fWrite | fAppend},
		{"from zero, file larger than what is sent", 1 << 20, 0, fWrite | fAppend},
		{"from the size", 100, 100, fWrite | fAppend},
		{"from the size, creating", 70_000, 70_000, fWrite | fAppend | fCreate},
		{"an empty file", 0, 0, fWrite | fAppend | fCreate},
		{"truncated", 1000, 0, fWrite | fAppend | fCreate | fTrunc},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			before := bytes.Repeat([]byte{'x'}, test.size)
			h.share.set(before)
			if test.flags&fTrunc != 0 {
				before = nil
			}
			r := h.raw()
			handle := r.open(name, test.flags)
			sent := 0
			for at := 0; at < len(tail); at += 4096 {
				r.send(6, handle, uint64(test.start+at), string(tail[at:min(at+4096, len(tail))]))
				sent++
			}
			for range sent {
				if _, id, rest := r.receive(); statusText(rest) != "0 " {
					t.Fatalf("write %d: %s", id, statusText(rest))
				}
			}
			r.close(handle)
			h.wants(append(before, tail...))
		})
	}
}

// TestAppend_severalHandles sees that the end is the file's, whichever handle moved it.
func TestAppend_severalHandles(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set([]byte("0123"))
	r := h.raw()
	zero, size, plain := r.open(name, fAppend|fWrite), r.open(name, fAppend|fWrite), r.open(name, fWrite)
	r.writeAt(size, 4, []byte("a"))
	r.writeAt(zero, 0, []byte("b"))
	r.writeAt(plain, 0, []byte("c"))
	r.writeAt(zero, 1, []byte("d"))
	for _, handle := range []string{zero, size, plain} {
		r.close(handle)
	}
	h.wants([]byte("c123abd"))
}

func TestWrite_outOfOrder(t *testing.T) {
	t.Parallel()
	h := start(t)
	want := pattern(200_001)
	r := h.raw()
	handle := r.open(name, fWrite|fCreate|fTrunc)
	const block = 3000
	blocks := (len(want) + block - 1) / block
	for i := range blocks {
		at := (i * 37 % blocks) * block
		r.send(6, handle, uint64(at), string(want[at:min(at+block, len(want))]))
	}
	for range blocks {
		r.receive()
	}
	r.close(handle)
	h.wants(want)
}

func TestWrite_paddedMessage(t *testing.T) {
	t.Parallel()
	h := start(t)
	r := h.raw()
	handle := r.open(name, fWrite|fCreate|fTrunc)
	for i, padding := range []int{1, 7, 5000} {
		if s := r.status(6, handle, uint64(3*i), "abc", make([]byte, padding)); s != "0 " {
			t.Errorf("with %d bytes more: %s", padding, s)
		}
	}
	for kind, fields := range map[byte][]any{17: {"/" + name}, 8: {handle}} {
		if answer, _ := r.ask(kind, append(fields, []byte("padding"))...); answer != 105 {
			t.Errorf("type %d with padding: answered with type %d", kind, answer)
		}
	}
	r.close(handle)
	h.wants([]byte("abcabcabc"))
}

func TestSetstat_size(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set(pattern(100))
	c := h.client()
	if err := c.Truncate(name, 50); err != nil {
		t.Fatal(err)
	}
	h.wants(pattern(50))
	// By handle: the write handle's file is cut, a handle for reading can't.
	r, err := c.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.OpenFile(name, os.O_WRONLY)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Truncate(10); !os.IsPermission(err) {
		t.Errorf("FSETSTAT with a handle for reading: %v", err)
	}
	if err := w.Truncate(20); err != nil {
		t.Error(err)
	}
	h.wants(pattern(20))
	if err := w.Truncate(30); err != nil {
		t.Error(err)
	}
	h.wants(append(pattern(20), make([]byte, 10)...))
	r.Close()
	w.Close()
	var got []string
	for _, e := range h.events.all(sftpserver.EventTruncate) {
		got = append(got, fmt.Sprintf("handle %d size %d", e.Handle, e.Size))
	}
	if diff := cmp.Diff([]string{"handle 0 size 50", "handle 2 size 20", "handle 2 size 30"}, got); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	h := start(t)
	want := pattern(1<<20 + 1)
	h.share.set(want)
	h.share.protect(true)
	c := h.client()
	st, err := c.Stat(name)
	if err != nil || st.Mode() != 0o444 {
		t.Errorf("Stat: %v, %v, want -r--r--r--", st.Mode(), err)
	}
	for _, flags := range []int{os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND,
		os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_CREATE | os.O_TRUNC} {
		if _, err := c.OpenFile(name, flags); !os.IsPermission(err) {
			t.Errorf("open with flags %#x: %v, want permission denied", flags, err)
		}
	}
	if err := c.Truncate(name, 0); !os.IsPermission(err) {
		t.Errorf("Truncate: %v", err)
	}
	f, err := c.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(0); !os.IsPermission(err) {
		t.Errorf("FSETSTAT: %v", err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a handle for reading could be written to")
	}
	// Resumed.
	if _, err := f.Seek(1000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := f.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want[1000:]) {
		t.Errorf("read %d bytes from 1000 on, %v", got.Len(), err)
	}
	h.wants(want)
}

// TestTwoSessions write different halves of the file at once, while a third reads.
func TestSessions_atOnce(t *testing.T) {
	t.Parallel()
	h := start(t)
	want := pattern(1 << 20)
	half := len(want) / 2
	var wg sync.WaitGroup
	for _, at := range []int{0, half} {
		c := h.client(sftp.UseConcurrentWrites(true))
		f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if _, err := f.WriteAt(want[at:at+half], int64(at)); err != nil {
				t.Error(err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	reader := h.client()
	wg.Go(func() {
		for range 20 {
			if _, err := reader.Stat(name); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	h.wants(want)
}

func TestWriters_inARow(t *testing.T) {
	t.Parallel()
	h := start(t)
	for i := range 20 {
		c := h.client()
		data := pattern(1000 * (20 - i))
		put(t, c, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, data)
		h.wants(data)
		c.Close()
	}
}

// TestStorageFails sees that the client gets a fixed text, and the journal the true one.
func TestStorageFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("write /srv/data/10534: %w", syscall.ENOSPC), "4 No space left on device"},
		{fmt.Errorf("write /srv/data/10534: %w", syscall.EIO), "4 Failure"},
		{fmt.Errorf("/srv: %w", os.ErrPermission), denied},
		{fmt.Errorf("/srv: %w", os.ErrNotExist), noFile},
		{fmt.Errorf("/srv: %w", syscall.EFBIG), "4 File too large"},
		{sftpserver.ErrDenied, denied},
	} {
		h := start(t)
		r := h.raw()
		handle := r.open(name, fWrite|fCreate)
		h.share.mu.Lock()
		h.share.fail = test.err
		h.share.mu.Unlock()
		if got := r.status(6, handle, uint64(0), "data"); got != test.want {
			t.Errorf("%v: WRITE was answered %q, want %q", test.err, got, test.want)
		}
		if got := r.status(9, "/"+name, []byte{0, 0, 0, 1}, uint64(0)); got != test.want {
			t.Errorf("%v: SETSTAT was answered %q, want %q", test.err, got, test.want)
		}
		list := h.events.all(sftpserver.EventDenied)
		if len(list) != 2 || list[0].Op != "write" || list[0].Reason != test.err.Error() {
			t.Errorf("journalled %+v", list)
		}
	}
}

func TestWrite_offsetsBeyondReason(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set([]byte("dump"))
	r := h.raw()
	handle := r.open(name, fRead|fWrite)
	for _, offset := range []uint64{1 << 63, 1<<64 - 1, 1<<63 - 2} {
		if got := r.status(6, handle, offset, "data"); got != "4 File too large" {
			t.Errorf("WRITE at %d: %q", offset, got)
		}
		if got := r.status(5, handle, offset, 10); !strings.HasPrefix(got, "1 ") {
			t.Errorf("READ at %d: %q, want end of file", offset, got)
		}
	}
	if got := r.status(6, handle, uint64(1)<<40, "data"); got != "4 Failure" {
		t.Errorf("WRITE where the storage refuses: %q", got)
	}
	r.close(handle)
	h.wants([]byte("dump"))
}
