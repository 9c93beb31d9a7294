// Package sftpwire encodes and decodes packets of SFTP version 3 (draft-ietf-secsh-filexfer-02), for the server and
// the client where they write packets themselves beside github.com/pkg/sftp.
//
// A packet is a length of 4 bytes, a type of one byte, an id of 4 bytes (in INIT and VERSION the version of the
// protocol stands in its place) and the fields of the type. The length does not count itself.
package sftpwire

import (
	"encoding/binary"
	"io"
)

// Types of packets (section 3).
const (
	Init          = 1
	Version       = 2
	Open          = 3
	Close         = 4
	Read          = 5
	Write         = 6
	Setstat       = 9
	Fsetstat      = 10
	Readdir       = 12
	Symlink       = 20 // the last of the requests that are numbered from Open
	Status        = 101
	Handle        = 102
	Data          = 103
	Name          = 104
	Extended      = 200
	ExtendedReply = 201
)

// Flags of an OPEN (section 6.3).
const (
	FlagRead  = 1
	FlagWrite = 2
)

// Codes of a STATUS (section 7).
const (
	OK               = 0
	EOF              = 1
	NoSuchFile       = 2
	PermissionDenied = 3
	Failure          = 4
	BadMessage       = 5
	OpUnsupported    = 8
)

// AttrSize and the others say which attributes follow (section 5).
const (
	AttrSize        = 1
	AttrUIDGID      = 2
	AttrPermissions = 4
	AttrTimes       = 8
)

// HeadSize is the number of bytes before the fields of a packet: length, type and id.
const HeadSize = 4 + 1 + 4

// Head is what stands before the fields of a packet.
type Head struct {
	Length uint32 // of the packet, without these 4 bytes
	Type   byte
	ID     uint32 // of INIT and VERSION: the version
}

// ParseHead reads the head of a packet. It panics if b is shorter than HeadSize.
func ParseHead(b []byte) Head {
	_ = b[HeadSize-1]
	return Head{Length: binary.BigEndian.Uint32(b), Type: b[4], ID: binary.BigEndian.Uint32(b[5:])}
}

// Encoder builds one packet. Its methods return the Encoder, so that calls can be chained.
type Encoder struct{ b []byte }

// NewEncoder begins a packet.
func NewEncoder(kind byte, id uint32) *Encoder {
	b := append(make([]byte, 4, 64), kind)
	return &Encoder{binary.BigEndian.AppendUint32(b, id)}
}

// Uint32 appends a number.
func (e *Encoder) Uint32(v uint32) *Encoder {
	e.b = binary.BigEndian.AppendUint32(e.b, v)
	return e
}

// Uint64 appends a number.
func (e *Encoder) Uint64(v uint64) *Encoder {
	e.b = binary.BigEndian.AppendUint64(e.b, v)
	return e
}

// Text appends a string with its length.
func (e *Encoder) Text(v string) *Encoder {
	e.b = append(binary.BigEndian.AppendUint32(e.b, uint32(len(v))), v...)
	return e
}

// Packet returns the packet. The Encoder must not be used after it.
func (e *Encoder) Packet() []byte {
	binary.BigEndian.PutUint32(e.b, uint32(len(e.b)-4))
	return e.b
}

// Decoder reads the fields of a packet. After a field that is not there, all further fields are zero and Err is not
// nil.
type Decoder struct {
	b     []byte
	short bool
}

// NewDecoder returns a Decoder for the fields b. The Decoder keeps b.
func NewDecoder(b []byte) Decoder { return Decoder{b: b} }

// Bytes returns the next n bytes, which are a part of what the Decoder was given.
func (d *Decoder) Bytes(n uint32) []byte {
	if d.short || uint64(n) > uint64(len(d.b)) {
		d.b, d.short = nil, true
		return nil
	}
	field := d.b[:n]
	d.b = d.b[n:]
	return field
}

// Uint32 reads a number.
func (d *Decoder) Uint32() uint32 {
	if b := d.Bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads a number.
func (d *Decoder) Uint64() uint64 {
	if b := d.Bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Text reads a string with its length.
func (d *Decoder) Text() string { return string(d.Bytes(d.Uint32())) }

// Err is io.ErrUnexpectedEOF if a field was not there, and nil otherwise.
func (d *Decoder) Err() error {
	if d.short {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// StatusPacket is a STATUS answer.
func StatusPacket(id, code uint32, text string) []byte {
	return NewEncoder(Status, id).Uint32(code).Text(text).Text("en").Packet()
}

// LimitsExtension is the name of OpenSSH's request for [Limits] (its PROTOCOL file, section 4.8). A server that
// answers it announces version "1" of it.
const LimitsExtension = "limits@openssh.com"

// Limits are the sizes that a server takes. Zero means that the server names no limit.
type Limits struct {
	Packet  uint64 // the length of a packet
	Read    uint64 // the data of a READ
	Write   uint64 // the data of a WRITE
	Handles uint64 // files and directories that are open at a time
}

// LimitsRequest is the request for Limits.
func LimitsRequest(id uint32) []byte { return NewEncoder(Extended, id).Text(LimitsExtension).Packet() }

// Reply is the answer to the request for Limits.
func (l Limits) Reply(id uint32) []byte {
	return NewEncoder(ExtendedReply, id).Uint64(l.Packet).Uint64(l.Read).Uint64(l.Write).Uint64(l.Handles).Packet()
}

// ParseLimits reads the fields of an answer to the request for Limits. It fails with io.ErrUnexpectedEOF.
func ParseLimits(fields []byte) (Limits, error) {
	d := NewDecoder(fields)
	l := Limits{Packet: d.Uint64(), Read: d.Uint64(), Write: d.Uint64(), Handles: d.Uint64()}
	return l, d.Err()
}
