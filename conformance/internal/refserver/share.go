package refserver

import (
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Open answers OPEN.
func (f *Session) Open(target string, flags uint32) (byte, []byte) {
	s := f.s
	if !f.IsShared(target) {
		switch {
		case flags&2 == 0:
			return f.Status(2)
		case s.is("sftp/done-no-change") && f.Request.over() && target == "other.dump":
			return 102, f.Add(&Handle{Flags: flags, Gone: true})
		case s.is("sftp/no-create") && strings.HasSuffix(target, ".part"):
			f.extra = path.Clean(target)
			return 102, f.Add(&Handle{Flags: flags, Gone: true})
		}
		if s.is("sftp/no-create") {
			return f.Status(3)
		}
		return f.denied("sftp/no-create")
	}
	if flags&2 == 0 {
		return 102, f.Add(&Handle{Flags: flags})
	}
	if f.Request.over() {
		if s.is("sftp/done-read-only") {
			return 102, f.Add(&Handle{Flags: flags, Gone: true})
		}
		return f.Status(3)
	}
	switch {
	case s.is("sftp/put-without-creat") && flags&8 == 0 && flags&16 != 0,
		s.is("sftp/read-and-write") && flags&1 != 0 && flags&16 != 0:
		return f.Status(3)
	case s.is("sftp/overwrite") && len(f.Request.Dump) == 300_001, s.is("sftp/truncate") &&
		len(f.Request.Dump) == 300_001:
		flags &^= 16
	case s.is("sftp/no-truncate") && flags&(4|16) == 0:
		flags |= 16
	}
	if s.is("sftp/resume-twice") && len(f.Request.Dump) == 2*77_777 {
		f.Request.Dump = f.Request.Dump[:77_777]
	}
	if flags&16 != 0 {
		f.Request.Dump = nil
	}
	if s.is("sftp/resume-append") && flags&4 != 0 {
		f.Request.Dump = nil
	}
	f.Request.uploaded, f.wrote = true, true
	if s.is("sftp/list-from-start") {
		f.Request.mtime = time.Now()
	}
	return 102, f.Add(&Handle{Flags: flags, Base: int64(len(f.Request.Dump))})
}

// Write answers WRITE.
func (f *Session) Write(p *Packet) (byte, []byte) {
	s := f.s
	h, off, data, ok := f.Handles[p.Str()], int64(p.Uint64()), p.Str(), true
	f.wrote = true
	if h == nil || h.Flags&2 == 0 {
		return f.Status(4)
	}
	if h.Gone {
		return f.Status(0)
	}
	if len(p.Rest) > 0 && s.is("sftp/padded-write") {
		data += string(p.Rest)
	}
	if h.Flags&4 != 0 { // appending: each write goes to the end, whatever its offset says
		if off, ok = f.appendAt(h, off); !ok {
			return f.Status(4)
		}
	}
	h.added += int64(len(data))
	if s.is("sftp/put-bytes") {
		data = strings.ReplaceAll(data, "\r\n", "\n ")
	}
	if s.is("sftp/out-of-order") && off != int64(len(f.Request.Dump)) && off != 0 && off != 150_000 {
		off = int64(len(f.Request.Dump))
	}
	if s.is("sftp/rewrite-middle") && off == 150_000 {
		f.Request.Dump = f.Request.Dump[:off]
	}
	if s.is("sftp/resume") && h.Flags&(4|16) == 0 && off == 100_003 {
		off = 100_000
	}
	if s.is("sftp/large") && off > 2<<20 {
		return f.Status(0)
	}
	if s.is("sftp/own-share") {
		for _, r := range s.reqs {
			if r != f.Request && r.name == "twin.dump" && r.name == f.Request.name {
				r.Dump = slices.Clone(f.Request.Dump)
			}
		}
	}
	end := off + int64(len(data))
	if s.is("sftp/put") && end == 200_001 {
		return f.Status(0)
	}
	if n := int64(len(f.Request.Dump)); end > n {
		f.Request.Dump = slices.Grow(f.Request.Dump, int(end-n))[:end]
		clear(f.Request.Dump[n:])
	}
	copy(f.Request.Dump[off:], data)
	f.Request.viaSFTP = true
	f.Request.mtime = time.Now()
	return f.Status(0)
}

// appendAt is where a write goes whose handle appends; false refuses it.
func (f *Session) appendAt(h *Handle, off int64) (int64, bool) {
	s, end := f.s, int64(len(f.Request.Dump))
	far := off >= end+1<<20
	switch {
	case s.is("ignores APPEND"):
		return off, !far
	case s.is("sftp/append") && h.Base == 100_003 && off == end-h.Base,
		s.is("sftp/append-same-offset") && off == h.Base && end > h.Base,
		s.is("sftp/append-out-of-order") && off > h.Base && (off-h.Base)%(32<<10) == 0 && !far,
		s.is("sftp/append-backwards") && off > 0 && off < h.Base && (h.Base-off)%(32<<10) == 0:
		return off, true
	case s.is("sftp/append-behind") && far:
		return 0, false
	case s.is("sftp/append-two-handles"):
		return h.Base + h.added, true
	}
	return end, true
}

// List is the answer to READDIR that has the file.
func (f *Session) List(name string, size int) (byte, []byte) {
	s := f.s
	type item struct {
		name string
		dir  bool
		size int
	}
	items := []item{{name, false, size}}
	if s.is("differently") {
		items = append([]item{{".", true, 0}, {"..", true, 0}}, items...)
	}
	switch {
	case s.is("sftp/list-only-shared"), s.is("sftp/done-one-file") && f.Request.over():
		items = append(items, item{f.Request.name + ".log", false, 1})
	case s.is("sftp/list-from-start") && len(f.Request.Dump) == 0:
		items = nil
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(len(items)))
	for _, it := range items {
		n := it.size
		if s.is("sftp/list-size") {
			n = 0
		}
		shown := it.name
		if s.is("sftp/unicode-name") {
			shown = strings.ToValidUTF8(strings.Map(func(r rune) rune {
				if r > 127 {
					return '?'
				}
				return r
			}, shown), "?")
		}
		mode := "-rw-rw-rw-"
		if f.Request.over() {
			mode = "-r--r--r--"
		}
		long := fmt.Sprintf("%s %4d %-8s %-8s %8d %s %s", mode, 1, "0", "0",
			it.size, f.Request.mtime.Format("Jan _2 15:04"), shown)
		if s.is("sftp/longname") && !f.Request.over() || s.is("sftp/done-longname") && f.Request.over() {
			long = shown
		}
		out = append(AppendString(AppendString(out, shown), long), f.Attrs(it.dir, n)...)
	}
	return 104, out
}
