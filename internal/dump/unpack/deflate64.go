package unpack

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Deflate64 is Deflate (RFC 1951) with a window of 64 KiB, two more distances, and one code for the longest matches
// that stands for a length of up to 65538. Explorer packs files of more than 2 GiB with it. No package in Go reads it.

const (
	deflate64Window = 64 << 10
	deflate64Ring   = 2 * deflate64Window // the window, and what is unpacked but not yet read
	deflate64Memory = deflate64Ring + 4<<huffmanBits + 64<<10
	huffmanBits     = 15 // of the longest code
	endOfBlock      = 256
)

var errDeflate64 = errors.New("deflate64: the data is broken")

// A base is what a length or distance code begins at, and how many bits behind it are added.
type base struct {
	from  int
	extra uint
}

var (
	lengths   = bases(3, 29, 4, 28)
	distances = bases(1, 32, 2, 32)
)

// bases makes the table of RFC 1951, 3.2.5: a step more for each group of codes, the last length being the exception.
func bases(from, count, group, regular int) []base {
	table := make([]base, count)
	for i := range table {
		extra := uint(0)
		if i >= 2*group {
			extra = uint(i/group - 1)
		}
		table[i] = base{from, extra}
		from += 1 << extra
	}
	if regular < count {
		table[count-1] = base{3, 16}
	}
	return table
}

// A huffman table has, for the next 15 bits of the input, the symbol and (in the lowest four bits) the length of its
// code; 0: none.
type huffman [1 << huffmanBits]uint16

// build makes the table of codes of these lengths, 0 being none.
func (h *huffman) build(lengths []byte) error {
	clear(h[:])
	var count, next [huffmanBits + 1]int
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	code := 0
	for n := 1; n <= huffmanBits; n++ {
		code = (code + count[n-1]) << 1
		next[n] = code
		if code+count[n] > 1<<n {
			return errDeflate64
		}
	}
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		reversed := 0 // codes begin with their highest bit
		for i, c := 0, next[n]; i < int(n); i++ {
			reversed = reversed<<1 | c>>i&1
		}
		next[n]++
		for i := reversed; i < len(h); i += 1 << n {
			h[i] = uint16(symbol)<<4 | uint16(n)
		}
	}
	return nil
}

// A deflate64 reader unpacks into a ring, and is read from it.
type deflate64 struct {
	in   *bufio.Reader
	bits uint64 // of the input, the lowest first
	have uint   // how many

	ring          [deflate64Ring]byte
	written, read int64

	last           bool // this block is the last
	inBlock        bool
	stored         int // bytes left of a stored block, -1 in a compressed one
	length         int // left of a match
	distance       int
	literal, match huffman
	err            error
}

func newDeflate64(in *bufio.Reader) io.Reader { return &deflate64{in: in} }

func (d *deflate64) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for d.written == d.read && d.err == nil {
		d.unpack()
	}
	if d.written == d.read {
		return 0, d.err
	}
	from := d.read % deflate64Ring
	n := copy(p, d.ring[from:min(deflate64Ring, from+d.written-d.read)])
	d.read += int64(n)
	return n, nil
}

// unpack goes on until the ring is full, or there is an end.
func (d *deflate64) unpack() {
	for d.err == nil && d.written-d.read < deflate64Window {
		switch {
		case d.length > 0:
			d.length--
			d.put(d.ring[(d.written-int64(d.distance))%deflate64Ring])
		case !d.inBlock && d.last:
			d.err = io.EOF
		case !d.inBlock:
			d.block()
		case d.stored == 0:
			d.inBlock = false
		case d.stored > 0:
			d.stored--
			d.put(byte(d.take(8)))
		default:
			d.symbol()
		}
	}
}

func (d *deflate64) put(b byte) {
	if d.err == nil {
		d.ring[d.written%deflate64Ring] = b
		d.written++
	}
}

// symbol reads a literal, a match, or the end of the block.
func (d *deflate64) symbol() {
	symbol := d.code(&d.literal)
	switch {
	case symbol < endOfBlock:
		d.put(byte(symbol))
		return
	case symbol == endOfBlock:
		d.inBlock = false
		return
	case symbol-endOfBlock-1 >= len(lengths):
		d.fail(errDeflate64)
		return
	}
	length := lengths[symbol-endOfBlock-1]
	n := length.from + d.take(length.extra)
	distance := distances[d.code(&d.match)] // there are 32 at most
	d.distance = distance.from + d.take(distance.extra)
	if int64(d.distance) > d.written {
		d.fail(errDeflate64)
	}
	if d.err == nil {
		d.length = n
	}
}

// block reads the beginning of a block.
func (d *deflate64) block() {
	d.last = d.take(1) == 1
	d.inBlock, d.stored = true, -1
	switch d.take(2) {
	case 0:
		d.take(d.have % 8)
		d.stored = d.take(16)
		if d.take(16) != d.stored^0xffff {
			d.fail(errDeflate64)
		}
	case 1:
		var fixed [288]byte
		for i := range fixed {
			switch {
			case i < 144, i >= 280:
				fixed[i] = 8
			case i < 256:
				fixed[i] = 9
			default:
				fixed[i] = 7
			}
		}
		d.fail(d.literal.build(fixed[:]))
		d.fail(d.match.build(bytes.Repeat([]byte{5}, len(distances))))
	case 2:
		d.tables()
	default:
		d.fail(errDeflate64)
	}
}

// tables reads the codes of a block that brings its own (RFC 1951, 3.2.7).
func (d *deflate64) tables() {
	literals, matches, codes := 257+d.take(5), 1+d.take(5), 4+d.take(4)
	var own [19]byte
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:codes] {
		own[i] = byte(d.take(3))
	}
	d.fail(d.literal.build(own[:]))
	var all [288 + 32]byte
	n := 0
	for n < literals+matches && d.err == nil {
		symbol := d.code(&d.literal)
		value, again := byte(symbol), 1
		switch symbol {
		case 16:
			if n == 0 {
				d.fail(errDeflate64)
				return
			}
			value, again = all[n-1], 3+d.take(2)
		case 17:
			value, again = 0, 3+d.take(3)
		case 18:
			value, again = 0, 11+d.take(7)
		}
		if n+again > literals+matches {
			d.fail(errDeflate64)
			return
		}
		for range again {
			all[n] = value
			n++
		}
	}
	if d.err == nil {
		d.fail(d.literal.build(all[:literals]))
		d.fail(d.match.build(all[literals:n]))
	}
}

// fail keeps the first error.
func (d *deflate64) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// fill has at least n bits at hand, or all that there are.
func (d *deflate64) fill(n uint) {
	for d.have < n {
		b, err := d.in.ReadByte()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				d.fail(err)
			}
			return
		}
		d.bits |= uint64(b) << d.have
		d.have += 8
	}
}

// take reads n bits; 0 behind an error.
func (d *deflate64) take(n uint) int {
	d.fill(n)
	if d.have < n {
		d.fail(io.ErrUnexpectedEOF)
	}
	if d.err != nil {
		return 0
	}
	v := int(d.bits & (1<<n - 1))
	d.bits >>= n
	d.have -= n
	return v
}

// code reads a symbol; 0 behind an error.
func (d *deflate64) code(h *huffman) int {
	d.fill(huffmanBits)
	entry := h[d.bits&(1<<huffmanBits-1)]
	n := uint(entry & 15)
	switch {
	case d.err != nil:
	case n == 0:
		d.fail(errDeflate64)
	case n > d.have:
		d.fail(io.ErrUnexpectedEOF)
	}
	if d.err != nil {
		return 0
	}
	d.bits >>= n
	d.have -= n
	return int(entry >> 4)
}
