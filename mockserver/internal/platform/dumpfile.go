package platform

import (
	"errors"
	"os"
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

	kept int // the completion that is in the request's record; guarded by the platform's mutex
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
	d.file = f
	if err := d.takeFile(); err != nil {
		d.file.Close()
		d.file = nil
		return err
	}
	return nil
}

// takeFile readies the file that was opened for being written to. What an earlier process wrote behind the end that we
// know of is cut off. A file with another name is somebody else's, too, and we go on in a copy.
func (d *dumpFile) takeFile() error {
	stat, err := d.file.Stat()
	if err != nil {
		return err
	}
	size, _ := d.stat()
	switch {
	case safefile.Linked(stat):
		return d.copyLocked(size)
	case stat.Size() > size:
		return d.file.Truncate(size)
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

// release closes one handle. A writer that closes in order completes the dump, also if others are still writing:
// the last completed write wins. Not so where another session broke and left a hole that was not filled. When the
// last writer has gone and the dump is not complete, the file is cut to what arrived without a hole.
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

// gap returns the first hole, for explanations: where it begins and how much is missing up to the size.
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
