package platform

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

// dumpFile is a request's shared file: the bytes of a dump on disk while clients write them.
//
// Three lengths describe it. size is what a listing shows. whole is how much has arrived without a hole: packets
// come out of order, and a session that breaks must leave only that, or a resume by size would leave the hole in
// the dump for ever. sealed is how much belongs to the last *complete* dump: those bytes are being downloaded and
// promised to survive, so a write below sealed first moves the file to a private copy, while appending is free.
type dumpFile struct {
	files      *dumps
	onProgress func(progress) // called, under mu, with how far the transfer has come
	now        func() time.Time

	// bytes is held for reading while bytes are written, for writing while the file beneath changes.
	bytes sync.RWMutex
	file  *os.File

	mu       sync.Mutex // guards what follows; taken after bytes
	seq      int64
	size     int64
	whole    int64
	savedLen int64
	beyond   []span // written ranges behind the first hole, sorted, apart from each other
	sealed   int64
	modTime  time.Time
	handles  int // open for reading or writing
	writers  int
	broken   bool    // a writer's session broke since the last completion
	written  bool    // there was a write or a truncation since the last completion
	ends     int     // how often the dump was completed
	left     []int64 // the files that copies were made of; what the request does not refer to can go

	kept int // the completion that the request's record tells of; guarded by the platform's mutex
}

type span struct{ from, to int64 }

// wholeStep is how often the contiguous length is recorded for a restart after a kill: a client that resumes then
// sends at most this much again.
const wholeStep = 4 << 20

func (d *dumpFile) openLocked() error {
	if d.file != nil {
		return nil
	}
	f, err := d.files.shared(d.number(), d.isEmpty())
	if err != nil {
		return err
	}
	if err := d.dropTail(f); err != nil {
		f.Close()
		return err
	}
	d.file = f
	return nil
}

// dropTail cuts off what an earlier process wrote behind the end that we know of.
func (d *dumpFile) dropTail(f *os.File) error {
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	if size, _ := d.stat(); stat.Size() > size {
		return f.Truncate(size)
	}
	return nil
}

// acquire opens the file for a handle that hold has counted.
func (d *dumpFile) acquire(write, truncate bool) (err error) {
	d.bytes.Lock()
	defer d.bytes.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if err == nil && write {
			d.writers++
		}
		if err != nil {
			d.handles--
			if d.handles == 0 && d.file != nil {
				d.file.Close()
				d.file = nil
			}
		}
	}()
	if err := d.openLocked(); err != nil {
		return err
	}
	if truncate {
		return d.truncateLocked(0)
	}
	return nil
}

// hold counts a handle that is about to be acquired: from here on the file stays.
func (d *dumpFile) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handles++
}

// outcome is what the closing of a handle meant for the transfer.
type outcome struct {
	complete bool     // the dump as it stands is complete: these bytes of this file are sealed
	end      int      // which completion this is
	content  *os.File // the file, open for reading; the receiver's
	seq      int64
	size     int64
	modTime  time.Time
	lost     int64 // bytes behind the first hole, cut off because the session that would have filled it broke
}

// release closes one handle. A writer that closes in order completes the dump, whoever else is still writing: the last
// completed write wins. Not so where another session broke and left a hole that nobody filled. When the last
// writer has gone and the dump is not complete, the file is cut to what arrived without a hole.
func (d *dumpFile) release(write, clean bool) (outcome, error) {
	d.bytes.Lock()
	defer d.bytes.Unlock()
	var out outcome
	var err error

	d.mu.Lock()
	d.handles--
	if write {
		d.writers--
		d.broken = d.broken || !clean
		holed := d.broken && d.whole < d.size
		if clean && d.written && !holed {
			out.content, err = d.files.open(d.seq, d.size)
		}
		if out.content != nil {
			d.whole, d.sealed, d.beyond = d.size, d.size, nil
			d.broken, d.written = false, false
			d.ends++
			out.complete, out.end, out.seq, out.size, out.modTime = true, d.ends, d.seq, d.size, d.modTime
		}
		if d.writers == 0 && d.broken {
			out.lost = d.size - d.whole
			d.broken = false
		}
	}
	keep := d.whole
	d.mu.Unlock()

	if out.lost > 0 {
		err = errors.Join(err, d.truncateLocked(keep))
	}
	if d.file != nil && !d.inUse() {
		err = errors.Join(err, d.file.Close())
		d.file = nil
	}
	return out, err
}

func (d *dumpFile) inUse() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.handles > 0
}

// ReadAt reads what has been written, with zeros in the holes.
func (d *dumpFile) ReadAt(p []byte, off int64) (int, error) {
	d.bytes.RLock()
	defer d.bytes.RUnlock()
	if d.file == nil {
		return 0, os.ErrClosed
	}
	return d.file.ReadAt(p, off)
}

// WriteAt may be called concurrently and in any order.
func (d *dumpFile) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("platform: negative offset %d", off)
	}
	for d.bytes.RLock(); d.protects(off); d.bytes.RLock() {
		d.bytes.RUnlock()
		if err := d.unshare(off); err != nil {
			return 0, err
		}
	}
	defer d.bytes.RUnlock()
	if d.file == nil {
		return 0, os.ErrClosed
	}
	n, err := d.file.WriteAt(p, off)
	if n > 0 {
		d.note(off, off+int64(n))
	}
	return n, err
}

// append writes at the end of the file, while nobody else moves it: what fit returns, which is called with the end.
func (d *dumpFile) append(fit func(end int64) ([]byte, error)) (end int64, n int, err error) {
	d.bytes.Lock()
	defer d.bytes.Unlock()
	if d.file == nil {
		return 0, 0, os.ErrClosed
	}
	end, _ = d.stat()
	p, err := fit(end)
	if err != nil || len(p) == 0 {
		return end, 0, err
	}
	n, err = d.file.WriteAt(p, end)
	if n > 0 {
		d.note(end, end+int64(n))
	}
	return end, n, err
}

func (d *dumpFile) protects(off int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return off < d.sealed
}

// note records that [from,to) has been written.
func (d *dumpFile) note(from, to int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written = true
	d.modTime = d.now()
	d.size = max(d.size, to)
	if from <= d.whole {
		d.whole = max(d.whole, to)
	} else {
		d.addBeyondLocked(span{from, to})
	}
	for len(d.beyond) > 0 && d.beyond[0].from <= d.whole {
		d.whole = max(d.whole, d.beyond[0].to)
		d.beyond = d.beyond[1:]
	}
	if d.whole >= d.savedLen+wholeStep {
		d.recordLocked()
	}
}

func (d *dumpFile) addBeyondLocked(s span) {
	i, _ := slices.BinarySearchFunc(d.beyond, s.from, func(b span, from int64) int { return cmp.Compare(b.to, from) })
	j := i // d.beyond[i:j] touch s and are merged with it
	for j < len(d.beyond) && d.beyond[j].from <= s.to {
		s.from, s.to = min(s.from, d.beyond[j].from), max(s.to, d.beyond[j].to)
		j++
	}
	d.beyond = slices.Replace(d.beyond, i, j, s)
}

// truncate sets the size; a longer one makes a hole.
func (d *dumpFile) truncate(size int64) error {
	d.bytes.Lock()
	defer d.bytes.Unlock()
	opened := d.file == nil
	if err := d.openLocked(); err != nil {
		return err
	}
	err := d.truncateLocked(size)
	if opened {
		err = errors.Join(err, d.file.Close())
		d.file = nil
	}
	return err
}

// truncateLocked needs bytes held for writing and the file open.
func (d *dumpFile) truncateLocked(size int64) error {
	if size < d.sealed {
		if err := d.copyLocked(size); err != nil {
			return err
		}
	} else if err := d.file.Truncate(size); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written = true
	d.modTime = d.now()
	d.size = size
	d.whole = min(d.whole, size)
	if d.savedLen > d.whole { // or a restart after a kill would take a hole for what was there before
		d.recordLocked()
	}
	for i, s := range d.beyond {
		if s.to > size {
			d.beyond[i].to = size
			if s.from >= size {
				d.beyond = d.beyond[:i]
			} else {
				d.beyond = d.beyond[:i+1]
			}
			break
		}
	}
	return nil
}

// unshare moves the file to a private copy, if a write at off would still touch the complete dump.
func (d *dumpFile) unshare(off int64) error {
	d.bytes.Lock()
	defer d.bytes.Unlock()
	if !d.protects(off) {
		return nil
	}
	return d.copyLocked(d.size)
}

// copyLocked continues in a new file that begins with the first n bytes of this one. The complete dump keeps the
// old one. A copy keeps the holes, and ends early when the platform is closed.
func (d *dumpFile) copyLocked(n int64) error {
	seq, f, err := d.files.create()
	if err != nil {
		return err
	}
	err = safefile.Copy(f, d.file, n, d.files.stop)
	if err == nil {
		err = d.files.finish(seq)
	}
	if err != nil {
		f.Close()
		d.files.discard(seq)
		return err
	}
	d.file.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = append(d.left, d.seq)
	d.file, d.seq, d.sealed = f, seq, 0
	d.whole = min(d.whole, n)
	d.recordLocked()
	return nil
}

// isEmpty reports whether no byte has been written so far.
func (d *dumpFile) isEmpty() bool {
	size, _ := d.stat()
	return size == 0
}

func (d *dumpFile) recordProgress() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recordLocked()
}

func (d *dumpFile) recordLocked() {
	d.savedLen = d.whole
	d.onProgress(progress{Seq: d.seq, Whole: d.whole})
}

// number is the file's number, which changes when the file is copied.
func (d *dumpFile) number() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seq
}

// takeLeft returns the files that were left for a copy, once every completion is in the books: until then one of
// them may be the complete dump. It needs the platform's mutex, for kept.
func (d *dumpFile) takeLeft() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ends != d.kept {
		return nil
	}
	left := d.left
	d.left = nil
	return left
}

// gap tells the first hole, for explanations: where it begins and how much is missing up to the size.
func (d *dumpFile) gap() (from, missing int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	missing = d.size - d.whole
	for _, s := range d.beyond {
		missing -= s.to - s.from
	}
	return d.whole, missing
}

func (d *dumpFile) stat() (size int64, modTime time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.size, d.modTime
}
