package dump

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// A source is a place where bytes are. They can be read from their beginning as often as wanted.
type source struct {
	at     *io.SectionReader                   // nil: they cannot be read at random
	sum    *uint32                             // with at: their CRC-32, which open compares at the end; nil: not known
	stream func(*grant) (io.ReadCloser, error) // used where at is nil
}

// open reads the source from its beginning.
func (s source) open(g *grant) (io.ReadCloser, error) {
	switch {
	case s.at == nil:
		return s.stream(g)
	case s.sum != nil:
		return io.NopCloser(newChecked(s.section(), s.at.Size(), *s.sum)), nil
	}
	return io.NopCloser(s.section()), nil
}

// section is a reader of its own of a source that can be read at random.
func (s source) section() *io.SectionReader { return io.NewSectionReader(s.at, 0, s.at.Size()) }

// from is the source without its first n bytes.
func (s source) from(n int64) source {
	if s.at != nil {
		return source{at: io.NewSectionReader(s.at, n, max(0, s.at.Size()-n))}
	}
	return source{stream: func(g *grant) (io.ReadCloser, error) {
		r, err := s.open(g)
		if err != nil {
			return nil, err
		}
		if _, err := io.CopyN(io.Discard, r, n); err != nil {
			r.Close()
			return nil, err
		}
		return r, nil
	}}
}

// unpacked is what the source unpacks to, bounded.
func (s source) unpacked(m unpack.Method, bound int64) source {
	return source{stream: func(g *grant) (io.ReadCloser, error) {
		r, err := s.open(g)
		if err != nil {
			return nil, err
		}
		l := &lease{grant: g}
		closed := func() error { l.release(); return r.Close() }
		unpacked, err := unpack.New(m, r, l.take)
		if err != nil {
			closed()
			return nil, fmt.Errorf("%s: %w", m, err)
		}
		return readCloser{io.LimitReader(unpacked, bound), closed}, nil
	}}
}

type readCloser struct {
	io.Reader
	close func() error
}

func (r readCloser) Close() error { return r.close() }

// headSize is how much has to be seen to recognize what something is: a tar header, and some lines of SQL.
const headSize = 4096

// peek returns the first bytes of r, fewer than wanted only where there are no more, and a reader that still has them.
func peek(r io.Reader) (head []byte, all io.Reader, err error) {
	if at, ok := r.(*io.SectionReader); ok {
		head = make([]byte, headSize)
		n, err := at.ReadAt(head, 0)
		if n == 0 && err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		return head[:n], at, nil
	}
	buf := bufio.NewReaderSize(r, 4*headSize)
	head, err = buf.Peek(headSize)
	if len(head) == 0 && err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	// An error behind the first bytes comes again when they have been read.
	return head, buf, nil
}

// A spool is a temporary file, for what has to be read at random inside another packing.
type spool struct {
	file *os.File
	n    int64
}

var errSpool = errors.New("too large to be read inside another packing")

// newSpool copies r, at most bound bytes. Where r is longer the spool holds the beginning, and the error is errSpool.
func newSpool(r io.Reader, bound int64) (*spool, error) {
	f, err := os.CreateTemp("", "upgrademock-dump-*")
	if err != nil {
		return nil, fmt.Errorf("a temporary file: %w", err)
	}
	os.Remove(f.Name()) // where a file that is open can be removed; a kill leaves nothing behind
	s := &spool{file: f}
	n, err := io.Copy(s, io.LimitReader(r, bound))
	if err == nil && n == bound {
		if n, _ := io.CopyN(io.Discard, r, 1); n > 0 {
			err = errSpool
		}
	}
	return s, err
}

// Write appends to the file, as long as there is room for all.
func (s *spool) Write(p []byte) (int, error) {
	if !forFiles.free.TryAcquire(int64(len(p))) {
		return 0, fmt.Errorf("%w: other dumps hold %s of temporary files", ErrBusy, Size(forFiles.size))
	}
	s.n += int64(len(p))
	return s.file.Write(p)
}

func (s *spool) source() source { return source{at: io.NewSectionReader(s.file, 0, s.n)} }

func (s *spool) close() error {
	forFiles.free.Release(s.n)
	s.n = 0
	err := s.file.Close()
	os.Remove(s.file.Name())
	return err
}
