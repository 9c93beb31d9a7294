package platform

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
)

// errClosing is what a dump gets that is still being written when the platform is closed.
var errClosing = errors.New("platform: the emulator is being stopped")

// Staged is a dump on its way in: a file that belongs to no request until its upload is complete. Exactly one of
// Upload, Upgrade and Discard takes it over.
type Staged struct {
	p    *Platform
	f    *os.File
	seq  int64
	size int64
	sum  hash.Hash32
}

// Stage begins an upload.
func (p *Platform) Stage() (*Staged, error) {
	seq, f, err := p.dumps.create()
	if err != nil {
		return nil, err
	}
	return &Staged{p: p, f: f, seq: seq, sum: newChecksum()}, nil
}

// Write appends to the dump. It fails once the platform is being closed.
func (s *Staged) Write(b []byte) (int, error) {
	if s.p.dumps.interrupted() {
		return 0, errClosing
	}
	n, err := s.f.Write(b)
	s.size += int64(n)
	s.sum.Write(b[:n])
	return n, err
}

// Size is the number of bytes written so far.
func (s *Staged) Size() int64 { return s.size }

// Checksum is that of the bytes written so far.
func (s *Staged) Checksum() string { return shown(s.sum.Sum32()) }

// Discard removes what has been written.
func (s *Staged) Discard() error {
	return errors.Join(s.f.Close(), s.p.dumps.discard(s.seq))
}

// finish closes the file and says what it holds.
func (s *Staged) finish() (*file, dump.Info, error) {
	info := dump.Sniff(s.f, s.size)
	stat, err := s.f.Stat()
	err = errors.Join(err, s.f.Close()) // a full disk may be noticed only here
	if err == nil {
		err = s.p.dumps.finish(s.seq)
	}
	if err != nil {
		s.p.dumps.discard(s.seq)
		return nil, info, err
	}
	return &file{Seq: s.seq, Size: s.size, ModTime: stat.ModTime(), Checksum: s.Checksum()}, info, nil
}

// MayUpload tells what speaks against an upload before its body is read (row 4.4).
func (p *Platform) MayUpload(ref Ref) Failures {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, fails := p.findLocked(ref)
	if fails == nil && p.stateLocked(r) != StateDraft {
		fails = Failures{wrongState("upload", r.rec.ID, p.stateLocked(r), StateDraft)}
	}
	return fails
}

// Upload makes the staged dump the request's, in place of an earlier one.
func (p *Platform) Upload(ref Ref, staged *Staged) (Snapshot, Failures) {
	whole, info, err := staged.finish()
	if err != nil {
		return Snapshot{}, Failures{Trouble("The dump can not be stored", err)}
	}
	defer p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	r, fails := p.findLocked(ref)
	if fails == nil && p.stateLocked(r) != StateDraft { // it was processed while the body came in
		fails = Failures{wrongState("upload", r.rec.ID, p.stateLocked(r), StateDraft)}
	}
	if fails == nil {
		if err := p.completeLocked(r, whole, info); err != nil {
			fails = Failures{Trouble("The dump can not be kept", err)}
		}
	}
	if fails != nil {
		p.trash = append(p.trash, whole.Seq)
		return Snapshot{}, fails
	}
	p.dropSharedLocked(r)
	return p.snapshotLocked(r), nil
}

// Upgrade is create, upload and process in one call (row 6.6): all of it, or nothing.
func (p *Platform) Upgrade(params CreateParams, postgresql string, staged *Staged) (Snapshot, Failures) {
	fails := p.Check(params)
	if fails == nil && staged.size == 0 {
		fails = Failures{{Reason: DumpMissing, Message: "There is no database dump in the call's body", Why: "the body is empty"}}
	}
	if fails != nil {
		staged.Discard()
		return Snapshot{}, fails
	}
	whole, info, err := staged.finish()
	if err != nil {
		return Snapshot{}, Failures{Trouble("The dump can not be stored", err)}
	}
	defer p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	var began machine.Change
	r, fails := p.createLocked(params, func(rec *record) {
		now := p.opts.Now()
		rec.OneCall, rec.PostgreSQL = true, postgresql
		rec.work = &work{Original: whole, Described: info, ProcessedAt: &now}
		rec.Position, began = machine.Begin(rec.Script, now)
	})
	if fails != nil {
		p.trash = append(p.trash, whole.Seq)
		return Snapshot{}, fails
	}
	p.tellLocked(r, []machine.Change{began})
	p.evaluateLocked(r)
	return p.snapshotLocked(r), nil
}

// completeLocked makes whole the request's dump and removes the one it replaces.
func (p *Platform) completeLocked(r *request, whole *file, info dump.Info) error {
	old := r.rec.Original
	if err := p.keepLocked(r, func(w *work) { w.Original, w.Described = whole, info }, p.store.complete); err != nil {
		return err
	}
	if old != nil && old.Seq != whole.Seq {
		p.removeLocked(r, old.Seq)
	}
	return nil
}

// removeLocked removes a file unless r still refers to it. Whoever has it open goes on reading.
func (p *Platform) removeLocked(r *request, seq int64) {
	if o := r.rec.Original; o != nil && o.Seq == seq || r.shared != nil && r.shared.number() == seq {
		return
	}
	p.trash = append(p.trash, seq)
}

// sweep removes the files that nothing refers to any more. To be deferred before the lock is taken, so that it runs without:
// a file system may take long over a large file, and nobody else has to wait for that. What a kill leaves behind, the next process sets aside.
func (p *Platform) sweep() {
	p.mu.Lock()
	trash := p.trash
	p.trash = nil
	p.mu.Unlock()
	for _, seq := range trash {
		p.dumps.remove(seq)
	}
}

// dropSharedLocked lets the shared file begin anew from the complete dump, which came another way. Sessions that
// have the old one open go on writing it, and complete it if they close it in order.
func (p *Platform) dropSharedLocked(r *request) {
	d := r.shared
	r.shared = nil
	if d != nil && !d.inUse() {
		p.removeLocked(r, d.number())
	}
}

// Content is a finished file, or what stands for one, open for reading.
type Content struct {
	io.ReaderAt
	Name    string // as a client should call it
	Size    int64
	ETag    string // quoted, strong: the same for the same bytes
	ModTime time.Time
	Why     string // something to be said of it to whoever tests a client; "" is nothing
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
	return sql, inOurWords(err)
}

// Errors of the upgraded database, and of SQL, which have to be made of what was uploaded.
var (
	// ErrUnreadable: the dump is cut or broken, or is none that is known; the error says where and why.
	ErrUnreadable = errors.New("platform: the uploaded dump cannot be read as SQL")
	// ErrBusy: other dumps that are being unpacked hold the memory that this one needs. It may succeed later.
	ErrBusy = errors.New("platform: too many dumps are being unpacked")
)

// inOurWords puts an error of package dump into the platform's.
func inOurWords(err error) error {
	switch {
	case errors.Is(err, dump.ErrNotSQL), errors.Is(err, dump.ErrBroken):
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	case errors.Is(err, dump.ErrBusy):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// Original opens the uploaded dump as it came (row 8.2).
func (p *Platform) Original(ref Ref) (*Content, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, why := p.lookupLocked(ref)
	if r == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoContent, why)
	}
	if r.rec.Original == nil {
		return nil, fmt.Errorf("%w: no complete dump has been uploaded", ErrNoContent)
	}
	return p.openLocked(r, r.rec.Original, r.rec.Filename)
}

// ErrNoContent is what a URL gets that leads nowhere (yet).
var ErrNoContent = errors.New("platform: nothing to hand out")

// openLocked opens a finished file of the request. One that is not what it was makes the request a damaged one.
func (p *Platform) openLocked(r *request, f *file, name string) (*Content, error) {
	opened, err := p.dumps.open(f.Seq, f.Size)
	if err != nil {
		p.noteDamageLocked(r, err)
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
