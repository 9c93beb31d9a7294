package platform

import (
	"errors"
	"os"
	"time"
)

// Share is what one login sees: one file. Its methods may be called concurrently.
type Share struct {
	r     *Request
	phase string
}

// ID returns the request's id.
func (s *Share) ID() int64 { return s.r.rec.ID }

// lastsLocked returns ErrAccessEnded once the share's access has ended. Another request_sftp_access does not end it.
func (s *Share) lastsLocked() error {
	s.r.evaluateLocked()
	if s.r.forgotten || s.r.rec.Access == nil || s.r.rec.Access.Phase != s.phase {
		return ErrAccessEnded
	}
	return nil
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
	r := s.r
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if err := s.lastsLocked(); err != nil {
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
	s.r.p.mu.Lock()
	defer s.r.p.mu.Unlock()
	if err := s.lastsLocked(); err != nil {
		return ShareInfo{}, err
	}
	snapshot := s.r.snapshotLocked()
	return ShareInfo{
		Name: UpgradedName(snapshot.Filename, snapshot.Filestore), ModTime: snapshot.CreatedAt, ReadOnly: true,
	}, nil
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
	return &sharedFile{r: s.r, d: d, write: write}, nil
}

// shared returns the file that the request's sessions write, held for one more handle. The handle is opened without
// the platform's lock: the disk may take its time.
func (s *Share) shared() (*dumpFile, error) {
	s.r.p.mu.Lock()
	defer s.r.p.mu.Unlock()
	if err := s.lastsLocked(); err != nil {
		return nil, err
	}
	d := s.r.sharedLocked()
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
	s.r.p.mu.Lock()
	err := s.lastsLocked()
	s.r.p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return s.r.upgraded()
}

// sharedLocked returns the file that the request's SFTP sessions write.
func (r *Request) sharedLocked() *dumpFile {
	if r.shared != nil {
		return r.shared
	}
	d := r.newShared()
	if o := r.rec.Original; o != nil {
		d.seq, d.modTime = o.Seq, o.ModTime
		d.size, d.whole, d.savedLen, d.sealed = o.Size, o.Size, o.Size, o.Size
	} else {
		d.seq, d.modTime = r.p.dumps.seq.Add(1), r.rec.CreatedAt
	}
	r.shared = d
	return d
}

func (r *Request) newShared() *dumpFile {
	p, id := r.p, r.rec.ID
	return &dumpFile{files: p.dumps, now: p.opts.Now, onProgress: func(part progress) {
		// Without the note a restart after a kill finds less of the transfer; the transfer itself goes on.
		_ = p.store.putProgress(id, part)
	}}
}
