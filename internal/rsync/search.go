package rsync

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"github.com/mmcloughlin/md4"
)

// maxBlockHere bounds the blocks that are searched for: so much of a file is held in memory twice. rsync makes blocks
// as long as the square root of the file, and at most 128 KiB of those since 2008.
const maxBlockHere = 1 << 20

// A rolling is a checksum of a block that costs little to move on by a byte. Its bytes have signs.
type rolling struct{ a, b uint32 }

func weakSum(block []byte) (r rolling) {
	for _, c := range block {
		r.a += uint32(int8(c))
		r.b += r.a
	}
	return r
}

// move takes the first byte of a block of n bytes out and the next one behind it in.
func (r *rolling) move(n int, out, in byte) {
	r.a += uint32(int8(in)) - uint32(int8(out))
	r.b += r.a - uint32(n)*uint32(int8(out))
}

func (r rolling) value() uint32 { return r.a&0xffff | r.b<<16 }

// blockSums are the checksums of the blocks that the client has, by the rolling ones.
type blockSums struct {
	head   sumHead
	weak   []uint32
	strong []byte  // head.sum bytes of each
	first  []int32 // of the blocks in a slot of the table, -1 if there is none
	next   []int32 // the next one in the same slot
}

func readSums(r *reader, head sumHead) (*blockSums, error) {
	size := 256
	for size < int(head.count) {
		size *= 2
	}
	s := &blockSums{head: head, first: make([]int32, size)}
	for i := range s.first {
		s.first[i] = -1
	}
	b := make([]byte, 4+head.sum)
	for i := range head.count { // memory grows as they come
		if err := r.full(b); err != nil {
			return nil, err
		}
		weak := binary.LittleEndian.Uint32(b)
		s.weak, s.strong = append(s.weak, weak), append(s.strong, b[4:]...)
		slot := s.slot(weak)
		s.next = append(s.next, s.first[slot])
		s.first[slot] = i
	}
	return s, nil
}

func (s *blockSums) slot(weak uint32) uint32 {
	return (weak ^ weak>>16) * 0x9e3779b1 >> 7 & uint32(len(s.first)-1)
}

// maxLikely is how many blocks with the same rolling checksum are compared: a file of zeros has no others.
const maxLikely = 1024

// find returns a block that is like data, or -1.
func (s *blockSums) find(weak uint32, data []byte, strong func([]byte) []byte) int32 {
	var sum []byte
	tries := 0
	for i := s.first[s.slot(weak)]; i >= 0; i = s.next[i] {
		if s.weak[i] != weak {
			continue
		}
		if n, _ := s.head.block(i); n != int64(len(data)) {
			continue
		}
		if sum == nil {
			sum = strong(data)[:s.head.sum]
		}
		if bytes.Equal(sum, s.strong[int(i)*len(sum):][:len(sum)]) {
			return i
		}
		if tries++; tries == maxLikely {
			break
		}
	}
	return -1
}

// strongSum returns the checksum of a block, which is valid until the next call.
func strongSum(seed []byte) func([]byte) []byte {
	var sum hash.Hash = md4.New()
	var b [sumLength]byte
	return func(block []byte) []byte {
		sum.Reset()
		sum.Write(block)
		sum.Write(seed)
		return sum.Sum(b[:0])
	}
}

// search sends a file of which the client has blocks, wherever they are in it now.
func (t *sending) search(f io.Reader, sums *blockSums, file *File) error {
	strong := strongSum(t.seed[:])
	length := int(sums.head.length)
	w := &window{f: f, buf: make([]byte, 0, max(256<<10, 4*length))}
	for {
		more, err := w.fill(length + 1)
		if err != nil {
			return fmt.Errorf("read %s: %w", quote(file.Name), err)
		}
		if !more {
			break
		}
		if err := t.searchWindow(w, sums, strong, file); err != nil {
			return err
		}
	}
	return t.searchEnd(w, sums, strong, file)
}

// searchWindow looks for blocks as far as the window goes, and leaves less than a block and a byte of it.
func (t *sending) searchWindow(w *window, sums *blockSums, strong func([]byte) []byte, file *File) error {
	length := int(sums.head.length)
	roll := weakSum(w.buf[w.at : w.at+length])
	for {
		block := w.buf[w.at : w.at+length]
		if i := sums.find(roll.value(), block, strong); i >= 0 {
			if err := t.literal(w.sent(), file); err != nil {
				return err
			}
			t.matched(i, block, file)
			w.at += length
			w.from = w.at
			if len(w.buf)-w.at < length+1 {
				return nil
			}
			roll = weakSum(w.buf[w.at : w.at+length])
			continue
		}
		if w.at-w.from >= maxRun {
			if err := t.literal(w.sent(), file); err != nil {
				return err
			}
		}
		if len(w.buf)-w.at < length+1 {
			return nil
		}
		roll.move(length, w.buf[w.at], w.buf[w.at+length])
		w.at++
	}
}

// searchEnd sends the end of a file, which is shorter than a block and a byte. It may be the last block, or end in it.
func (t *sending) searchEnd(w *window, sums *blockSums, strong func([]byte) []byte, file *File) error {
	rest := w.buf[w.from:]
	for _, length := range []int{int(sums.head.length), int(sums.head.last)} {
		if length == 0 || length > len(w.buf)-w.at {
			continue
		}
		block := rest[len(rest)-length:]
		i := sums.find(weakSum(block).value(), block, strong)
		if i < 0 {
			continue
		}
		if err := t.literal(rest[:len(rest)-length], file); err != nil {
			return err
		}
		t.matched(i, block, file)
		return nil
	}
	return t.literal(rest, file)
}

// A window is the part of a file that is searched.
type window struct {
	f    io.Reader
	buf  []byte
	from int // in buf: what is before it was sent
	at   int // in buf: where a block may begin
	end  bool
}

// sent returns what is between from and at, and moves from there.
func (w *window) sent() []byte {
	p := w.buf[w.from:w.at]
	w.from = w.at
	return p
}

// fill reads on until there are n bytes behind at, and reports whether there are so many.
func (w *window) fill(n int) (bool, error) {
	if w.from > 0 {
		w.buf = w.buf[:copy(w.buf, w.buf[w.from:])]
		w.at -= w.from
		w.from = 0
	}
	for !w.end && len(w.buf) < cap(w.buf) {
		read, err := w.f.Read(w.buf[len(w.buf):cap(w.buf)])
		w.buf = w.buf[:len(w.buf)+read]
		if err == io.EOF {
			w.end = true
		} else if err != nil {
			return false, err
		}
	}
	return len(w.buf)-w.at >= n, nil
}
