package platform

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// totalsLocked is what goes on ascending, as of now.
func (p *Platform) totalsLocked() totals {
	t := totals{LastID: p.lastID, Seq: p.dumps.seq.Load()}
	if p.opts.Virtual {
		t.Clock = p.opts.Now().UTC()
	}
	return t
}

// KeptClock returns what a clock that does not run by itself said last, or the zero time if that is not known.
func (p *Platform) KeptClock() time.Time {
	if p.store == nil {
		return time.Time{}
	}
	return p.store.kept.Clock
}

// KeepClock keeps what the clock says now.
func (p *Platform) KeepClock() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store.putTotals(p.totalsLocked())
}

// Keep keeps a value under a name across processes, beside the requests; nil forgets it.
func (p *Platform) Keep(name string, value []byte) error { return p.store.putNamed(name, value) }

// EachKept calls each with everything that Keep has kept.
func (p *Platform) EachKept(each func(name string, value []byte) error) error {
	return p.store.eachNamed(each)
}

// load takes up what an earlier process left, and notes the files that belong to requests. A request whose files are
// not what they were is damaged, and the others go on.
func (p *Platform) load() error {
	belongs := make(map[int64]bool)
	p.belongs, p.rooted = belongs, make(map[int64]*tree)
	err := p.store.load(func(rec record, part progress) error {
		r := p.newRequestLocked(rec)
		p.addLocked(r)
		for _, f := range []*file{rec.Original, rec.Upgraded} {
			if f == nil {
				continue
			}
			belongs[f.Seq] = true
			if err := p.dumps.intact(f.Seq, f.Size); err != nil {
				r.noteDamageLocked(err)
			}
		}
		if part.Seq != 0 {
			belongs[part.Seq] = true
			r.restoreShared(part)
		}
		r.restoreTree()
		return nil
	})
	if err != nil {
		return err
	}
	p.lastID = max(p.lastID, p.store.kept.LastID)
	p.dumps.seq.Store(p.store.kept.Seq)
	for seq := range belongs {
		p.dumps.seq.Store(max(p.dumps.seq.Load(), seq))
	}
	return nil
}

// restoreTree takes up what sessions of rsync had written, among them one that the end of the process broke off.
func (r *Request) restoreTree() {
	p, t := r.p, r.rec.Tree
	if t == nil {
		return
	}
	if t.Writing {
		t = t.broken(t.List != 0 && p.trees.untouched(r.rec.ID, t), whyKilled)
		r.rec.Tree = t
	}
	if p.rooted[r.rec.ID] = t; t.complete() {
		r.noteDamageLocked(p.trees.intact(r.rec.ID, t))
	}
}

// restoreShared takes up an SFTP transfer that the end of the process broke off. What is behind the end of what is
// known to have arrived without a hole is cut off when the file is opened.
func (r *Request) restoreShared(part progress) {
	p := r.p
	if p.damaged[r.rec.ID] != nil {
		return
	}
	info, err := p.dumps.root.Lstat(name(part.Seq))
	if errors.Is(err, fs.ErrNotExist) {
		if part.Whole > 0 {
			p.opts.Dir.Note("request %d: the %d bytes that had arrived over SFTP are gone; the transfer begins again",
				r.rec.ID, part.Whole)
		}
		return
	}
	if err := p.dumps.intact(part.Seq, 0); err != nil { // no regular file
		r.noteDamageLocked(err)
		return
	}
	d := r.newShared()
	d.seq, d.modTime = part.Seq, info.ModTime()
	if o := r.rec.Original; o != nil && o.Seq == part.Seq {
		d.sealed = o.Size
	}
	d.whole = max(min(part.Whole, info.Size()), d.sealed)
	d.size, d.savedLen = d.whole, d.whole
	d.written = true
	r.shared = d
}

// noteDamageLocked makes r a damaged request if err says so of one of its files.
func (r *Request) noteDamageLocked(err error) {
	if _, damage := errors.AsType[*damagedError](err); damage {
		r.p.damaged[r.rec.ID] = err
	}
}

// CheckDumps reads the dumps of all requests and compares them with their checksums, which Begin does not. A request
// whose dump differs is damaged from then on. The error is ctx's when that ends first.
func (p *Platform) CheckDumps(ctx context.Context) error {
	works := make(map[int64]*work)
	p.mu.Lock()
	for id, r := range p.requests {
		works[id] = r.rec.work
	}
	p.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(works)) {
		f, t := works[id].Original, works[id].Tree
		var err error
		if f != nil {
			err = p.dumps.same(f, ctx.Done())
		}
		if t.complete() {
			err = errors.Join(err, p.trees.same(id, t, ctx.Done()))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.mu.Lock()
		if r := p.requests[id]; r != nil && r.rec.Original == f && r.rec.Tree == t {
			r.noteDamageLocked(err)
		}
		p.mu.Unlock()
	}
	return nil
}

// Damaged returns the requests whose files are not what they were, and why. Calls for them are answered with
// SERVER:ERROR.
func (p *Platform) Damaged() map[int64]error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.damaged)
}
