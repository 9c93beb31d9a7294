package pgarchive

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// foundMemory is about what the place of a block takes that has been passed.
const foundMemory = 48

// The kinds of data blocks.
const (
	blockData  = 1
	blockBlobs = 3
)

// customStore reads the data of a custom-format archive: one block for each entry that has data, each beginning with
// its kind and the entry's id, followed by chunks (length, bytes) until one of length 0. A block of large
// objects holds such a run of chunks for every object, behind its oid, until oid 0.
type customStore struct {
	c           *cursor
	d           *decoder
	compression Compression
	granted     int64 // what the decoders before got; the next one has it again

	found   map[int]int64 // where the blocks before scanned begin
	scanned int64         // blocks from here on have not been looked at
	open    func() error  // reads the rest of the block at scanned; nil: that one has not been begun
}

func newCustomStore(c *cursor, d *decoder, compression Compression) *customStore {
	return &customStore{
		c:           c,
		d:           &decoder{c: c, intSize: d.intSize, offSize: d.offSize, left: math.MaxInt64, reserve: d.reserve},
		compression: compression,
		found:       map[int]int64{},
		scanned:     c.pos,
	}
}

func (s *customStore) table(e *Entry) (io.Reader, error) {
	if e.empty {
		return eof{}, nil
	}
	kind, err := s.find(e)
	if err != nil {
		return nil, err
	}
	if kind != blockData {
		return nil, fmt.Errorf("%w: a block of kind %d where the data of %s is expected", ErrFormat, kind, e.Tag)
	}
	chunks := &chunkReader{d: s.d}
	if s.open != nil {
		s.open = chunks.drain
	}
	return s.decompress(chunks)
}

func (s *customStore) check(*Entry) error { return nil }

func (s *customStore) close() error { return nil }

// decompress reads what is in the chunks.
func (s *customStore) decompress(chunks io.Reader) (io.Reader, error) {
	if s.d.reserve == nil {
		return decompress(s.compression, chunks, nil)
	}
	return decompress(s.compression, chunks, highWater(s.d.reserve, &s.granted))
}

func (s *customStore) blobs(e *Entry, each func(uint64, io.Reader) error) error {
	if e.empty {
		return nil
	}
	kind, err := s.find(e)
	if err != nil {
		return err
	}
	if kind != blockBlobs {
		return fmt.Errorf("%w: a block of kind %d where large objects are expected", ErrFormat, kind)
	}
	if s.open != nil {
		s.open = func() error { return nil } // read here to its end, or the archive is given up
	}
	for {
		oid, ok := s.oid()
		if !ok {
			return s.d.err
		}
		chunks := &chunkReader{d: s.d}
		data, err := s.decompress(chunks)
		if err == nil {
			err = each(oid, data)
		}
		if err == nil {
			err = chunks.drain()
		}
		if err != nil {
			return err
		}
	}
}

// oid reads the number of the next large object of a block; false after the last one.
func (s *customStore) oid() (uint64, bool) {
	oid := s.d.int()
	if oid < 0 {
		s.d.fail("the oid %d", oid)
	}
	return uint64(oid), oid != 0 && s.d.err == nil
}

// find goes to the block of e, and returns its kind: straight to it where the archive says where it is or it has been
// seen, else past the blocks that have not been looked at yet.
func (s *customStore) find(e *Entry) (kind byte, err error) {
	if s.c.random() {
		pos := e.offset
		if pos == 0 {
			pos = s.found[e.ID]
		}
		if pos != 0 {
			if err := s.finish(); err != nil {
				return 0, err
			}
			return s.at(e, pos)
		}
	}
	if err := s.finish(); err != nil {
		return 0, err
	}
	if s.c.random() {
		s.c.jump(s.scanned)
	}
	for {
		kind, id, err := s.block()
		if errors.Is(err, io.EOF) {
			if _, passed := s.found[e.ID]; passed {
				return 0, fmt.Errorf("%w: the data of %s %s lies before that of an earlier entry", ErrOrder, e.Desc,
					e.Tag)
			}
			return 0, fmt.Errorf("%w: %s %s", ErrNoData, e.Desc, e.Tag)
		}
		if err != nil {
			return 0, err
		}
		s.found[id] = s.scanned
		if s.d.keep(foundMemory); s.d.err != nil {
			return 0, s.d.err
		}
		s.open = func() error { return s.skip(kind) }
		if id == e.ID {
			return kind, nil
		}
		if err := s.finish(); err != nil {
			return 0, err
		}
	}
}

// at goes to the block of e at pos.
func (s *customStore) at(e *Entry, pos int64) (kind byte, err error) {
	s.c.jump(pos)
	kind, id, err := s.block()
	if err == nil && id != e.ID {
		err = fmt.Errorf("block %d is there", id)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: the data of %s should begin at byte %d: %w", ErrFormat, e.Tag, pos, err)
	}
	return kind, nil
}

// block reads the beginning of a block; io.EOF after the last one.
func (s *customStore) block() (kind byte, id int, err error) {
	kind, err = s.c.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	if kind != blockData && kind != blockBlobs {
		return 0, 0, fmt.Errorf("%w: a block of unknown kind %d at byte %d", ErrFormat, kind, s.c.pos-1)
	}
	id = s.d.int()
	return kind, id, s.d.err
}

// finish reads what is left of a block that was found by looking, so that the next one can be looked at.
func (s *customStore) finish() error {
	if s.open == nil {
		return nil
	}
	err := s.open()
	s.open, s.scanned = nil, s.c.pos
	return err
}

// skip passes over the rest of a block.
func (s *customStore) skip(kind byte) error {
	if kind == blockData {
		return (&chunkReader{d: s.d}).drain()
	}
	for {
		if _, ok := s.oid(); !ok {
			return s.d.err
		}
		if err := (&chunkReader{d: s.d}).drain(); err != nil {
			return err
		}
	}
}

// A chunkReader reads one run of chunks as one stream.
type chunkReader struct {
	d    *decoder
	left int  // bytes left of this chunk
	done bool // the chunk of length 0 has been read
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.left == 0 && !r.done {
		n := r.d.int()
		if n < 0 {
			r.d.fail("a chunk of %d bytes", n)
		}
		if r.d.err != nil {
			return 0, r.d.err
		}
		r.left, r.done = n, n == 0
	}
	if r.done {
		return 0, io.EOF
	}
	n, err := r.d.c.Read(p[:min(len(p), r.left)])
	r.left -= n
	if n == 0 && !r.d.check(err) {
		return 0, r.d.err
	}
	return n, nil
}

func (r *chunkReader) drain() error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// eof is an empty stream.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
