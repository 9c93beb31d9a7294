package dump

import (
	"bytes"
	"context"
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

// SQL returns the plain SQL text of the dump that r holds, size bytes of it, whatever it is packed in: a stream that
// psql can run. Plain SQL comes byte for byte; archives of PostgreSQL come as pg_restore writes them. r is read while
// the result is read, and not any more when Close has returned. The context ends both looking for the dump and
// waiting for memory.
//
// An error wraps [ErrNotSQL] or [ErrBusy], or is that of r or of the context. A dump that turns out to be broken
// further on fails while reading, with an error that says where and wraps [ErrBroken]; a part that needs more memory
// than can be had, with [ErrBusy]. The result is for one goroutine, and has to be closed; behind that its error is
// [fs.ErrClosed].
func SQL(ctx context.Context, r io.ReaderAt, size int64) (io.ReadCloser, error) {
	medium := &medium{r: r}
	o, err := open(ctx, medium, size, forSQL, limits{
		unpacked: math.MaxInt64,
		searched: 16 << 30,
		spooled:  8 << 30,
	})
	if err != nil {
		o.close()
		switch {
		case medium.err != nil:
			return nil, fmt.Errorf("dump: read: %w", medium.err)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, ErrBusy):
			return nil, err
		case err == errUnknown && len(o.finding.packings) == 0:
			return nil, ErrUnknown
		}
		return nil, fmt.Errorf("%w: %w", ErrNotSQL, err)
	}
	// broken says of an error of reading whose fault it is.
	broken := func(err error) error {
		if err == nil || errors.Is(err, io.EOF) || medium.err != nil || ctx.Err() != nil || errors.Is(err, ErrBusy) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if o.archive == nil {
		return &plainSQL{text: o.text, broken: broken, close: sync.OnceValue(o.close)}, nil
	}
	return &writtenSQL{archive: o.archive, broken: broken, close: sync.OnceValue(o.close)}, nil
}

// plainSQL is text that is there already.
type plainSQL struct {
	text   io.Reader // nil: closed
	broken func(error) error
	close  func() error
}

func (s *plainSQL) Read(p []byte) (int, error) {
	if s.text == nil {
		return 0, fs.ErrClosed
	}
	n, err := s.text.Read(p)
	return n, s.broken(err)
}

func (s *plainSQL) Close() error {
	s.text = nil
	return s.close()
}

// writtenSQL is text that an archive writes: straight to where it goes when the reader is copied (WriteTo), else
// piece by piece as it is read, the writing being suspended between two pieces. No goroutine runs beside the caller.
type writtenSQL struct {
	archive *pgarchive.Archive // nil: closed
	piece   []byte
	next    func() ([]byte, bool)
	stop    func()
	err     error // of the writing, when next has no more
	broken  func(error) error
	close   func() error
}

func (s *writtenSQL) WriteTo(w io.Writer) (int64, error) {
	if s.next != nil || s.archive == nil { // somebody has read already
		return io.Copy(w, struct{ io.Reader }{s})
	}
	c := &countingWriter{w: w}
	err := s.archive.WriteSQL(c)
	if c.err == nil {
		err = s.broken(err)
	}
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
				return 0, s.broken(s.err)
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
	s.archive, s.piece, s.next, s.stop = nil, nil, nil, nil
	return s.close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type countingWriter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.err = err
	return n, err
}

// sqlBegin is how SQL begins: a comment, a psql command, or one of the words that begin a statement.
var sqlBegin = regexp.MustCompile(`(?i)^(--|/\*|\\[a-z]|;|(?:` +
	`ABORT|ALTER|ANALYZE|BEGIN|CALL|COMMENT|COMMIT|COPY|CREATE|DELETE|DO|DROP|END|GRANT|INSERT|LOCK|MERGE|` +
	`REINDEX|RESET|REVOKE|ROLLBACK|SECURITY|SELECT|SET|START|TRUNCATE|UPDATE|VACUUM|VALUES|WITH)(?:[^a-z0-9_]|$))`)

// looksLikeSQL reports whether a text begins like SQL. The encoding is not asked for: dumps in Latin-1 exist.
func looksLikeSQL(head []byte) bool {
	if bytes.IndexFunc(head, func(c rune) bool {
		return c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != '\b' && c != '\v'
	}) >= 0 {
		return false
	}
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	return sqlBegin.Match(bytes.TrimLeft(head, " \t\r\n\f\v"))
}
