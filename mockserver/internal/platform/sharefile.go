package platform

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"

	"github.com/upgrademock/upgrademock/internal/dump"
)

// ShareFile is an open handle on a share's file.
type ShareFile interface {
	ReadAt(b []byte, off int64) (int, error)
	WriteAt(b []byte, off int64) (int, error)
	Append(b []byte, limit int64) (off int64, n int, err error) // at the end, up to the offset limit
	Truncate(size int64) error
	Finish() (*Completed, error) // closed in order
	Abort(cause error) error     // the session broke
}

// Completed describes a dump that has become a request's. A nil one means that none has.
type Completed struct {
	Size     int64
	Checksum string
}

// sharedFile is a handle on a file that may be written.
type sharedFile struct {
	r     *Request
	d     *dumpFile
	write bool
	lost  atomic.Bool // the disk refused something that the client sent, so closing in order does not complete the dump
}

func (f *sharedFile) ReadAt(b []byte, off int64) (int, error) { return f.d.ReadAt(b, off) }
func (f *sharedFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.r.p.fits(off + int64(len(b))); err != nil {
		f.lost.Store(true)
		return 0, err
	}
	n, err := f.d.WriteAt(b, off)
	if err != nil {
		f.lost.Store(true)
	}
	return n, err
}

func (f *sharedFile) Append(b []byte, limit int64) (off int64, n int, err error) {
	off, n, err = f.d.append(func(end int64) ([]byte, error) {
		fitting := b[:min(int64(len(b)), max(limit-end, 0))]
		return fitting, f.r.p.fits(end + int64(len(fitting)))
	})
	if err != nil {
		f.lost.Store(true)
	}
	return off, n, err
}

func (f *sharedFile) Truncate(size int64) error {
	err := f.r.p.fits(size)
	if err == nil {
		err = f.d.truncate(size)
	}
	if err != nil {
		f.lost.Store(true)
	}
	return err
}

// fits reports whether a dump may have that size; the error is the system's for a file too large, which the SFTP server
// knows.
func (p *Platform) fits(size int64) error {
	if size > p.opts.MaxDump {
		return fmt.Errorf("platform: a dump may have up to %d bytes (%s): %w", p.opts.MaxDump,
			p.opts.OptionName("MaxDump"), syscall.EFBIG)
	}
	return nil
}

func (f *sharedFile) Finish() (*Completed, error) { return f.end(!f.lost.Load()) }

func (f *sharedFile) Abort(error) error {
	_, err := f.end(false)
	return err
}

func (f *sharedFile) end(clean bool) (*Completed, error) {
	r, p := f.r, f.r.p
	out, err := f.d.release(f.write, clean)
	if f.write && !out.complete {
		f.d.recordProgress()
	}
	var info dump.Info
	var sum string
	if out.content != nil {
		info = dump.Sniff(out.content, out.size)
		var unread error
		if sum, unread = checksumOf(out.content, out.size, p.dumps.stop); unread != nil {
			err, out.complete = errors.Join(err, unread), false
		}
		out.content.Close()
	}
	defer p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.forgotten {
		return nil, err
	}
	// Where two close at once, the later one may be recorded first.
	if out.complete && out.end > f.d.kept && r.stateLocked() == StateDraft {
		done := &file{Seq: out.seq, Size: out.size, ModTime: out.modTime.UTC(), Checksum: sum}
		if err := r.completeLocked(done, info); err != nil {
			return nil, fmt.Errorf("platform: keep the dump: %w", err)
		}
		f.d.kept = out.end
		if r.shared != f.d { // an upload over HTTPS came between; the last completed write wins
			r.dropSharedLocked()
			r.shared = f.d
		}
	}
	for _, seq := range f.d.takeLeft() {
		p.removeLocked(r, seq)
	}
	if r.shared != f.d && !f.d.inUse() {
		p.removeLocked(r, f.d.number())
	}
	if !out.complete || r.stateLocked() != StateDraft {
		return nil, err
	}
	return &Completed{Size: out.size, Checksum: sum}, err
}

// readOnlyFile is a handle on the upgraded dump.
type readOnlyFile struct{ *Content }

func (readOnlyFile) WriteAt([]byte, int64) (int, error)       { return 0, ErrReadOnly }
func (readOnlyFile) Append([]byte, int64) (int64, int, error) { return 0, 0, ErrReadOnly }
func (readOnlyFile) Truncate(int64) error                     { return ErrReadOnly }
func (f readOnlyFile) Finish() (*Completed, error)            { return nil, f.Close() }
func (f readOnlyFile) Abort(error) error                      { return f.Close() }
