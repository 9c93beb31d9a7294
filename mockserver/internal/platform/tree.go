package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
)

// tree is what the sessions of rsync have made of a request's directory (row S10.1).
type tree struct {
	Writing bool `json:"writing,omitempty"` // a session writes, or the process ended while one did

	List      int64     `json:"list,omitempty"`       // the number of the complete dump's list of files; 0: there is no such dump
	Name      string    `json:"name,omitempty"`       // where the dump is under the root: "origin.dump"
	Directory bool      `json:"directory,omitempty"`  // it is in the directory format
	Files     int       `json:"files,omitempty"`      // how many it has
	Size      int64     `json:"size,omitempty"`       // their bytes
	Checksum  string    `json:"checksum,omitempty"`   // of a dump that is one file
	ModTime   time.Time `json:"mod_time,omitzero"`    // when it was complete
	Missing   string    `json:"incomplete,omitempty"` // why there is no complete dump

	Sessions []Session `json:"sessions,omitempty"` // the latest ones, oldest first
}

// maxSessions is how many sessions of rsync are remembered for a request.
const maxSessions = 20

// Session is what one session of rsync did to a request's upload.
type Session struct {
	EndedAt      time.Time `json:"ended_at"`
	OK           bool      `json:"ok"`      // it ended in order
	Sent         int       `json:"sent"`    // files that arrived whole
	Skipped      int       `json:"skipped"` // files that were there already
	BytesSent    int64     `json:"bytes_sent"`
	BytesSkipped int64     `json:"bytes_skipped"` // bytes of the files that did not have to be sent
}

// TreeFile is a file of a request's upload.
type TreeFile struct {
	Name     string    `json:"name"` // under the root, with slashes: "origin.dump/toc.dat"
	Size     int64     `json:"size"`
	Sent     int64     `json:"sent,omitempty"` // bytes of data that came over the wire
	Checksum string    `json:"checksum,omitempty"`
	ModTime  time.Time `json:"mod_time,omitzero"`
}

// UploadInfo describes a request's upload over rsync.
type UploadInfo struct {
	Name       string // "origin.dump"
	Directory  bool   // it is in the directory format
	Files      int
	Size       int64
	Incomplete string // why there is no complete dump; "" if there is one
	Sessions   []Session
}

// TreeUpload is a session of rsync that writes a request's files. Exactly one End ends it.
type TreeUpload struct {
	r    *Request
	root *os.Root
}

// BeginUpload begins a session that writes. The whole files of earlier sessions are there. An error is of type
// [Failures] where the request takes no upload now, and an [ErrConflict] while another session writes.
func (r *Request) BeginUpload() (*TreeUpload, error) {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if fails := r.mayTransferLocked(Uploading); fails != nil {
		return nil, fails
	}
	if p.uploads[r.rec.ID] != nil {
		return nil, conflictf("another session of rsync writes the files of request %d; wait until it has ended", r.rec.ID)
	}
	if err := r.updateLocked(func(w *work) { w.Tree = w.Tree.with(func(t *tree) { t.Writing = true }) }); err != nil {
		return nil, fmt.Errorf("platform: begin an upload: %w", err)
	}
	root, err := p.trees.upload(r.rec.ID)
	if err != nil {
		return nil, fmt.Errorf("platform: begin an upload: %w", err)
	}
	u := &TreeUpload{r: r, root: root}
	p.uploads[r.rec.ID] = u
	return u, nil
}

// with is a changed copy of t, which may be nil.
func (t *tree) with(change func(*tree)) *tree {
	var next tree
	if t != nil {
		next = *t
	}
	change(&next)
	return &next
}

// Root is the directory that the session knows as /data. It is closed by End.
func (u *TreeUpload) Root() *os.Root { return u.root }

// Limit is how many bytes all files may have together.
func (u *TreeUpload) Limit() int64 { return u.r.p.opts.MaxDump }

// End ends the session. If it ended in order, ok, the files are the request's dump if they are one: a file, or a
// directory with toc.dat. Sent and skipped are the files that arrived whole, and those that were there already. What
// there is stays for the next session either way. The snapshot's Upload says why a dump is not complete.
func (u *TreeUpload) End(ok bool, sent, skipped []TreeFile) (Snapshot, error) {
	defer u.root.Close()
	r, p := u.r, u.r.p
	now := p.opts.Now().UTC()
	s := Session{EndedAt: now, OK: ok, Sent: len(sent), Skipped: len(skipped)}
	for _, f := range sent {
		s.BytesSent += f.Sent
		s.BytesSkipped += max(0, f.Size-f.Sent)
	}
	for _, f := range skipped {
		s.BytesSkipped += f.Size
	}
	var found tree
	var info dump.Info
	var err error
	if ok {
		found, info, err = u.find(append(sent[:len(sent):len(sent)], skipped...))
	} else {
		found.Missing = "the session of rsync broke, and was not continued"
	}
	defer p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.uploads, r.rec.ID)
	if r.forgotten || r.rec.Wiped {
		p.gone = append(p.gone, r.rec.ID)
		return Snapshot{}, err
	}
	change := func(w *work) {
		found.Sessions = append(w.Tree.Sessions[max(0, len(w.Tree.Sessions)+1-maxSessions):], s)
		found.ModTime = now
		w.Tree, w.Described = &found, info
	}
	if kept := r.updateLocked(change); kept != nil {
		return Snapshot{}, errors.Join(err, fmt.Errorf("platform: keep the upload: %w", kept))
	}
	return r.snapshotLocked(), err
}

// find looks for the dump in the directory.
func (u *TreeUpload) find(touched []TreeFile) (tree, dump.Info, error) {
	var name string
	if len(touched) > 0 {
		name, _, _ = strings.Cut(touched[0].Name, "/")
	} else if entries, _ := fs.ReadDir(u.root.FS(), "."); len(entries) > 0 {
		name = entries[0].Name()
	}
	found := tree{Name: name}
	if name == "" {
		found.Missing = "nothing has been uploaded"
		return found, dump.Info{}, nil
	}
	err := fs.WalkDir(u.root.FS(), name, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			found.Files++
			found.Size += info.Size()
		}
		return err
	})
	if err != nil {
		return found, dump.Info{}, err
	}
	if _, err := u.root.Lstat(name + "/toc.dat"); err == nil {
		found.Directory = true
	}
	found.List = 1
	return found, dump.Info{}, nil
}
