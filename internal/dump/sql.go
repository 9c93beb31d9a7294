package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"regexp"
	"sync"

	"github.com/upgrademock/upgrademock/internal/dump/pgarchive"
)

// SQL returns the plain SQL text of the dump that r holds, size bytes of it, whatever it is packed in: a stream that psql can
// run. Plain SQL comes byte for byte; archives of PostgreSQL come as pg_restore writes them. r is read while the
// result is read, and not any more when Close has returned.
//
// An error wraps [ErrNotSQL], or is that of r. A dump that turns out to be broken further on fails while reading, with an error that
// says where. The result is for one goroutine, and has to be closed; behind that its error is [fs.ErrClosed].
func SQL(r io.ReaderAt, size int64) (io.ReadCloser, error) {
	medium := &medium{r: r}
	o, err := open(io.NewSectionReader(medium, 0, size), limits{
		unpacked: math.MaxInt64,
		spooled:  8 << 30,
		members:  math.MaxInt,
	})
	if err != nil {
		o.close()
		if medium.err != nil {
			return nil, fmt.Errorf("dump: read: %w", medium.err)
		}
		return nil, fmt.Errorf("%w: %w", ErrNotSQL, err)
	}
	if o.archive == nil {
		return &plainSQL{text: o.text, close: sync.OnceValue(o.close)}, nil
	}
	return &writtenSQL{archive: o.archive, close: sync.OnceValue(o.close)}, nil
}

// A medium remembers whether reading has failed: that is no fault of what is read.
type medium struct {
	r   io.ReaderAt
	err error
}

func (m *medium) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// plainSQL is text that is there already.
type plainSQL struct {
	text  io.Reader // nil: closed
	close func() error
}

func (s *plainSQL) Read(p []byte) (int, error) {
	if s.text == nil {
		return 0, fs.ErrClosed
	}
	return s.text.Read(p)
}

func (s *plainSQL) Close() error {
	s.text = nil
	return s.close()
}

// writtenSQL is text that an archive writes: straight to where it goes when the reader is copied (WriteTo), else piece by piece
// as it is read, the writing being suspended between two pieces. No goroutine runs beside the caller.
type writtenSQL struct {
	archive *pgarchive.Archive // nil: closed
	piece   []byte
	next    func() ([]byte, bool)
	stop    func()
	err     error // of the writing, when next has no more
	close   func() error
}

func (s *writtenSQL) WriteTo(w io.Writer) (int64, error) {
	if s.next != nil || s.archive == nil { // somebody has read already
		return io.Copy(w, struct{ io.Reader }{s})
	}
	c := &countingWriter{w: w}
	err := s.archive.WriteSQL(c)
	return c.n, err
}

func (s *writtenSQL) Read(p []byte) (int, error) {
	if s.archive == nil {
		return 0, fs.ErrClosed
	}
	if s.next == nil {
		s.next, s.stop = iter.Pull(func(yield func([]byte) bool) {
			s.err = s.archive.WriteSQL(writerFunc(func(piece []byte) (int, error) {
				if !yield(piece) {
					return 0, io.ErrClosedPipe
				}
				return len(piece), nil
			}))
		})
	}
	for len(s.piece) == 0 {
		piece, ok := s.next()
		if !ok {
			if s.err != nil {
				return 0, s.err
			}
			return 0, io.EOF
		}
		s.piece = piece
	}
	n := copy(p, s.piece)
	s.piece = s.piece[n:]
	return n, nil
}

func (s *writtenSQL) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.archive, s.piece = nil, nil
	return s.close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// sqlBegin is how SQL begins: a comment, a psql command, or one of the words that begin a statement.
var sqlBegin = regexp.MustCompile(`(?i)^(--|/\*|\\[a-z]|;|(?:` +
	`ABORT|ALTER|ANALYZE|BEGIN|CALL|COMMENT|COMMIT|COPY|CREATE|DELETE|DO|DROP|END|GRANT|INSERT|LOCK|MERGE|` +
	`REINDEX|RESET|REVOKE|ROLLBACK|SECURITY|SELECT|SET|START|TRUNCATE|UPDATE|VACUUM|VALUES|WITH)(?:[^a-z0-9_]|$))`)

// looksLikeSQL tells text that begins like SQL. The encoding is not asked for: dumps in Latin-1 exist.
func looksLikeSQL(head []byte) bool {
	if bytes.IndexFunc(head, func(c rune) bool {
		return c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != '\b' && c != '\v'
	}) >= 0 {
		return false
	}
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	return sqlBegin.Match(bytes.TrimLeft(head, " \t\r\n\f\v"))
}
