package platform

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

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

// append writes at the end of the file, which nothing else moves meanwhile: what fit returns, which is called with
// the end.
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
