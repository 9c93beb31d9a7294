package refserver

import (
	"encoding/binary"
	"io"
	"path"
	"strconv"
	"strings"
)

// Handle is an open file or directory.
type Handle struct {
	Flags uint32
	Dir   bool
	Read  bool  // the directory was
	Base  int64 // the size when it was opened
	added int64 // bytes that were written through it
	Gone  bool  // another file, for mutations that let it be made
}

// Session is one SFTP session.
type Session struct {
	s       *Server
	Request *Request
	rw      io.ReadWriter
	Handles map[string]*Handle
	n       int
	frozen  []byte // the content at the session's begin, for a mutation that never looks again
	wrote   bool
	extra   string // a file or directory that a mutation let be made
}

// Packet is what is left of a packet that is being read.
type Packet struct{ Rest []byte }

// Uint32 takes a number.
func (p *Packet) Uint32() uint32 {
	if len(p.Rest) < 4 {
		p.Rest = nil
		return 0
	}
	v := binary.BigEndian.Uint32(p.Rest)
	p.Rest = p.Rest[4:]
	return v
}

// Uint64 takes a number.
func (p *Packet) Uint64() uint64 { return uint64(p.Uint32())<<32 | uint64(p.Uint32()) }

// Str takes a string.
func (p *Packet) Str() string {
	n := int(p.Uint32())
	if n > len(p.Rest) {
		p.Rest = nil
		return ""
	}
	v := string(p.Rest[:n])
	p.Rest = p.Rest[n:]
	return v
}

// end is what becomes of a session that is over.
func (f *Session) end() {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.s.is("SFTP apart") && f.wrote {
		f.Request.Dump, f.Request.uploaded = nil, false
	}
	writing := false
	for _, h := range f.Handles {
		writing = writing || h.Flags&2 != 0
	}
	if f.s.is("sftp/interrupted") && writing || f.s.is("sftp/next-session") && len(f.Request.Dump) == 200_000 {
		f.Request.Dump = nil
	}
}

// serve answers requests until the session ends.
func (f *Session) serve() {
	defer f.end()
	if f.s.is("sftp/two-sessions") {
		f.s.mu.Lock()
		f.frozen = append([]byte{}, f.Request.Dump...)
		f.s.mu.Unlock()
	}
	for {
		var head [4]byte
		if _, err := io.ReadFull(f.rw, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n == 0 || n > 1<<20 {
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(f.rw, b); err != nil {
			return
		}
		kind, p := b[0], &Packet{b[1:]}
		if kind == 1 {
			version := uint32(3)
			if f.s.is("SFTP 6") {
				version = 6
			}
			f.send(2, binary.BigEndian.AppendUint32(nil, version))
			continue
		}
		id := p.Uint32()
		f.s.mu.Lock()
		typ, data := f.handle(kind, p)
		f.s.mu.Unlock()
		if typ == 0 {
			return // a mutation ends the session
		}
		f.send(typ, append(binary.BigEndian.AppendUint32(nil, id), data...))
	}
}

// send sends a packet.
func (f *Session) send(typ byte, data []byte) {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))
	f.rw.Write(append(append(out, typ), data...))
}

// AppendString appends a string as packets hold it.
func AppendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// Status answers with a status.
func (f *Session) Status(code uint32) (byte, []byte) {
	if f.s.is("differently") && code == 3 {
		code = 4
	}
	text := "no"
	if f.s.is("sftp/no-paths-told") && code != 0 {
		text = "open /var/lib/server/x: no"
	}
	return 101, AppendString(AppendString(binary.BigEndian.AppendUint32(nil, code), text), "en")
}

// shown is the one file's name and content.
func (f *Session) Shared() (string, []byte) {
	if f.Request.over() {
		name := f.s.upgradedName(f.Request)
		if f.s.is("sftp/done-name") {
			name = "upgraded.dump"
		}
		data := f.s.upgraded(f.Request)
		if f.s.is("SFTP cuts what was upgraded") {
			data = data[:len(data)/2]
		}
		if f.s.is("urls/same-over-sftp") {
			data = append(data, '\n')
		}
		return name, data
	}
	if f.frozen != nil && !f.wrote {
		return f.Request.name, f.frozen
	}
	return f.Request.name, f.Request.Dump
}

// IsShared reports whether a path is that of the shared file.
func (f *Session) IsShared(p string) bool {
	name, _ := f.Shared()
	if f.s.is("sftp/put-path") && strings.HasPrefix(p, "./") {
		return false
	}
	clean := path.Clean("/" + p)
	if f.s.is("sftp/done-read-only") && f.Request.over() && clean == "/"+f.Request.name {
		return true
	}
	return clean == "/"+name
}

// Attrs are the attributes of a file or directory.
func (f *Session) Attrs(dir bool, size int) []byte {
	s := f.s
	mode, uid := uint32(0o100666), uint32(0)
	if f.Request.over() {
		mode = 0o100444
	}
	if dir {
		mode = 0o040755
	}
	if s.is("sftp/list-mode") && !dir {
		mode = 0o100644
	}
	if s.is("sftp/list-owner") {
		uid = 1000
	}
	mtime := uint32(f.Request.mtime.Unix())
	if s.is("sftp/list-time") {
		mtime = 0
	}
	b := binary.BigEndian.AppendUint32(nil, 1|2|4|8)
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	for _, v := range []uint32{uid, 0, mode, mtime, mtime} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// handle answers a request by the number of its kind.
func (f *Session) handle(kind byte, p *Packet) (byte, []byte) {
	s := f.s
	if s.Packet != nil {
		if typ, data := s.Packet(f, kind, &Packet{p.Rest}); typ != 0 {
			return typ, data
		}
	}
	switch kind {
	case 3: // open
		return f.Open(p.Str(), p.Uint32())
	case 4: // close
		h := p.Str()
		if f.Handles[h] == nil {
			return f.Status(4)
		}
		delete(f.Handles, h)
		return f.Status(0)
	case 5: // read
		return f.read(p)
	case 6: // write
		return f.Write(p)
	case 7, 17: // lstat, stat
		return f.stat(p.Str())
	case 8: // fstat
		if h := f.Handles[p.Str()]; h == nil {
			return f.Status(4)
		}
		_, data := f.Shared()
		return 105, f.Attrs(false, len(data))
	case 9, 10: // setstat, fsetstat
		return f.setstat(p)
	case 11: // opendir
		if target := path.Clean("/" + p.Str()); target != "/" && !(s.is("sftp/no-way-out") && target == "/etc") {
			return f.denied("")
		}
		return 102, f.Add(&Handle{Dir: true})
	case 12: // readdir
		return f.readdir(p)
	case 13:
		return f.denied("sftp/no-remove")
	case 14:
		return f.denied("sftp/no-mkdir")
	case 15:
		return f.denied("sftp/no-rmdir")
	case 16: // realpath
		target := path.Clean("/" + p.Str())
		return 104, append(AppendString(AppendString(binary.BigEndian.AppendUint32(nil, 1), target), target), 0, 0, 0,
			0)
	case 18:
		return f.denied("sftp/no-rename")
	case 20:
		return f.denied("sftp/no-symlink")
	case 200:
		switch p.Str() {
		case "posix-rename@openssh.com":
			return f.denied("sftp/no-rename")
		case "hardlink@openssh.com":
			return f.denied("sftp/no-link")
		}
		return f.Status(8)
	}
	return f.Status(8)
}

// read answers READ.
func (f *Session) read(p *Packet) (byte, []byte) {
	s := f.s
	_, data := f.Shared()
	h, off, n := f.Handles[p.Str()], int(p.Uint64()), int(p.Uint32())
	if h == nil || h.Dir {
		return f.Status(4)
	}
	if off >= len(data) {
		if s.is("sftp/read-back") && off > len(data) {
			return f.Status(4)
		}
		return f.Status(1)
	}
	if s.is("sftp/done-get-resume") && f.Request.over() && off > 0 && off < len(data) && off%(32<<10) != 0 {
		off--
	}
	if s.is("sftp/done-get") && f.Request.over() {
		data = data[:len(data)-1]
	}
	return 103, AppendString(nil, string(data[off:min(len(data), off+n)]))
}

// stat answers STAT and LSTAT.
func (f *Session) stat(target string) (byte, []byte) {
	s := f.s
	_, data := f.Shared()
	switch clean := path.Clean("/" + target); {
	case clean == "/":
		if s.is("sftp/root") {
			return 105, f.Attrs(false, 0)
		}
		return 105, f.Attrs(true, 0)
	case f.IsShared(target):
		n := len(data)
		if s.is("sftp/stat-size") {
			n++
		}
		return 105, f.Attrs(false, n)
	case f.extra != "" && clean == "/"+f.extra:
		return 105, f.Attrs(false, 1)
	case s.is("sftp/no-such-file"):
		return f.Status(4)
	}
	return f.Status(2)
}

// setstat answers SETSTAT and FSETSTAT.
func (f *Session) setstat(p *Packet) (byte, []byte) {
	s := f.s
	p.Str()
	flags := p.Uint32()
	if s.is("sftp/setstat") && flags&4 != 0 {
		return f.Status(8)
	}
	if flags&1 != 0 && !f.Request.over() && !s.is("sftp/truncate-setstat") && !s.is("differently") {
		if n := int(p.Uint64()); n < len(f.Request.Dump) {
			f.Request.Dump = f.Request.Dump[:n:n]
		}
	}
	return f.Status(0)
}

// readdir answers READDIR.
func (f *Session) readdir(p *Packet) (byte, []byte) {
	name, data := f.Shared()
	h := f.Handles[p.Str()]
	if h == nil || !h.Dir {
		return f.Status(4)
	}
	if h.Read {
		return f.Status(1)
	}
	h.Read = true
	return f.List(name, len(data))
}

// denied refuses, unless the mutation of that name lets it happen or has another status.
func (f *Session) denied(mutation string) (byte, []byte) {
	switch {
	case mutation != "" && f.s.is(mutation):
		return f.Status(0)
	case mutation != "" && f.s.is(mutation+"-status"):
		return f.Status(5)
	case mutation == "" && f.s.is("sftp/no-way-out-status"):
		return f.Status(5)
	}
	return f.Status(3)
}

// Add adds a handle, and returns its name as an answer holds it.
func (f *Session) Add(h *Handle) []byte {
	f.n++
	name := strconv.Itoa(f.n)
	f.Handles[name] = h
	return AppendString(nil, name)
}
