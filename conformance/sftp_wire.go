package conformance

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02), by hand: a judge has to see the
// long names of listings, choose flags and offsets, and pad packets, and client libraries allow none of it.
const (
	fxInit     = 1
	fxVersion  = 2
	fxOpen     = 3
	fxClose    = 4
	fxRead     = 5
	fxWrite    = 6
	fxLstat    = 7
	fxFstat    = 8
	fxSetstat  = 9
	fxFsetstat = 10
	fxOpendir  = 11
	fxReaddir  = 12
	fxRemove   = 13
	fxMkdir    = 14
	fxRmdir    = 15
	fxRealpath = 16
	fxStat     = 17
	fxRename   = 18
	fxReadlink = 19
	fxSymlink  = 20
	fxStatus   = 101
	fxHandle   = 102
	fxData     = 103
	fxName     = 104
	fxAttrs    = 105
	fxExtended = 200

	flagRead   = 1
	flagWrite  = 2
	flagAppend = 4
	flagCreat  = 8
	flagTrunc  = 16
	flagExcl   = 32

	hasSize  = 1
	hasOwner = 2
	hasMode  = 4
	hasTimes = 8

	statusOK         = 0
	statusEOF        = 1
	statusNoFile     = 2
	statusDenied     = 3
	statusFailure    = 4
	statusBadMessage = 5
	statusUnsupp     = 8

	blockSize  = 32 << 10 // of reads and writes: what every server takes
	mostPacket = 512 << 10
)

// openPut is how OpenSSH opens the file of a `put`, and openResume that of a `put -a`.
const (
	openPut    = flagWrite | flagCreat | flagTrunc
	openResume = flagWrite | flagCreat | flagAppend
)

// status is an SFTP status other than OK, as an error.
type status struct {
	Code uint32
	Text string
}

func (s *status) Error() string {
	names := map[uint32]string{1: "end of file", 2: "no such file", 3: "permission denied", 4: "failure", 5: "bad message", 6: "no connection", 7: "connection lost", 8: "operation unsupported"}
	return fmt.Sprintf("SFTP status %d (%s) %q", s.Code, cmp.Or(names[s.Code], "unknown"), s.Text)
}

// denied reports whether err is one of the two statuses the contract has for what must not be done.
func denied(err error) bool {
	var st *status
	return errors.As(err, &st) && (st.Code == statusDenied || st.Code == statusNoFile)
}

// isStatus reports whether err is a status at all, so that the session goes on.
func isStatus(err error) bool {
	var st *status
	return errors.As(err, &st)
}

// attrs are a file's attributes as sent; what was not sent is absent from Flags.
type attrs struct {
	Flags        uint32
	Size         uint64
	UID, GID     uint32
	Mode         uint32
	Atime, Mtime uint32
}

func (a attrs) has(flag uint32) bool { return a.Flags&flag == flag }

func (a attrs) isDir() bool { return a.has(hasMode) && a.Mode&0o170000 == 0o040000 }

func (a attrs) String() string {
	s := ""
	if a.has(hasMode) {
		s += fmt.Sprintf("mode %#o ", a.Mode)
	}
	if a.has(hasOwner) {
		s += fmt.Sprintf("uid %d gid %d ", a.UID, a.GID)
	}
	if a.has(hasSize) {
		s += fmt.Sprintf("size %d ", a.Size)
	}
	if a.has(hasTimes) {
		s += "mtime " + time.Unix(int64(a.Mtime), 0).UTC().Format(time.RFC3339)
	}
	return cmp.Or(s, "no attributes")
}

// entry is one file of a listing.
type entry struct {
	name, long string
	attrs      attrs
}

// packet is being built.
type packet []byte

func (p packet) u32(v uint32) packet   { return binary.BigEndian.AppendUint32(p, v) }
func (p packet) u64(v uint64) packet   { return binary.BigEndian.AppendUint64(p, v) }
func (p packet) str(s string) packet   { return append(p.u32(uint32(len(s))), s...) }
func (p packet) bytes(s []byte) packet { return append(p.u32(uint32(len(s))), s...) }
func (p packet) attrs(a attrs) packet {
	p = p.u32(a.Flags)
	if a.has(hasSize) {
		p = p.u64(a.Size)
	}
	if a.has(hasOwner) {
		p = p.u32(a.UID).u32(a.GID)
	}
	if a.has(hasMode) {
		p = p.u32(a.Mode)
	}
	if a.has(hasTimes) {
		p = p.u32(a.Atime).u32(a.Mtime)
	}
	return p
}

// body is being read; short turns true when it ends too early.
type body struct {
	rest  []byte
	short bool
}

func (d *body) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.short, d.rest = true, nil
		return make([]byte, max(0, min(n, 8)))
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}
func (d *body) u32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *body) u64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
func (d *body) str() string { return string(d.take(int(d.u32()))) }
func (d *body) attrs() attrs {
	a := attrs{Flags: d.u32()}
	if a.has(hasSize) {
		a.Size = d.u64()
	}
	if a.has(hasOwner) {
		a.UID, a.GID = d.u32(), d.u32()
	}
	if a.has(hasMode) {
		a.Mode = d.u32()
	}
	if a.has(hasTimes) {
		a.Atime, a.Mtime = d.u32(), d.u32()
	}
	if a.Flags&(1<<31) != 0 {
		for n := d.u32(); n > 0 && !d.short; n-- {
			d.str()
			d.str()
		}
	}
	return a
}

// message is one packet of the server, without its length.
type message struct {
	Type byte    `json:"type"`
	ID   uint32  `json:"id"`
	Data payload `json:"data,omitempty"` // after the id
}
