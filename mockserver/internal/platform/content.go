package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
)

// Content is a finished file, or what stands for one, open for reading.
type Content struct {
	io.ReaderAt
	Name    string // as a client should call it
	Size    int64
	ETag    string // quoted, strong: the same for the same bytes
	ModTime time.Time
	Why     string // what the journal says of it; "" is nothing
	close   func() error
}

// Close releases the file.
func (c *Content) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

// SQL is the plain SQL text of the dump (row 8.6). The context ends looking for it, and waiting for memory. An error
// wraps ErrUnreadable, ErrBusy, or is that of the file or of the context; likewise when the SQL is read.
func (c *Content) SQL(ctx context.Context) (io.ReadCloser, error) {
	sql, err := dump.SQL(ctx, c.ReaderAt, c.Size)
	return sql, converted(err)
}

// Errors of the upgraded database, and of SQL, which have to be made of what was uploaded.
var (
	// ErrNoContent: there is nothing to hand out, or not yet.
	ErrNoContent = errors.New("platform: nothing to hand out")
	// ErrUnreadable: the dump is cut or broken, or is none that is known; the error says where and why.
	ErrUnreadable = errors.New("platform: the uploaded dump cannot be read as SQL")
	// ErrBusy: other dumps that are being unpacked hold the memory that this one needs. It may succeed later.
	ErrBusy = errors.New("platform: too many dumps are being unpacked")
)

// converted makes an error of package dump one of this package.
func converted(err error) error {
	switch {
	case errors.Is(err, dump.ErrNotSQL), errors.Is(err, dump.ErrBroken):
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	case errors.Is(err, dump.ErrBusy):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// Original opens the uploaded dump as it came (row 8.2). If there is none, the error wraps [ErrNoContent].
func (r *Request) Original() (*Content, error) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if r.forgotten || r.rec.Original == nil {
		return nil, fmt.Errorf("%w: no complete dump has been uploaded", ErrNoContent)
	}
	return r.openLocked(r.rec.Original, r.rec.Filename)
}

// openLocked opens a finished file of the request. One that is not what it was makes the request a damaged one.
func (r *Request) openLocked(f *file, name string) (*Content, error) {
	opened, err := r.p.dumps.open(f.Seq, f.Size)
	if err != nil {
		r.noteDamageLocked(err)
		return nil, err
	}
	return &Content{
		ReaderAt: io.NewSectionReader(opened, 0, f.Size),
		Name:     name,
		Size:     f.Size,
		ETag:     fmt.Sprintf(`"%x-%x"`, f.Seq, f.Size),
		ModTime:  f.ModTime,
		close:    opened.Close,
	}, nil
}
