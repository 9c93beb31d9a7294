package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
)

// tree is what the sessions of rsync have made of a request's directory (row S10.1).
type tree struct {
	Writing bool `json:"writing,omitempty"` // a session writes, or the process ended while one did
	Killed  bool `json:"killed,omitempty"`  // the process ended while one did, and what rsync was writing may lie about

	List     int64     `json:"list,omitempty"`       // the number of the list of its files; 0: there is no complete dump
	Name     string    `json:"name,omitempty"`       // what of the directory the dump is in: "origin.dump"
	File     string    `json:"file,omitempty"`       // the dump, if it is one file: "origin.zip"
	Files    int       `json:"files,omitempty"`      // how many it has
	Size     int64     `json:"size,omitempty"`       // their bytes
	Checksum string    `json:"checksum,omitempty"`   // of a dump that is one file
	ModTime  time.Time `json:"mod_time,omitzero"`    // when it was complete
	Missing  string    `json:"incomplete,omitempty"` // why there is no complete dump

	Sessions []Session `json:"sessions,omitempty"` // the latest ones, oldest first
}

// complete reports whether there is a dump; t may be nil.
func (t *tree) complete() bool { return t != nil && t.List != 0 && !t.Writing }

// directory reports whether the complete dump is in PostgreSQL's directory format.
func (t *tree) directory() bool { return t.File == "" }

// with is a changed copy of t, which may be nil.
func (t *tree) with(change func(*tree)) *tree {
	var next tree
	if t != nil {
		next = *t
	}
	change(&next)
	return &next
}

// broken is t after a session that did not end in order: what was a complete dump, and was not touched, still is one.
func (t *tree) broken(untouched bool, why string) *tree {
	return t.with(func(t *tree) {
		t.Writing, t.Killed = false, why == whyKilled
		if t.List == 0 || !untouched {
			*t = tree{Killed: t.Killed, Name: t.Name, Missing: why, Sessions: t.Sessions}
		}
	})
}

const (
	whyBroken = "the session of rsync broke, and was not continued"
	whyKilled = "the emulator ended during a session of rsync, which was not continued"
)

// maxSessions is how many sessions of rsync are remembered for a request.
const maxSessions = 20

// Session is what one session of rsync did to a request's upload.
type Session struct {
	EndedAt      time.Time `json:"ended_at"`
	OK           bool      `json:"ok"`      // it ended in order
	Sent         int       `json:"sent"`    // files that arrived whole
	Skipped      int       `json:"skipped"` // files that were there already
	BytesSent    int64     `json:"bytes_sent"`
	BytesSkipped int64     `json:"bytes_skipped"` // bytes of all these files that did not have to be sent
}

// UploadInfo describes a request's upload over rsync.
type UploadInfo struct {
	Name       string // what it is called in /data: "origin.dump"; "" if that is not known
	Directory  bool   // it is a complete dump in PostgreSQL's directory format
	Files      int    // of the complete dump; see [Request.Files]
	Size       int64
	Incomplete string    // why there is no complete dump; "" if there is one
	Sessions   []Session // the latest ones, oldest first; the list must not be changed
}

func (t *tree) info() *UploadInfo {
	if t == nil {
		return nil
	}
	info := &UploadInfo{
		Name: t.Name, Directory: t.complete() && t.directory(), Files: t.Files, Size: t.Size, Incomplete: t.Missing,
		Sessions: t.Sessions,
	}
	if t.Writing {
		info.Incomplete = "a session of rsync writes it"
	}
	return info
}

// TreeUpload is a session of rsync that writes a request's files. Exactly one End ends it.
type TreeUpload struct {
	r    *Request
	root *os.Root

	session Session  // as far as it has come
	names   []string // in the directory that it was about
}

// BeginUpload begins a session that writes. The whole files of earlier sessions are there. An error is of type
// [Failures] where the request takes no upload now, and an [ErrConflict] while another session writes.
func (r *Request) BeginUpload() (*TreeUpload, error) {
	p := r.p
	u, killed, err := r.reserveUpload()
	if err != nil {
		return nil, err
	}
	err = p.trees.make(r.rec.ID, func() error { return p.store.watch(p.opts.Dir, datadir.Trees) })
	if err == nil {
		u.root, err = p.trees.data(r.rec.ID)
	}
	if err == nil && killed {
		err = clean(u.root)
	}
	if err != nil {
		_, ended := u.End(false, nil)
		return nil, errors.Join(fmt.Errorf("platform: begin an upload: %w", err), ended)
	}
	return u, nil
}

// reserveUpload notes that a session begins to write. Killed is true if the one before was ended by the process's end.
func (r *Request) reserveUpload() (u *TreeUpload, killed bool, err error) {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if fails := r.mayTransferLocked(Uploading); fails != nil {
		return nil, false, fails
	}
	if p.uploads[r.rec.ID] != nil {
		return nil, false, conflictf("another session of rsync writes the files of request %d; wait until it has ended",
			r.rec.ID)
	}
	killed = r.rec.Tree != nil && r.rec.Tree.Killed
	if err := r.updateLocked(func(w *work) { w.Tree = w.Tree.with(func(t *tree) { t.Writing = true }) }); err != nil {
		return nil, false, fmt.Errorf("platform: begin an upload: %w", err)
	}
	u = &TreeUpload{r: r}
	p.uploads[r.rec.ID] = u
	return u, killed, nil
}

// Root is the directory that the session knows as /data. It is closed by End.
func (u *TreeUpload) Root() *os.Root { return u.root }

// Limit is how many bytes all files may have together.
func (u *TreeUpload) Limit() int64 { return u.r.p.opts.MaxDump }

// Note counts a file that arrived whole, or that was there already. Calls must not overlap.
func (u *TreeUpload) Note(f TreeFile, skipped bool) {
	if s := &u.session; skipped {
		s.Skipped++
		s.BytesSkipped += f.Size
	} else {
		s.Sent++
		s.BytesSent += f.Sent
		s.BytesSkipped += max(0, f.Size-f.Sent)
	}
	top, _, _ := strings.Cut(f.Name, "/")
	if len(u.names) <= maxNames && !slices.Contains(u.names, top) {
		u.names = append(u.names, strings.Clone(top))
	}
}

// End ends the session. If it ended in order, ok, the files are the request's dump if they are one: a file, or a
// directory with toc.dat; End fills in the Checksum and the ModTime of the files that are named. What is there stays
// for the next session either way, but what an earlier upload under another name left is removed. The snapshot's Upload
// says why a dump is not complete.
//
// An error means that what was uploaded could not be read or kept, and that the dump is not complete. It wraps
// [fs.ErrNotExist] where the request was wiped or forgotten meanwhile.
func (u *TreeUpload) End(ok bool, named []TreeFile) (Snapshot, error) {
	r, p := u.r, u.r.p
	var found found
	var err error
	if ok {
		if found, err = u.find(named); err != nil {
			err = fmt.Errorf("platform: read the upload back: %w", err)
		}
	}
	if u.root != nil {
		if !ok {
			err = clean(u.root)
		}
		err = errors.Join(err, u.root.Close())
	}
	defer u.tidy()
	now := p.opts.Now().UTC()
	u.session.EndedAt, u.session.OK = now, ok
	untouched := (!ok || err != nil) && u.untouched()
	defer p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.uploads, r.rec.ID)
	if r.forgotten || r.rec.Wiped { // what the session wrote since then goes, too
		p.gone = append(p.gone, r.rec.ID)
		return Snapshot{}, fmt.Errorf("platform: request %d was wiped or forgotten meanwhile: %w", r.rec.ID, fs.ErrNotExist)
	}
	kept := r.updateLocked(func(w *work) {
		next := w.Tree.broken(untouched, whyBroken)
		if ok && err == nil {
			next = &found.tree
			next.ModTime, w.Described = now, found.info
		}
		next.Sessions = append(slices.Clone(w.Tree.Sessions), u.session)
		next.Sessions = next.Sessions[max(0, len(next.Sessions)-maxSessions):]
		w.Tree = next
	})
	if kept != nil {
		return Snapshot{}, errors.Join(err, fmt.Errorf("platform: keep the upload: %w", kept))
	}
	return r.snapshotLocked(), err
}

// tidy removes the lists of earlier uploads. One that cannot be removed does no harm.
func (u *TreeUpload) tidy() {
	p := u.r.p
	p.mu.Lock()
	t := u.r.rec.Tree
	p.mu.Unlock()
	if t != nil {
		_ = p.trees.tidy(u.r.rec.ID, t.List)
	}
}

// untouched reports whether the dump that was complete before the session is what it was.
func (u *TreeUpload) untouched() bool {
	p := u.r.p
	p.mu.Lock()
	t := u.r.rec.Tree
	p.mu.Unlock()
	return t != nil && t.List != 0 && p.trees.untouched(u.r.rec.ID, t)
}

// Files returns the files of the complete dump, at most so many, or all of them for 0; nil if there is none.
func (r *Request) Files(most int) ([]TreeFile, error) {
	r.p.mu.Lock()
	t := r.rec.Tree
	r.p.mu.Unlock()
	if !t.complete() {
		return nil, nil
	}
	var files []TreeFile
	enough := errors.New("enough")
	err := r.p.trees.eachListed(r.rec.ID, t.List, func(f TreeFile) error {
		if files = append(files, f); len(files) == most {
			return enough
		}
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		return nil, err
	}
	return files, nil
}

// found is what was found in a directory after a session that ended in order.
type found struct {
	tree
	info dump.Info
}
