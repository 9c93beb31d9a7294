package platform

import (
	"errors"
	"hash"
	"os"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
)

// errClosing is what a dump gets that is still being written when the platform is closed.
var errClosing = errors.New("platform: the emulator is being stopped")

// Upload is a dump on its way in: a file that belongs to no request until the dump is complete. Exactly one of
// [Request.Upload], [Platform.Upgrade] and Discard takes it over.
type Upload struct {
	p    *Platform
	f    *os.File
	seq  int64
	size int64
	sum  hash.Hash32
}

// NewUpload begins an upload.
func (p *Platform) NewUpload() (*Upload, error) {
	seq, f, err := p.dumps.create()
	if err != nil {
		return nil, err
	}
	return &Upload{p: p, f: f, seq: seq, sum: newChecksum()}, nil
}

// Write appends to the dump. It fails once the platform is being closed.
func (u *Upload) Write(b []byte) (int, error) {
	if u.p.dumps.interrupted() {
		return 0, errClosing
	}
	n, err := u.f.Write(b)
	u.size += int64(n)
	u.sum.Write(b[:n])
	return n, err
}

// Size is the number of bytes written so far.
func (u *Upload) Size() int64 { return u.size }

// Checksum is that of the bytes written so far.
func (u *Upload) Checksum() string { return shown(u.sum.Sum32()) }

// Discard removes what has been written.
func (u *Upload) Discard() error {
	return errors.Join(u.f.Close(), u.p.dumps.discard(u.seq))
}

// finish closes the file and says what it holds.
func (u *Upload) finish() (*file, dump.Info, error) {
	info := dump.Sniff(u.f, u.size)
	stat, err := u.f.Stat()
	err = errors.Join(err, u.f.Close()) // a full disk may be noticed only here
	if err == nil {
		err = u.p.dumps.finish(u.seq)
	}
	if err != nil {
		u.p.dumps.discard(u.seq)
		return nil, info, err
	}
	return &file{Seq: u.seq, Size: u.size, ModTime: stat.ModTime(), Checksum: u.Checksum()}, info, nil
}

// MayUpload returns what speaks against an upload before its body is read (row 4.4).
func (r *Request) MayUpload() Failures {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.inStateLocked("upload", StateDraft)
}

// Upload makes the uploaded dump the request's, in place of an earlier one.
func (r *Request) Upload(u *Upload) (Snapshot, Failures) {
	whole, info, err := u.finish()
	if err != nil {
		return Snapshot{}, Failures{ServerError("The dump can not be stored", err)}
	}
	p := r.p
	defer p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	fails := r.inStateLocked("upload", StateDraft) // it may have been processed while the body came in
	if fails == nil {
		if err := r.completeLocked(whole, info); err != nil {
			fails = Failures{ServerError("The dump can not be kept", err)}
		}
	}
	if fails != nil {
		p.trash = append(p.trash, whole.Seq)
		return Snapshot{}, fails
	}
	r.dropSharedLocked()
	return r.snapshotLocked(), nil
}

// Upgrade is create, upload and process in one call (row 6.6): all of it, or nothing.
func (p *Platform) Upgrade(params CreateParams, postgresql string, u *Upload) (Snapshot, Failures) {
	fails := p.Check(params)
	if fails == nil && u.size == 0 {
		fails = Failures{{
			Reason: ReasonDumpMissing, Message: "There is no database dump in the call's body", Why: "the body is empty",
		}}
	}
	if fails != nil {
		u.Discard()
		return Snapshot{}, fails
	}
	whole, info, err := u.finish()
	if err != nil {
		return Snapshot{}, Failures{ServerError("The dump can not be stored", err)}
	}
	defer p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	var began machine.Change
	r, fails := p.createLocked(params, keyBytes, func(rec *record) {
		now := p.opts.Now()
		rec.OneCall, rec.PostgreSQL = true, postgresql
		rec.work = &work{Original: whole, Described: info, ProcessedAt: &now}
		rec.Position, began = machine.Begin(rec.Script, StateDraft, now)
	})
	if fails != nil {
		p.trash = append(p.trash, whole.Seq)
		return Snapshot{}, fails
	}
	r.reportLocked(began)
	r.evaluateLocked()
	return r.snapshotLocked(), nil
}

// completeLocked makes whole the request's dump and removes the one it replaces.
func (r *Request) completeLocked(whole *file, info dump.Info) error {
	old := r.rec.Original
	err := r.keepLocked(func(w *work) { w.Original, w.Described = whole, info }, r.p.store.complete)
	if err != nil {
		return err
	}
	if old != nil && old.Seq != whole.Seq {
		r.p.removeLocked(r, old.Seq)
	}
	return nil
}

// dropSharedLocked lets the shared file begin anew from the complete dump, which came another way. Sessions that
// have the old one open go on writing it, and complete it if they close it in order.
func (r *Request) dropSharedLocked() {
	d := r.shared
	r.shared = nil
	if d != nil && !d.inUse() {
		r.p.removeLocked(r, d.number())
	}
}
