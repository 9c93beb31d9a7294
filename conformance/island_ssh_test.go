package conformance_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// islandSSH is the island's SFTP server, written packet by packet so that every answer can be bent.
type islandSSH struct {
	s    *island
	l    net.Listener
	dead net.Listener // accepts and says nothing
	keys []ssh.Signer

	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]int // and the request whose they are; 0 before the login
}

func newIslandSSH(t testing.TB, s *island) *islandSSH {
	h := &islandSSH{s: s, conns: map[net.Conn]int{}}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	h.l, h.dead = listen(), listen()
	for range 2 {
		ec, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		_, ed, err2 := ed25519.GenerateKey(rand.Reader)
		k1, err3 := ssh.NewSignerFromKey(ec)
		k2, err4 := ssh.NewSignerFromKey(ed)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		if s.is("sftp/host-key") {
			h.keys = append(h.keys, k2)
		} else {
			h.keys = append(h.keys, k1)
		}
	}
	serve := func(l net.Listener, f func(net.Conn)) {
		h.wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				h.mu.Lock()
				h.conns[c] = 0
				h.mu.Unlock()
				h.wg.Go(func() {
					f(c)
					c.Close()
					h.mu.Lock()
					delete(h.conns, c)
					h.mu.Unlock()
				})
			}
		})
	}
	serve(h.l, h.serve)
	serve(h.dead, func(c net.Conn) { io.WriteString(c, "220 this is FTP\r\n") })
	t.Cleanup(func() {
		h.l.Close()
		h.dead.Close()
		h.mu.Lock()
		for c := range h.conns {
			c.Close()
		}
		h.mu.Unlock()
		h.wg.Wait()
	})
	return h
}

func (h *islandSSH) addr() string { return h.l.Addr().String() }

func (h *islandSSH) deadPort() int { return h.dead.Addr().(*net.TCPAddr).Port }

// close ends the sessions of a request.
func (h *islandSSH) close(id int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c, of := range h.conns {
		if of == id {
			c.Close()
		}
	}
}

var errNotLetIn = errors.New("not let in")

func (h *islandSSH) serve(raw net.Conn) {
	s := h.s
	h.mu.Lock()
	hostKey := h.keys[0]
	if s.is("sftp/host-key-stable") {
		fresh, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		hostKey, _ = ssh.NewSignerFromKey(fresh)
	}
	h.mu.Unlock()
	find := func(user string) *islandRequest {
		id, err := strconv.Atoi(strings.TrimPrefix(user, "user_"))
		if err != nil || !strings.HasPrefix(user, "user_") {
			return nil
		}
		return s.reqs[id]
	}
	var offered []byte // the first key offered, for the bend that trusts it
	config := &ssh.ServerConfig{
		Config:       ssh.Config{KeyExchanges: []string{ssh.KeyExchangeCurve25519}}, // the quickest
		MaxAuthTries: 10,
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			req := find(meta.User())
			var from []*islandRequest
			switch {
			case s.is("sftp/cross-request"), s.is("sftp/no-access-asked") && (req == nil || len(req.keys) == 0):
				for _, r := range s.reqs {
					from = append(from, r)
				}
			case req != nil:
				from = append(from, req)
			}
			blob := key.Marshal()
			for _, r := range from {
				for _, k := range r.keys {
					if bytes.Equal(k.Marshal(), blob) {
						if s.is("sftp/login-"+islandKeyType(key.Type())) || s.is("sftp/login-among-others") && offered != nil && !bytes.Equal(offered, blob) {
							return nil, errNotLetIn
						}
						if req == nil {
							req = r
						}
						if offered == nil {
							offered = blob
						}
						return &ssh.Permissions{Extensions: map[string]string{"id": strconv.Itoa(req.id)}}, nil
					}
				}
			}
			if s.is("sftp/foreign-key") && req != nil && len(req.keys) > 0 && meta.User() == "user_"+strconv.Itoa(req.id) && s.isForeign(key) {
				return &ssh.Permissions{Extensions: map[string]string{"id": strconv.Itoa(req.id)}}, nil
			}
			if offered == nil {
				offered = blob
			}
			return nil, errNotLetIn
		},
	}
	in := func(meta ssh.ConnMetadata) (*ssh.Permissions, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if req := find(meta.User()); req != nil {
			return &ssh.Permissions{Extensions: map[string]string{"id": strconv.Itoa(req.id)}}, nil
		}
		return nil, errNotLetIn
	}
	if s.is("sftp/password") || s.is("sftp/password-key") || s.is("empty password") {
		config.PasswordCallback = func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if n := len(password); s.is("sftp/password") && n != 24 || s.is("sftp/password-key") && n == 24 || s.is("empty password") && n == 0 {
				return in(meta)
			}
			return nil, errNotLetIn
		}
	}
	if s.is("sftp/keyboard-interactive") {
		config.KeyboardInteractiveCallback = func(meta ssh.ConnMetadata, _ ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			return in(meta)
		}
	}
	if s.is("sftp/no-authentication") {
		config.NoClientAuth = true
		config.NoClientAuthCallback = func(meta ssh.ConnMetadata) (*ssh.Permissions, error) {
			return in(meta)
		}
	}
	config.AddHostKey(hostKey)
	raw.SetDeadline(time.Now().Add(20 * time.Second))
	conn, chans, reqs, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	raw.SetDeadline(time.Time{})
	id, _ := strconv.Atoi(conn.Permissions.Extensions["id"])
	h.mu.Lock()
	h.conns[raw] = id
	h.mu.Unlock()
	s.mu.Lock()
	req := s.reqs[id]
	s.mu.Unlock()
	go func() {
		for r := range reqs {
			r.Reply(r.Type == "tcpip-forward" && s.is("sftp/forwarding-refused"), nil)
		}
	}()
	for nc := range chans {
		if nc.ChannelType() != "session" {
			nc.Reject(ssh.Prohibited, "no")
			continue
		}
		ch, chReqs, err := nc.Accept()
		if err != nil {
			return
		}
		h.wg.Go(func() { h.session(conn, ch, chReqs, req) })
	}
	conn.Wait()
}

func islandKeyType(t string) string {
	switch {
	case strings.Contains(t, "rsa"):
		return "rsa"
	case strings.Contains(t, "ecdsa"):
		return "ecdsa"
	}
	return "ed25519"
}

// isForeign reports whether nobody has listed the key.
func (s *island) isForeign(key ssh.PublicKey) bool {
	for _, r := range s.reqs {
		if slices.ContainsFunc(r.keys, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) }) {
			return false
		}
	}
	return true
}

func (h *islandSSH) session(conn ssh.Conn, ch ssh.Channel, reqs <-chan *ssh.Request, req *islandRequest) {
	defer ch.Close()
	s := h.s
	for r := range reqs {
		var ok bool
		name := ""
		if r.Type == "subsystem" && len(r.Payload) > 4 {
			name = string(r.Payload[4:])
		}
		switch {
		case r.Type == "subsystem" && name == "sftp":
			ok = !s.is("sftp/session")
		case r.Type == "subsystem":
			ok = s.is("sftp/other-subsystem")
		case r.Type == "exec":
			ok = s.is("sftp/exec-refused")
		case r.Type == "shell":
			ok = s.is("sftp/shell-refused")
		case r.Type == "pty-req":
			ok = s.is("sftp/pty-refused")
		}
		if s.is("sftp hangs") {
			continue // never an answer
		}
		if r.WantReply {
			r.Reply(ok, nil)
		}
		if !ok {
			continue
		}
		if r.Type == "pty-req" {
			continue
		}
		go ssh.DiscardRequests(reqs)
		if name == "sftp" {
			f := &islandFiles{s: s, req: req, handles: map[string]*islandHandle{}, rw: ch}
			f.serve()
			if s.is("sftp/exit-status") {
				return
			}
		}
		status := byte(0)
		if s.is("exit status 1") {
			status = 1
		}
		ch.SendRequest("exit-status", false, []byte{0, 0, 0, status})
		return
	}
}

// islandHandle is an open file or directory.
type islandHandle struct {
	flags uint32
	dir   bool
	read  bool  // the directory was
	base  int64 // the size when it was opened
	added int64 // bytes that were written through it
	gone  bool  // another file, for bends that let it be made
}

// islandFiles is one SFTP session.
type islandFiles struct {
	s       *island
	req     *islandRequest
	rw      io.ReadWriter
	handles map[string]*islandHandle
	n       int
	frozen  []byte // the content at the session's begin, for a bend that never looks again
	wrote   bool
	extra   string // a file or directory that a bend let be made
}

type islandPacket struct{ b []byte }

func (p *islandPacket) u32() uint32 {
	if len(p.b) < 4 {
		p.b = nil
		return 0
	}
	v := binary.BigEndian.Uint32(p.b)
	p.b = p.b[4:]
	return v
}
func (p *islandPacket) u64() uint64 { return uint64(p.u32())<<32 | uint64(p.u32()) }
func (p *islandPacket) str() string {
	n := int(p.u32())
	if n > len(p.b) {
		p.b = nil
		return ""
	}
	v := string(p.b[:n])
	p.b = p.b[n:]
	return v
}

// end is what becomes of a session that is over.
func (f *islandFiles) end() {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.s.is("SFTP apart") && f.wrote {
		f.req.dump, f.req.uploaded = nil, false
	}
	writing := false
	for _, h := range f.handles {
		writing = writing || h.flags&2 != 0
	}
	if f.s.is("sftp/interrupted") && writing || f.s.is("sftp/next-session") && len(f.req.dump) == 200_000 {
		f.req.dump = nil
	}
}

func (f *islandFiles) serve() {
	defer f.end()
	if f.s.is("sftp/two-sessions") {
		f.s.mu.Lock()
		f.frozen = append([]byte{}, f.req.dump...)
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
		kind, p := b[0], &islandPacket{b[1:]}
		if kind == 1 {
			version := uint32(3)
			if f.s.is("SFTP 6") {
				version = 6
			}
			f.send(2, binary.BigEndian.AppendUint32(nil, version))
			continue
		}
		id := p.u32()
		f.s.mu.Lock()
		typ, data := f.handle(kind, p)
		f.s.mu.Unlock()
		if typ == 0 {
			return // a bend that ends the session
		}
		f.send(typ, append(binary.BigEndian.AppendUint32(nil, id), data...))
	}
}

func (f *islandFiles) send(typ byte, data []byte) {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))
	f.rw.Write(append(append(out, typ), data...))
}

func str(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func (f *islandFiles) status(code uint32) (byte, []byte) {
	if f.s.is("differently") && code == 3 {
		code = 4
	}
	text := "no"
	if f.s.is("sftp/no-paths-told") && code != 0 {
		text = "open /var/lib/island/x: no"
	}
	return 101, str(str(binary.BigEndian.AppendUint32(nil, code), text), "en")
}

func (f *islandFiles) over() bool { return f.req.state == "done" || f.req.state == "delivered" }

// shown is the one file's name and content.
func (f *islandFiles) shown() (string, []byte) {
	if f.over() {
		name := f.s.upgradedName(f.req)
		if f.s.is("sftp/done-name") {
			name = "upgraded.dump"
		}
		data := f.s.upgraded(f.req)
		if f.s.is("SFTP cuts what was upgraded") {
			data = data[:len(data)/2]
		}
		if f.s.is("urls/same-over-sftp") {
			data = append(data, '\n')
		}
		return name, data
	}
	if f.frozen != nil && !f.wrote {
		return f.req.name, f.frozen
	}
	return f.req.name, f.req.dump
}

func (f *islandFiles) mine(p string) bool {
	name, _ := f.shown()
	if f.s.is("sftp/put-path") && strings.HasPrefix(p, "./") {
		return false
	}
	clean := path.Clean("/" + p)
	if f.s.is("sftp/done-read-only") && f.over() && clean == "/"+f.req.name {
		return true
	}
	return clean == "/"+name
}

func (f *islandFiles) attrs(dir bool, size int) []byte {
	s := f.s
	mode, uid := uint32(0o100666), uint32(0)
	if f.over() {
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
	mtime := uint32(f.req.mtime.Unix())
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

func (f *islandFiles) handle(kind byte, p *islandPacket) (byte, []byte) {
	s := f.s
	if s.packet != nil {
		if typ, data := s.packet(f, kind, &islandPacket{p.b}); typ != 0 {
			return typ, data
		}
	}
	name, data := f.shown()
	switch kind {
	case 3: // open
		return f.open(p.str(), p.u32())
	case 4: // close
		h := p.str()
		if f.handles[h] == nil {
			return f.status(4)
		}
		delete(f.handles, h)
		return f.status(0)
	case 5: // read
		h, off, n := f.handles[p.str()], int(p.u64()), int(p.u32())
		if h == nil || h.dir {
			return f.status(4)
		}
		if off >= len(data) {
			if s.is("sftp/read-back") && off > len(data) {
				return f.status(4)
			}
			return f.status(1)
		}
		if s.is("sftp/done-get-resume") && f.over() && off > 0 && off < len(data) && off%(32<<10) != 0 {
			off--
		}
		if s.is("sftp/done-get") && f.over() {
			data = data[:len(data)-1]
		}
		return 103, str(nil, string(data[off:min(len(data), off+n)]))
	case 6: // write
		return f.write(p)
	case 7, 17: // lstat, stat
		target := p.str()
		switch clean := path.Clean("/" + target); {
		case clean == "/":
			if s.is("sftp/root") {
				return 105, f.attrs(false, 0)
			}
			return 105, f.attrs(true, 0)
		case f.mine(target):
			n := len(data)
			if s.is("sftp/stat-size") {
				n++
			}
			return 105, f.attrs(false, n)
		case f.extra != "" && clean == "/"+f.extra:
			return 105, f.attrs(false, 1)
		case s.is("sftp/no-such-file"):
			return f.status(4)
		}
		return f.status(2)
	case 8: // fstat
		if h := f.handles[p.str()]; h == nil {
			return f.status(4)
		}
		return 105, f.attrs(false, len(data))
	case 9, 10: // setstat, fsetstat
		p.str()
		flags := p.u32()
		if s.is("sftp/setstat") && flags&4 != 0 {
			return f.status(8)
		}
		if flags&1 != 0 && !f.over() && !s.is("sftp/truncate-setstat") && !s.is("differently") {
			if n := int(p.u64()); n < len(f.req.dump) {
				f.req.dump = f.req.dump[:n:n]
			}
		}
		return f.status(0)
	case 11: // opendir
		if target := path.Clean("/" + p.str()); target != "/" && !(s.is("sftp/no-way-out") && target == "/etc") {
			return f.denied("")
		}
		return 102, f.add(&islandHandle{dir: true})
	case 12: // readdir
		h := f.handles[p.str()]
		if h == nil || !h.dir {
			return f.status(4)
		}
		if h.read {
			return f.status(1)
		}
		h.read = true
		return f.list(name, len(data))
	case 13:
		return f.denied("sftp/no-remove")
	case 14:
		return f.denied("sftp/no-mkdir")
	case 15:
		return f.denied("sftp/no-rmdir")
	case 16: // realpath
		target := path.Clean("/" + p.str())
		return 104, append(str(str(binary.BigEndian.AppendUint32(nil, 1), target), target), 0, 0, 0, 0)
	case 18:
		return f.denied("sftp/no-rename")
	case 20:
		return f.denied("sftp/no-symlink")
	case 200:
		switch p.str() {
		case "posix-rename@openssh.com":
			return f.denied("sftp/no-rename")
		case "hardlink@openssh.com":
			return f.denied("sftp/no-link")
		}
		return f.status(8)
	}
	return f.status(8)
}

// denied refuses, unless the bend of that name lets it happen, ends the session, or has another status.
func (f *islandFiles) denied(bend string) (byte, []byte) {
	switch {
	case bend != "" && f.s.is(bend):
		return f.status(0)
	case bend != "" && f.s.is(bend+"-status"):
		return f.status(5)
	case bend == "" && f.s.is("sftp/no-way-out-status"):
		return f.status(5)
	}
	return f.status(3)
}

func (f *islandFiles) add(h *islandHandle) []byte {
	f.n++
	name := strconv.Itoa(f.n)
	f.handles[name] = h
	return str(nil, name)
}

func (f *islandFiles) open(target string, flags uint32) (byte, []byte) {
	s := f.s
	if !f.mine(target) {
		switch {
		case flags&2 == 0:
			return f.status(2)
		case s.is("sftp/done-no-change") && f.over() && target == "other.dump":
			return 102, f.add(&islandHandle{flags: flags, gone: true})
		case s.is("sftp/no-create") && strings.HasSuffix(target, ".part"):
			f.extra = path.Clean(target)
			return 102, f.add(&islandHandle{flags: flags, gone: true})
		}
		if s.is("sftp/no-create") {
			return f.status(3)
		}
		return f.denied("sftp/no-create")
	}
	if flags&2 == 0 {
		return 102, f.add(&islandHandle{flags: flags})
	}
	if f.over() {
		if s.is("sftp/done-read-only") {
			return 102, f.add(&islandHandle{flags: flags, gone: true})
		}
		return f.status(3)
	}
	switch {
	case s.is("sftp/put-without-creat") && flags&8 == 0 && flags&16 != 0,
		s.is("sftp/read-and-write") && flags&1 != 0 && flags&16 != 0:
		return f.status(3)
	case s.is("sftp/overwrite") && len(f.req.dump) == 300_001, s.is("sftp/truncate") && len(f.req.dump) == 300_001:
		flags &^= 16
	case s.is("sftp/no-truncate") && flags&(4|16) == 0:
		flags |= 16
	}
	if s.is("sftp/resume-twice") && len(f.req.dump) == 2*77_777 {
		f.req.dump = f.req.dump[:77_777]
	}
	if flags&16 != 0 {
		f.req.dump = nil
	}
	if s.is("sftp/resume-append") && flags&4 != 0 {
		f.req.dump = nil
	}
	f.req.uploaded, f.wrote = true, true
	if s.is("sftp/list-from-start") {
		f.req.mtime = time.Now()
	}
	return 102, f.add(&islandHandle{flags: flags, base: int64(len(f.req.dump))})
}

func (f *islandFiles) write(p *islandPacket) (byte, []byte) {
	s := f.s
	h, off, data, ok := f.handles[p.str()], int64(p.u64()), p.str(), true
	f.wrote = true
	if h == nil || h.flags&2 == 0 {
		return f.status(4)
	}
	if h.gone {
		return f.status(0)
	}
	if len(p.b) > 0 && s.is("sftp/padded-write") {
		data += string(p.b)
	}
	if h.flags&4 != 0 { // appending: each write goes to the end, whatever its offset says
		if off, ok = f.appendAt(h, off); !ok {
			return f.status(4)
		}
	}
	h.added += int64(len(data))
	if s.is("sftp/put-bytes") {
		data = strings.ReplaceAll(data, "\r\n", "\n ")
	}
	if s.is("sftp/out-of-order") && off != int64(len(f.req.dump)) && off != 0 && off != 150_000 {
		off = int64(len(f.req.dump))
	}
	if s.is("sftp/rewrite-middle") && off == 150_000 {
		f.req.dump = f.req.dump[:off]
	}
	if s.is("sftp/resume") && h.flags&(4|16) == 0 && off == 100_003 {
		off = 100_000
	}
	if s.is("sftp/large") && off > 2<<20 {
		return f.status(0)
	}
	if s.is("sftp/own-share") {
		for _, r := range s.reqs {
			if r != f.req && r.name == "twin.dump" && r.name == f.req.name {
				r.dump = slices.Clone(f.req.dump)
			}
		}
	}
	end := off + int64(len(data))
	if s.is("sftp/put") && end == 200_001 {
		return f.status(0)
	}
	if n := int64(len(f.req.dump)); end > n {
		f.req.dump = slices.Grow(f.req.dump, int(end-n)+1<<20)[:end]
		clear(f.req.dump[n:])
	}
	copy(f.req.dump[off:], data)
	f.req.viaSFTP = true
	f.req.mtime = time.Now()
	return f.status(0)
}

// appendAt is where a write goes whose handle appends; false refuses it.
func (f *islandFiles) appendAt(h *islandHandle, off int64) (int64, bool) {
	s, end := f.s, int64(len(f.req.dump))
	far := off >= end+1<<20
	switch {
	case s.is("ignores APPEND"):
		return off, !far
	case s.is("sftp/append") && h.base == 100_003 && off == end-h.base,
		s.is("sftp/append-same-offset") && off == h.base && end > h.base,
		s.is("sftp/append-out-of-order") && off > h.base && (off-h.base)%(32<<10) == 0 && !far,
		s.is("sftp/append-backwards") && off > 0 && off < h.base && (h.base-off)%(32<<10) == 0:
		return off, true
	case s.is("sftp/append-behind") && far:
		return 0, false
	case s.is("sftp/append-two-handles"):
		return h.base + h.added, true
	}
	return end, true
}

func (f *islandFiles) list(name string, size int) (byte, []byte) {
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
	case s.is("sftp/list-only-shared"), s.is("sftp/done-one-file") && f.over():
		items = append(items, item{f.req.name + ".log", false, 1})
	case s.is("sftp/list-from-start") && len(f.req.dump) == 0:
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
		if f.over() {
			mode = "-r--r--r--"
		}
		long := fmt.Sprintf("%s %4d %-8s %-8s %8d %s %s", mode, 1, "0", "0", it.size, f.req.mtime.Format("Jan _2 15:04"), shown)
		if s.is("sftp/longname") && !f.over() || s.is("sftp/done-longname") && f.over() {
			long = shown
		}
		out = append(str(str(out, shown), long), f.attrs(it.dir, n)...)
	}
	return 104, out
}
