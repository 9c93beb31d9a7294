package rsync

import (
	"encoding/binary"

	"github.com/mmcloughlin/md4"
)

// sumSize is the size of a whole file's checksum.
const sumSize = md4.Size

// sums describe a file that the receiving side has, in blocks.
type sums struct {
	count, block, strong, rest int32
	weakOf                     []uint32
	strongOf                   [][]byte
}

// size is that of block i.
func (s *sums) size(i int32) int64 {
	if i == s.count-1 && s.rest > 0 {
		return int64(s.rest)
	}
	return int64(s.block)
}

// readSumHead reads the sizes of a description.
func (c *conn) readSumHead() sums {
	s := sums{count: c.int(), block: c.int(), strong: c.int(), rest: c.int()}
	if c.err == nil && (s.count < 0 || s.count > maxBlocks || s.block < 0 || s.count > 0 && s.block == 0 ||
		s.block > 1<<29 || s.strong < 0 || s.strong > sumSize || s.rest < 0 || s.rest > s.block) {
		c.fail("the server described %d blocks of %d bytes with %d bytes of checksum and a rest of %d",
			s.count, s.block, s.strong, s.rest)
	}
	if c.err != nil {
		return sums{}
	}
	return s
}

func (c *conn) readSums() sums {
	s := c.readSumHead()
	for i := int32(0); i < s.count && c.err == nil; i++ {
		s.weakOf = append(s.weakOf, uint32(c.int()))
		s.strongOf = append(s.strongOf, c.bytes(int(s.strong)))
	}
	return s
}

func (c *conn) putSumHead(s sums) {
	for _, v := range []int32{s.count, s.block, s.strong, s.rest} {
		c.putInt(v)
	}
}

func (c *conn) putSums(s sums) {
	c.putSumHead(s)
	for i := range s.count {
		c.putInt(int32(s.weakOf[i]))
		c.put(s.strongOf[i])
	}
}

// blockSize is the least that rsync takes.
const blockSize = 700

// sumsOf describes data as a receiving rsync does; what is not there, by zeros.
func sumsOf(data []byte, seed uint32) sums {
	if len(data) == 0 {
		return sums{}
	}
	s := sums{block: blockSize, strong: sumSize, rest: int32(len(data) % blockSize)}
	for len(data) > 0 {
		piece := data[:min(len(data), blockSize)]
		s.weakOf = append(s.weakOf, weak(piece))
		s.strongOf = append(s.strongOf, strong(piece, seed))
		s.count++
		data = data[len(piece):]
	}
	return s
}

// weak is the checksum by which rsync finds blocks: two sums of signed bytes.
func weak(p []byte) uint32 {
	var a, b uint32
	for _, v := range p {
		a += uint32(int8(v))
		b += a
	}
	return a&0xFFFF | b<<16
}

// strong is the checksum of a block: MD4 of it and the seed.
func strong(p []byte, seed uint32) []byte {
	h := md4.New()
	h.Write(p)
	if seed != 0 {
		h.Write(binary.LittleEndian.AppendUint32(nil, seed))
	}
	return h.Sum(nil)
}

// seedBytes stand before a file where its whole checksum is made.
func (c *conn) seedBytes() []byte { return binary.LittleEndian.AppendUint32(nil, c.seed) }
