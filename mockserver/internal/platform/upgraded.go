package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Upgraded opens the upgraded database as an archive (rows 8.2, 8.4): the same bytes over HTTP and SFTP. An error wraps
// [ErrNoContent] if there is none (yet), [ErrUnreadable] if it would have to be made of a dump that cannot be read, or
// [ErrBusy].
func (r *Request) Upgraded() (*Content, error) {
	if err := r.downloadable(); err != nil {
		return nil, err
	}
	return r.upgraded()
}

// UpgradedSQL opens what the upgraded database's SQL stream is made of. The errors are those of Upgraded.
func (r *Request) UpgradedSQL() (*Content, error) {
	if err := r.downloadable(); err != nil {
		return nil, err
	}
	if path := r.rec.Script.Upgraded.SQL; path != "" {
		return openScripted(path, "")
	}
	return r.upgraded()
}

// Notes opens the script's notes page. The content is nil if the script has none.
func (r *Request) Notes() (*Content, error) { return r.scripted(r.rec.Script.Upgraded.Notes) }

// Modules opens the script's archive of custom modules. The content is nil if the script has none.
func (r *Request) Modules() (*Content, error) { return r.scripted(r.rec.Script.Upgraded.Modules) }

func (r *Request) scripted(path string) (*Content, error) {
	if err := r.downloadable(); err != nil || path == "" {
		return nil, err
	}
	return openScripted(path, "")
}

// downloadable returns an ErrNoContent that says why, unless the request is in a state with something to download.
func (r *Request) downloadable() error {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	r.evaluateLocked()
	state := r.stateLocked()
	switch {
	case r.forgotten:
		return fmt.Errorf("%w: there is no request with this id any more", ErrNoContent)
	case phase(state) != "download":
		return fmt.Errorf("%w: request %d is in state %s; the upgraded database is there in %s and %s",
			ErrNoContent, r.rec.ID, state, StateDone, StateDelivered)
	}
	return nil
}

// upgraded opens the archive of a request that is done: a file the script names, one we make, or the upload itself.
func (r *Request) upgraded() (*Content, error) {
	r.p.mu.Lock()
	snapshot := r.snapshotLocked()
	original, made := r.rec.Original, r.rec.Upgraded
	r.p.mu.Unlock()

	name := UpgradedName(snapshot.Filename, snapshot.Filestore)
	script := r.rec.Script.Upgraded
	switch {
	case script.Archive != "":
		return openScripted(script.Archive, name)
	case made != nil:
		return r.openMade(made, name, snapshot)
	case original == nil && !script.Built:
		return nil, fmt.Errorf("%w: no dump was uploaded", ErrNoContent)
	}
	var same *Content
	if !script.Built {
		var err error
		if same, err = r.openUnlocked(original, name); err != nil {
			return nil, err
		}
		if !snapshot.Filestore || dump.IsOdooZip(same, same.Size) {
			return same, nil
		}
		defer same.Close()
	}
	var of int64 // what it is made of
	if original != nil {
		of = original.Seq
	}
	made, err := r.build(of, func(w *archiveWriter) error { return w.write(&script, same) }, snapshot)
	if err != nil {
		return nil, err
	}
	return r.openMade(made, name, snapshot)
}

// openMade opens an archive that was made.
func (r *Request) openMade(made *file, name string, s Snapshot) (*Content, error) {
	content, err := r.openUnlocked(made, name)
	if err == nil && !r.rec.Script.Upgraded.Built && len(s.Described.Compressions) == 0 {
		content.Why = "it is not known what the uploaded dump is; it stands in the archive as dump.sql, as it came"
	}
	return content, err
}

func (r *Request) openUnlocked(f *file, name string) (*Content, error) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.openLocked(f, name)
}

// build makes the upgraded archive, once: a zip with the database as SQL and a filestore (row 8.5). Of is the number of
// what it is made of, which cannot be read later if it could not be before.
func (r *Request) build(of int64, write func(*archiveWriter) error, s Snapshot) (*file, error) {
	p := r.p
	r.building.Lock()
	defer r.building.Unlock()
	p.mu.Lock()
	made := r.rec.Upgraded
	p.mu.Unlock()
	if made != nil { // another call was first
		return made, nil
	}
	if r.unreadable != nil && of == r.tried { // it was read in vain before, and is what it was
		return nil, r.unreadable
	}
	u, err := p.NewUpload()
	if err != nil {
		return nil, fmt.Errorf("platform: build the upgraded archive: %w", err)
	}
	ctx, cancel := p.dumps.context() // the next call gets the same archive, so the end of one call ends nothing
	defer cancel()
	if err := write(newArchiveWriter(ctx, u, s)); err != nil {
		u.Discard()
		err = fmt.Errorf("platform: build the upgraded archive: %w", converted(err))
		if of != 0 && errors.Is(err, ErrUnreadable) {
			r.unreadable, r.tried = err, of
		}
		return nil, err
	}
	made, _, err = u.finish()
	if err != nil {
		return nil, fmt.Errorf("platform: build the upgraded archive: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.forgotten || r.rec.Wiped {
		p.dumps.remove(made.Seq)
		return nil, fmt.Errorf("%w: the request was wiped or forgotten", ErrNoContent)
	}
	if err := r.updateLocked(func(w *work) { w.Upgraded = made }); err != nil {
		p.dumps.remove(made.Seq)
		return nil, err
	}
	return made, nil
}

// archiveWriter writes an upgraded archive.
type archiveWriter struct {
	ctx  context.Context
	to   io.Writer
	spec dump.OdooZip
}

func newArchiveWriter(ctx context.Context, to io.Writer, s Snapshot) *archiveWriter {
	return &archiveWriter{ctx, to, dump.OdooZip{
		DBName: fmt.Sprintf("upgraded_%d", s.ID), Version: strings.TrimSpace(s.Target),
		UUID: s.Described.DatabaseUUID, PostgreSQL: s.PostgreSQL,
	}}
}

// write writes a small database of its own where the script asks for a built one; else the upload's, with a filestore.
func (a *archiveWriter) write(script *scenario.Upgraded, original *Content) error {
	if script.Built {
		a.spec.Padding = script.Size
		return dump.BuildOdooZip(a.to, a.spec)
	}
	sql, err := dump.SQL(a.ctx, original.ReaderAt, original.Size)
	if errors.Is(err, dump.ErrUnknown) { // made up for a test: it goes into the zip as it came
		a.spec.SQL = io.NewSectionReader(original, 0, original.Size)
		return dump.BuildOdooZip(a.to, a.spec)
	}
	if err != nil {
		return err
	}
	defer sql.Close()
	a.spec.SQL = sql
	return dump.BuildOdooZip(a.to, a.spec)
}

// openScripted opens a file that a script names.
func openScripted(path, name string) (*Content, error) {
	f, err := safefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("platform: the scenario's file: %w", err)
	}
	stat, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("platform: the scenario's file: %w", err)
	}
	return &Content{
		ReaderAt: f, Name: name, Size: stat.Size(), ModTime: stat.ModTime(),
		ETag:  fmt.Sprintf(`"%x-%x"`, stat.ModTime().UnixNano(), stat.Size()),
		close: f.Close,
	}, nil
}

// dumpExtensions are taken off, also when doubled, before a filestore's .zip is put on (row 5.15).
var dumpExtensions = []string{".dump", ".cdump", ".sql", ".tar", ".zip", ".gz", ".bz2", ".xz"}

// UpgradedName is the name of the upgraded dump of a request made for filename (row 5.15).
func UpgradedName(filename string, filestore bool) string {
	if !filestore {
		return "upgraded_" + filename
	}
	return "upgraded_" + withoutExtensions(filename) + ".zip"
}

func withoutExtensions(name string) string {
	for {
		cut := name
		for _, ext := range dumpExtensions {
			if n := len(cut) - len(ext); n > 0 && strings.EqualFold(cut[n:], ext) {
				cut = cut[:n]
				break
			}
		}
		if cut == name {
			return name
		}
		name = cut
	}
}
