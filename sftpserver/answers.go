package sftpserver

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"time"
)

// Write takes pkg/sftp's answers, each in one piece or in two, of which the first holds the length and the request id.
func (f *frames) Write(p []byte) (int, error) {
	f.session.conn.progress.Add(1)
	head, body := f.begun, p
	if head == nil {
		head, body = p, nil
	}
	if len(head) < 9 {
		return 0, fmt.Errorf("sftpserver: an answer that begins with %d bytes", len(head))
	}
	if missing := 4 + int(binary.BigEndian.Uint32(head)) - len(head) - len(body); missing > 0 {
		f.begun = append([]byte(nil), head...)
		return len(p), nil
	}
	f.begun = nil
	f.answer(head, body)
	f.answered()
	return len(p), nil
}

// answer sends one whole answer, changed where ours is better.
func (f *frames) answer(head, body []byte) {
	kind, id := head[4], binary.BigEndian.Uint32(head[5:])
	if kind == fxpData {
		f.out.put(head, body)
		return
	}
	message := append(append([]byte(nil), head...), body...)
	d := decoder{message[9:]}
	switch kind {
	case fxpVersion:
		// Only what is served: pkg/sftp would also announce hardlink, posix-rename and statvfs. The version stands where
		// others have the id.
		e := encoder{kind: fxpVersion, id: id}
		e.string("limits@openssh.com")
		e.string("1")
		message = e.message()
	case fxpHandle:
		f.answeredOpen(id, []byte(d.string()))
	case fxpStatus:
		f.answeredOpen(id, nil)
		d.uint32()
		if d.string() == endMark {
			f.endNow(id)
			return
		}
	case fxpName:
		message = f.withLongNames(id, message)
	}
	f.out.put(message)
}

// endNow ends the connection in place of an answer, once all answers before it are on their way.
func (f *frames) endNow(id uint32) {
	e := f.session.ending.Load()
	if e.fault == nil {
		f.out.put(statusMessage(id, fxDenied, statusDenied.text))
	}
	f.out.drain()
	e.end(f.session.conn)
}

// withLongNames gives the entries of a listing the lines that `ls -l` prints for them: pkg/sftp has its own idea of
// the date.
func (f *frames) withLongNames(id uint32, message []byte) []byte {
	d := decoder{message[9:]}
	count := d.uint32()
	e := encoder{kind: fxpName, id: id}
	e.uint32(count)
	for range count {
		name := d.string()
		d.string() // pkg/sftp's line
		flags := d.uint32()
		if flags != 0x0f { // size, owner, permissions, times: a listing. A REALPATH has none.
			return message
		}
		size, uid, gid, mode, atime, mtime := d.uint64(), d.uint32(), d.uint32(), d.uint32(), d.uint32(), d.uint32()
		if d.b == nil {
			return message
		}
		e.string(name)
		e.string(longName(name, fs.FileMode(mode&0o777), size, time.Unix(int64(mtime), 0), f.session.conn.srv.opts.Now()))
		e.uint32(flags)
		e.uint64(size)
		for _, v := range []uint32{uid, gid, mode, atime, mtime} {
			e.uint32(v)
		}
	}
	return e.message()
}

// longName is the line of `ls -l` for the file, in UTC; as OpenSSH's server makes it, the year stands in place of the
// time of day for a file older than half a year or of the future. Some clients read size and mode from here only.
func longName(name string, mode fs.FileMode, size uint64, mtime, now time.Time) string {
	layout := "Jan _2 15:04"
	if age := now.Sub(mtime); age < 0 || age > 365*24*time.Hour/2 {
		layout = "Jan _2  2006"
	}
	return fmt.Sprintf("%s %4d %-8d %-8d %8d %s %s", mode, 1, 0, 0, size, mtime.UTC().Format(layout), name)
}

// statusMessage is a STATUS answer.
func statusMessage(id, code uint32, text string) []byte {
	e := encoder{kind: fxpStatus, id: id}
	e.uint32(code)
	e.string(text)
	e.string("en")
	return e.message()
}

// decoder reads the fields of a message. After a field that is not there b is nil, and all further fields are zero.
type decoder struct{ b []byte }

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) || d.b == nil {
		d.b = nil
		return nil
	}
	field := d.b[:n]
	d.b = d.b[n:]
	return field
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) string() string { return string(d.take(int(d.uint32()))) }

// encoder writes the fields of a message.
type encoder struct {
	kind byte
	id   uint32
	b    []byte
}

func (e *encoder) uint32(v uint32) { e.b = binary.BigEndian.AppendUint32(e.b, v) }
func (e *encoder) uint64(v uint64) { e.b = binary.BigEndian.AppendUint64(e.b, v) }

func (e *encoder) string(v string) {
	e.uint32(uint32(len(v)))
	e.b = append(e.b, v...)
}

// message is the whole of it, length first.
func (e *encoder) message() []byte {
	m := binary.BigEndian.AppendUint32(make([]byte, 0, 9+len(e.b)), uint32(5+len(e.b)))
	m = append(m, e.kind)
	m = binary.BigEndian.AppendUint32(m, e.id)
	return append(m, e.b...)
}
