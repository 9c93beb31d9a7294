package sftpserver_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/sftpserver"
)

func TestHandles_wrongOnes(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set([]byte("dump"))
	r := h.raw()
	handle := r.open(name, fRead)
	_, dir := r.ask(11, "/")
	directory := string(dir[4:])
	r.close(handle)
	for what, got := range map[string]string{
		"READ of a closed handle":       r.status(5, handle, uint64(0), 10),
		"WRITE to a closed handle":      r.status(6, handle, uint64(0), "x"),
		"CLOSE of a closed handle":      r.status(4, handle),
		"FSTAT of a closed handle":      r.status(8, handle),
		"FSETSTAT of a closed handle":   r.status(10, handle, []byte{0, 0, 0, 0}),
		"READDIR of a closed handle":    r.status(12, handle),
		"READ of a directory":           r.status(5, directory, uint64(0), 10),
		"WRITE to a directory":          r.status(6, directory, uint64(0), "x"),
		"READ of a handle never given":  r.status(5, "\x00\xff", uint64(0), 10),
		"CLOSE of an empty handle":      r.status(4, ""),
		"FSETSTAT of a broken handle":   r.status(10, "", []byte{0, 0, 0, 0}),
		"FSETSTAT of another's handle":  r.status(10, "99", []byte{0, 0, 0, 1}, uint64(0)),
		"WRITE to what is no handle":    r.status(6, strings.Repeat("h", 300), uint64(0), "x"),
		"READDIR of a handle never had": r.status(12, "17"),
	} {
		if got[0] == '0' {
			t.Errorf("%s: %q", what, got)
		}
	}
	h.wants([]byte("dump"))
}

// TestHandles_otherWay reads through a handle that was opened to write, and writes through one that was opened to
// read. pkg/sftp takes the one for the other.
func TestHandles_otherWay(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set([]byte("dump"))
	r := h.raw()
	for _, flags := range []int{fWrite, fWrite | fAppend, fWrite | fCreate, fWrite | fExcl} {
		handle := r.open(name, flags)
		if got := r.status(5, handle, uint64(0), 4); got != "4 Invalid handle" {
			t.Errorf("READ after an OPEN with flags %#x: %q", flags, got)
		}
		if got := r.status(5, handle, uint64(100), 4); got != "4 Invalid handle" {
			t.Errorf("READ behind the end after an OPEN with flags %#x: %q", flags, got)
		}
		r.close(handle)
	}
	for _, flags := range []int{fRead, fRead | fExcl, fAppend, 0} {
		handle := r.open(name, flags)
		if got := r.status(6, handle, uint64(0), "x"); got != "4 Invalid handle" {
			t.Errorf("WRITE after an OPEN with flags %#x: %q", flags, got)
		}
		r.close(handle)
	}
	h.wants([]byte("dump"))
	if n := len(h.events.all(sftpserver.EventDenied)); n != 12 {
		t.Errorf("%d refusals in the journal, want 12", n)
	}
	handle := r.open(name, fRead|fTrunc) // empties the file, as it does for OpenSSH's server
	if got := r.status(6, handle, uint64(0), "x"); got != "4 Invalid handle" {
		t.Errorf("WRITE after an OPEN to read and truncate: %q", got)
	}
	r.close(handle)
	h.wants(nil)
}

func TestHandles_areBounded(t *testing.T) {
	t.Parallel()
	r := start(t).raw()
	open := 0
	for kind, _ := r.ask(3, name, fRead, 0); kind == 102; kind, _ = r.ask(3, name, fRead, 0) {
		if open++; open > 10_000 {
			t.Fatal("no bound")
		}
	}
	if got := r.status(11, "/"); got != "4 Too many open handles" {
		t.Errorf("OPENDIR with %d handles open: %q", open, got)
	}
	r.close("1")
	if got := r.open(name, fRead); got == "" {
		t.Error("a closed handle made no place")
	}
}

// TestLimits asks for limits@openssh.com and then uses them to the full.
func TestLimits(t *testing.T) {
	t.Parallel()
	h := start(t)
	r := h.raw()
	kind, rest := r.ask(200, "limits@openssh.com")
	if kind != 201 || len(rest) != 32 {
		t.Fatalf("answered with type %d, %d bytes", kind, len(rest))
	}
	longest, read, write := binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:]),
		binary.BigEndian.Uint64(rest[16:])
	if longest != 256<<10 || read != 255<<10 || write != 255<<10 {
		t.Errorf("limits: message %d, read %d, write %d", longest, read, write)
	}
	data := pattern(int(write))
	handle := r.open(name, fRead|fWrite|fTrunc|fCreate)
	r.writeAt(handle, 0, data)
	h.wants(data)
	kind, rest = r.ask(5, handle, uint64(0), int(read))
	if kind != 103 || !bytes.Equal(rest[4:], data) {
		t.Errorf("READ of %d: type %d, %d bytes", read, kind, len(rest))
	}
	// One that is too long is refused, and does no harm.
	if got := r.status(6, handle, uint64(0), strings.Repeat("x", 300_000)); got != "5 Message too long" {
		t.Errorf("a message of 300 kB: %q", got)
	}
	h.wants(data)
	r.close(handle)
}

// TestPipelined sends requests of all kinds without waiting: each gets its answer, in order.
func TestPipelined(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set(pattern(1 << 16))
	r := h.raw()
	handle := r.open(name, fRead|fWrite)
	var want []uint32
	for i := range 200 {
		switch i % 5 {
		case 0:
			want = append(want, r.send(5, handle, uint64(i*100), 1000))
		case 1:
			want = append(want, r.send(6, handle, uint64(i), ""))
		case 2:
			want = append(want, r.send(17, "/"+name))
		case 3:
			want = append(want, r.send(16, "."))
		case 4:
			want = append(want, r.send(8, handle))
		}
	}
	want = append(want, r.send(4, handle))
	var got []uint32
	for range want {
		_, id, _ := r.receive()
		got = append(got, id)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
}
