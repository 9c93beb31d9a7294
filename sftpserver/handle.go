package sftpserver

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

// handle is one open file of a session. pkg/sftp's workers call it concurrently; Close comes last, after TransferError
// if the session broke.
type handle struct {
	session *session
	number  uint64
	flags   Flags
	file    File
	name    string
	base    int64 // the file's size when it was opened, after a truncation
	onRead  *armed
	onWrite *armed

	nameOnWire string // what the client calls it; under filter.mu

	mu             sync.Mutex
	written        ranges
	read           ranges
	received, sent int64 // how many bytes were stored and read, counted again each time

	stored  ranges // only with a failing write fault: what is there without a hole
	crossed bool   // likewise: bytes beyond the fault were sent
	lost    error  // the session broke
	refused bool   // a write, or setting the size, was refused
}

// slowFromTheStart triggers faults that only slow the transfer from its first byte on. Later they would miss what the
// client sends ahead.
func (h *handle) slowFromTheStart() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range []*armed{h.onRead, h.onWrite} {
		if a.reaches(1) && !a.fails() {
			a.trigger(h)
		}
	}
}

func (h *handle) writable() bool { return h.flags.Write }

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	switch {
	case h.flags.Append:
		return h.append(p)
	case off < 0 || off > math.MaxInt64-int64(len(p)):
		return 0, h.refuse("write", statusTooBig)
	}
	h.mu.Lock()
	fault := h.onWrite
	touched := len(p) > 0 && fault.reaches(off+int64(len(p)))
	if touched && !fault.fails() {
		fault.trigger(h)
		touched = false
	}
	h.mu.Unlock()

	keep := p
	if touched {
		keep = p[:min(max(max(fault.fault.After, 0)-off, 0), int64(len(p)))]
	}
	if len(keep) > 0 {
		if n, err := h.file.WriteAt(keep, off); err != nil {
			h.noteWritten(off, n)
			return n, h.refuse("write", err)
		}
	}
	if err := h.noteWritten(off, len(keep)); err != nil {
		return 0, h.refuse("write", err)
	}
	if fault.fails() {
		if err := h.triggerWrite(touched); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// append puts p at the end of the file. With the flag APPEND offsets mean nothing, as with O_APPEND.
func (h *handle) append(p []byte) (int, error) {
	limit := int64(math.MaxInt64)
	h.mu.Lock()
	fault := h.onWrite
	h.mu.Unlock()
	if fault.fails() {
		limit = max(fault.fault.After, 0)
	}
	off, n, err := h.file.Append(p, limit)
	if noted := h.noteWritten(off, n); err == nil {
		err = noted
	}
	if err != nil {
		return n, h.refuse("write", err)
	}
	if len(p) > 0 && fault.reaches(off+int64(len(p))) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if err := fault.trigger(h); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// triggerWrite triggers the fault once everything before its offset is stored and something beyond it was sent. Until
// then the bytes beyond are dropped, and their answers say that they were written.
func (h *handle) triggerWrite(touched bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.crossed = h.crossed || touched
	if h.onWrite.fired && !touched || !h.crossed || !h.stored.covers(h.onWrite.fault.After) {
		return nil
	}
	return h.onWrite.trigger(h)
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, io.EOF
	}
	h.mu.Lock()
	fault := h.onRead
	touched := fault.reaches(off + int64(len(p)))
	if touched && !fault.fails() {
		fault.trigger(h)
		touched = false
	}
	h.mu.Unlock()
	if touched {
		after := max(fault.fault.After, 0)
		if off >= after {
			// At the end of a file that does not reach beyond the fault nothing triggers it.
			if n, err := h.file.ReadAt(p[:min(len(p), 1)], off); n == 0 && err != nil {
				return 0, h.refuse("read", err)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			return 0, fault.trigger(h)
		}
		p = p[:after-off]
	}
	n, err := h.file.ReadAt(p, off)
	if n > 0 {
		h.noteRead(off, n)
	}
	if err != nil && err != io.EOF {
		return n, h.refuse("read", err)
	}
	return n, err
}

// noteWritten remembers n bytes that were stored. It fails if they are scattered over too many ranges.
func (h *handle) noteWritten(off int64, n int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.received += int64(n)
	if h.onWrite.fails() {
		h.stored.add(off, off+int64(n))
	}
	if !h.written.add(off, off+int64(n)) {
		return statusScattered
	}
	return nil
}

// noteRead remembers n bytes that were read. It forgets them if they are scattered over too many ranges.
func (h *handle) noteRead(off int64, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent += int64(n)
	h.read.add(off, off+int64(n))
}

// mayFire reports whether a READ, or else a WRITE, that ends at that offset may fire a fault: it has to be served
// alone. Once something was sent beyond a fault that fails, so may every later one, also before the fault's offset.
func (h *handle) mayFire(read bool, end uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.onWrite
	if read {
		a = h.onRead
	}
	may := a.mayFire(int64(min(end, math.MaxInt64)))
	if may {
		a.beyond = true
	}
	return may || a.fails() && a.beyond
}

// truncate is an FSETSTAT with a size.
func (h *handle) truncate(size int64) error {
	if !h.writable() {
		return h.refuse("truncate", statusDenied)
	}
	h.mu.Lock()
	if h.onWrite.fails() && h.onWrite.reaches(size) {
		size = max(h.onWrite.fault.After, 0)
	}
	h.mu.Unlock()
	if err := h.file.Truncate(size); err != nil {
		return h.refuse("truncate", err)
	}
	h.mu.Lock()
	h.written.cut(size)
	h.stored.cut(size)
	h.mu.Unlock()
	h.session.emit(Event{Kind: EventTruncate, Handle: h.number, Path: "/" + h.name, Size: size})
	return nil
}

// TransferError is called by pkg/sftp before Close when the session ended with the handle open.
func (h *handle) TransferError(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.session.clean():
		h.lost = h.session.brokenBy(err)
	case h.gap():
		h.lost = errHole
	}
}

// errHole is why a file is cut whose session ended in order: some clients write out of order, and end the session
// without closing the file when they are stopped.
var errHole = errors.New("the session ended with the file open and a hole in what was written")

// gap reports whether what was written leaves a hole. The caller holds mu.
func (h *handle) gap() bool {
	list := h.written.list
	return !h.flags.Append && (len(list) > 1 || len(list) == 1 && list[0].From > h.base)
}

// Close ends the file; pkg/sftp calls it once, when no other call is running.
func (h *handle) Close() error {
	s := h.session
	defer s.ssh.Limit(h, 0)
	s.closed(h)

	h.mu.Lock()
	cause := h.lost
	var answer error
	if cause == nil && h.onWrite.fails() && h.crossed && !h.onWrite.fired {
		// The bytes beyond the fault were dropped, and no answer has said so yet.
		answer = h.onWrite.trigger(h)
		cause = fmt.Errorf("%w (%s)", sshhost.ErrFault, h.onWrite.fault.Name)
	}
	var onClose *armed
	if cause == nil {
		onClose = arm(s.ask(OpClose, h.flags), OpClose)
	}
	if onClose != nil {
		if answer = onClose.trigger(h); answer != nil {
			cause = fmt.Errorf("%w (%s)", sshhost.ErrFault, onClose.fault.Name)
		}
	}
	e := Event{
		Kind: EventClose, Handle: h.number, Path: "/" + h.name, Flags: h.flags, File: h.file,
		Received: h.received, Sent: h.sent,
	}
	for _, a := range []*armed{onClose, h.onWrite, h.onRead} {
		switch {
		case a == nil:
		case !a.fired:
			e.Spared = append(e.Spared, a.fault.Name)
		case e.Name == "":
			e.Name, e.Offset = a.fault.Name, a.at(h)
		}
	}
	h.mu.Unlock()
	var err error
	if cause == nil {
		err = h.file.Close()
	} else {
		e.Kind, e.Reason = EventAbort, cause.Error()
		err = h.file.Abort(cause)
	}
	if err != nil {
		e.Reason = err.Error()
	}
	if info, statErr := s.share.Stat(); statErr == nil {
		e.Size = info.Size
	}
	h.mu.Lock()
	e.Incomplete = h.refused || h.onWrite.fails() && h.onWrite.fired
	h.mu.Unlock()
	e.Written, e.Read = h.written.snapshot(), h.read.snapshot()
	s.emit(e)
	if answer != nil {
		return answer
	}
	return s.answer(err)
}

// refuse reports a failed operation and returns what the client is answered.
func (h *handle) refuse(op string, err error) error {
	if op != "read" {
		h.mu.Lock()
		h.refused = true
		h.mu.Unlock()
	}
	return h.session.refuse(op, "/"+h.name, err)
}
