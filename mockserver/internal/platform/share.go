package platform

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
)

// Access is what a client is told about its temporary SFTP access.
type Access struct {
	ID         int64
	User       string
	SharedFile string
	Expires    time.Time
}

// GrantAccess lets keys, in SSH wire form and base64, log in to the request's SFTP share (docs/fidelity.md, section
// 5). They replace the keys of an earlier call. invalid holds what is wrong with the keys, to be reported together
// with the rest.
func (p *Platform) GrantAccess(ref Ref, keys []string, invalid Failures) (Access, Failures) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, fails := p.findLocked(ref)
	if fails == nil && phase(p.stateLocked(r)) == "" {
		fails = Failures{wrongState("request_sftp_access", r.rec.ID, p.stateLocked(r), StateDraft, StateDone, StateDelivered)}
	}
	if fails = append(fails, invalid...); fails != nil {
		return Access{}, fails
	}
	granted := &access{Keys: keys, Phase: phase(p.stateLocked(r)), Expires: p.opts.Now().Add(p.opts.AccessTTL).UTC()}
	if err := p.updateLocked(r, func(w *work) { w.Access = granted }); err != nil {
		return Access{}, Failures{Trouble("The SFTP server can not be started now", err)}
	}
	return Access{ID: r.rec.ID, User: SFTPUser(r.rec.ID), SharedFile: r.rec.Filename, Expires: granted.Expires}, nil
}

// RevokeAccess ends a request's SFTP access.
func (p *Platform) RevokeAccess(id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests[id]
	if r == nil || r.rec.Access == nil {
		return
	}
	end := func(w *work) { w.Access = nil }
	if err := p.updateLocked(r, end); err != nil {
		r.becomes(end) // an access that cannot be forgotten on disk still ends here
	}
	p.opts.AccessEnded(id)
}

// The reasons for which a login, or an operation of one, is refused.
var (
	ErrNoUser      = errors.New("platform: no such SFTP user")
	ErrNoAccess    = errors.New("platform: the request has no SFTP access: it was never asked for, its time is over, or the request has left the state it was for")
	ErrOtherKey    = errors.New("platform: the key is none of those that were sent with request_sftp_access")
	ErrAccessEnded = errors.New("platform: the SFTP access has ended")
	ErrReadOnly    = errors.New("platform: the upgraded dump can only be read")
)

// Share is what one login sees: one file. Its methods may be called concurrently.
type Share struct {
	p     *Platform
	id    int64
	phase string
}

// Share returns what the SFTP user sees when logging in with key, in SSH wire form and base64.
func (p *Platform) Share(user, key string) (*Share, error) {
	id, ok := UserID(user)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests[id]
	if !ok || r == nil {
		return nil, ErrNoUser
	}
	if damage := p.damaged[id]; damage != nil {
		return nil, damage
	}
	p.evaluateLocked(r)
	switch a := r.rec.Access; {
	case a == nil:
		return nil, ErrNoAccess
	case !slices.Contains(a.Keys, key):
		return nil, ErrOtherKey
	default:
		return &Share{p: p, id: id, phase: a.Phase}, nil
	}
}

// ID is the request's.
func (s *Share) ID() int64 { return s.id }

// requestLocked returns the request while the share's access lasts. Another request_sftp_access does not end it.
func (s *Share) requestLocked() (*request, error) {
	r := s.p.requests[s.id]
	if r == nil {
		return nil, ErrAccessEnded
	}
	s.p.evaluateLocked(r)
	if r.rec.Access == nil || r.rec.Access.Phase != s.phase {
		return nil, ErrAccessEnded
	}
	return r, nil
}

// ShareInfo describes the file as it is now.
type ShareInfo struct {
	Name     string
	Size     int64
	ModTime  time.Time
	ReadOnly bool
}

// Stat describes the file, or fails with ErrAccessEnded. An upgraded dump that cannot be made, because the uploaded
// one cannot be read, is there with the size 0; opening it fails.
func (s *Share) Stat() (ShareInfo, error) {
	if s.phase == "download" {
		c, err := s.upgraded()
		if errors.Is(err, ErrUnreadable) {
			return s.unreadable()
		}
		if err != nil {
			return ShareInfo{}, err
		}
		defer c.Close()
		return ShareInfo{Name: c.Name, Size: c.Size, ModTime: c.ModTime, ReadOnly: true}, nil
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	r, err := s.requestLocked()
	if err != nil {
		return ShareInfo{}, err
	}
	info := ShareInfo{Name: r.rec.Filename, ModTime: r.rec.CreatedAt}
	switch {
	case r.shared != nil:
		info.Size, info.ModTime = r.shared.stat()
	case r.rec.Original != nil:
		info.Size, info.ModTime = r.rec.Original.Size, r.rec.Original.ModTime
	}
	return info, nil
}

// unreadable describes an upgraded dump that cannot be made.
func (s *Share) unreadable() (ShareInfo, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	r, err := s.requestLocked()
	if err != nil {
		return ShareInfo{}, err
	}
	snapshot := s.p.snapshotLocked(r)
	return ShareInfo{Name: UpgradedName(snapshot.Filename, snapshot.Filestore), ModTime: snapshot.CreatedAt, ReadOnly: true}, nil
}

// ShareFile is an open handle on a share's file.
type ShareFile interface {
	ReadAt(b []byte, off int64) (int, error)
	WriteAt(b []byte, off int64) (int, error)
	Append(b []byte, limit int64) (off int64, n int, err error) // at the end, up to the offset limit
	Truncate(size int64) error
	Finish() (*Completed, error) // closed in order
	Abort(cause error) error     // the session broke
}

// Completed describes a dump that has become a request's; where a nil one is returned, none has.
type Completed struct {
	Size     int64
	Checksum string
}

// Open opens the file; flag is of package os: how to open, and whether to truncate.
func (s *Share) Open(flag int) (ShareFile, error) {
	write := flag&(os.O_WRONLY|os.O_RDWR) != 0
	if s.phase == "download" {
		if write {
			return nil, ErrReadOnly
		}
		c, err := s.upgraded()
		if err != nil {
			return nil, err
		}
		return readOnlyFile{c}, nil
	}
	d, err := s.shared()
	if err != nil {
		return nil, err
	}
	if err := d.acquire(write, flag&os.O_TRUNC != 0); err != nil {
		return nil, err
	}
	if write {
		d.recordProgress()
	}
	return &sharedFile{share: s, d: d, write: write}, nil
}

// shared returns the file that the request's sessions write, held for one more handle. The handle is opened without
// the platform's lock: the disk may take its time.
func (s *Share) shared() (*dumpFile, error) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	r, err := s.requestLocked()
	if err != nil {
		return nil, err
	}
	d := s.p.sharedLocked(r)
	d.hold()
	return d, nil
}

// Truncate sets the file's size without a handle.
func (s *Share) Truncate(size int64) error {
	f, err := s.Open(os.O_RDWR)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	_, closed := f.Finish()
	return errors.Join(err, closed)
}

func (s *Share) upgraded() (*Content, error) {
	s.p.mu.Lock()
	r, err := s.requestLocked()
	s.p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return s.p.upgraded(r)
}

// sharedLocked returns the file that the request's SFTP sessions write.
func (p *Platform) sharedLocked(r *request) *dumpFile {
	if r.shared != nil {
		return r.shared
	}
	d := p.newShared(r)
	if o := r.rec.Original; o != nil {
		d.seq, d.modTime = o.Seq, o.ModTime
		d.size, d.whole, d.told, d.sealed = o.Size, o.Size, o.Size, o.Size
	} else {
		d.seq, d.modTime = p.dumps.seq.Add(1), r.rec.CreatedAt
	}
	r.shared = d
	return d
}

func (p *Platform) newShared(r *request) *dumpFile {
	id := r.rec.ID
	return &dumpFile{files: p.dumps, now: p.opts.Now, onProgress: func(part progress) {
		// Without the note a restart after a kill finds less of the transfer; the transfer itself goes on.
		_ = p.store.putProgress(id, part)
	}}
}

// sharedFile is a handle on a file that may be written.
type sharedFile struct {
	share *Share
	d     *dumpFile
	write bool
	lost  atomic.Bool // the disk refused something that the client sent, so closing in order does not make it a whole dump
}

func (f *sharedFile) ReadAt(b []byte, off int64) (int, error) { return f.d.ReadAt(b, off) }
func (f *sharedFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.share.p.fits(off + int64(len(b))); err != nil {
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
		return fitting, f.share.p.fits(end + int64(len(fitting)))
	})
	if err != nil {
		f.lost.Store(true)
	}
	return off, n, err
}

func (f *sharedFile) Truncate(size int64) error {
	err := f.share.p.fits(size)
	if err == nil {
		err = f.d.truncate(size)
	}
	if err != nil {
		f.lost.Store(true)
	}
	return err
}

// fits tells whether a dump may have that size; the error is the system's for a file too large, which the SFTP server
// has a word for.
func (p *Platform) fits(size int64) error {
	if size > p.opts.MaxDump {
		return fmt.Errorf("platform: a dump may have up to %d bytes (Options.MaxDump, --max-dump): %w", p.opts.MaxDump, syscall.EFBIG)
	}
	return nil
}

func (f *sharedFile) Finish() (*Completed, error) { return f.end(!f.lost.Load()) }

func (f *sharedFile) Abort(error) error {
	_, err := f.end(false)
	return err
}

func (f *sharedFile) end(clean bool) (*Completed, error) {
	p := f.share.p
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
	r := p.requests[f.share.id]
	if r == nil { // forgotten meanwhile
		return nil, err
	}
	// Where two close at once, the later one's books may be done first.
	if out.complete && out.end > f.d.kept && p.stateLocked(r) == StateDraft {
		done := &file{Seq: out.seq, Size: out.size, ModTime: out.modTime.UTC(), Checksum: sum}
		if err := p.completeLocked(r, done, info); err != nil {
			return nil, fmt.Errorf("platform: keep the dump: %w", err)
		}
		f.d.kept = out.end
		if r.shared != f.d { // an upload over HTTPS came between; the last completed write wins
			p.dropSharedLocked(r)
			r.shared = f.d
		}
	}
	for _, seq := range f.d.takeLeft() {
		p.removeLocked(r, seq)
	}
	if r.shared != f.d && !f.d.inUse() {
		p.removeLocked(r, f.d.number())
	}
	if !out.complete || p.stateLocked(r) != StateDraft {
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
