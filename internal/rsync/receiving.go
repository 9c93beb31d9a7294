package rsync

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"time"

	"github.com/mmcloughlin/md4"
)

// A receiving is an upload that is received in process. A file is written under another name beside the one that it
// gets once it is whole, one file at a time.
type receiving struct {
	*upload
	seed [4]byte
	dest *os.Root // that the names of the list are in
	temp string   // what the file under way is called

	dir   openDir // of the file under way
	base  string
	file  *os.File
	basis *os.File // that has the blocks; nil if there is none
	head  sumHead
	entry *entry
	sum   hash.Hash
	buf   []byte
	again []int32 // came with a wrong checksum
}

func newReceiving(u *upload, seed int32) (*receiving, error) {
	t := &receiving{upload: u, temp: tempName(), sum: md4.New(), buf: make([]byte, maxRun)}
	binary.LittleEndian.PutUint32(t.seed[:], uint32(seed))
	at := u.c.Paths[0]
	if u.single {
		at = path.Dir(at)
	}
	var err error
	if t.dest, err = u.root.OpenRoot(at); err != nil {
		return nil, err
	}
	t.dir.root = t.dest
	return t, nil
}

// close ends the file that is under way, if there is one.
func (t *receiving) close() {
	t.closeBasis()
	if t.file != nil {
		t.file.Close()
		t.dir.current().Remove(t.temp)
	}
	t.dir.close()
	t.dest.Close()
}

// rel is the name of a file below dest.
func (t *receiving) rel(i int32) string {
	if t.single {
		return path.Base(t.c.Paths[0])
	}
	return t.list[i].name
}

// askAll asks the client for each file that is not there, and ends the first phase.
func (t *receiving) askAll() error {
	dir := openDir{root: t.dest}
	defer dir.close()
	for i := range t.list {
		if t.list[i].kind != modeRegular {
			continue
		}
		if err := t.look(&dir, int32(i)); err != nil {
			return err
		}
	}
	t.allChecked()
	return t.out.data(appendInt32(nil, phaseEnd))
}

// look asks for a file unless it is there.
func (t *receiving) look(dir *openDir, i int32) error {
	in, base, err := dir.at(t.rel(i))
	if err != nil {
		return err
	}
	info, err := in.Lstat(base)
	switch e := &t.list[i]; {
	case errors.Is(err, fs.ErrNotExist):
		return t.askWhole(i)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return t.askWhole(i)
	case e.is(info):
		return nil
	case info.Size() == 0:
		return t.askWhole(i)
	}
	f, err := in.Open(base)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.askRest(i, f, info.Size())
}

func (t *receiving) askWhole(i int32) error {
	t.asks(i, sumHead{})
	var b [20]byte
	return t.out.data(sumHead{}.append(appendInt32(b[:0], i)))
}

// askRest asks for a file of which there is another version: the client finds its blocks by their checksums.
func (t *receiving) askRest(i int32, f io.Reader, size int64) error {
	length := blockLength(size)
	head := sumHead{
		count: int32((size + length - 1) / length), length: int32(length), sum: sumLength, last: int32(size % length),
	}
	t.asks(i, head)
	b := head.append(appendInt32(make([]byte, 0, maxRun), i))
	sum, block := md4.New(), make([]byte, length)
	for left := size; left > 0; left -= int64(len(block)) {
		block = block[:min(length, left)]
		if _, err := io.ReadFull(f, block); err != nil {
			return fmt.Errorf("read the version of %s that is there: %w", quote(t.name(i)), noEOF(err))
		}
		sum.Reset()
		sum.Write(block)
		sum.Write(t.seed[:])
		b = sum.Sum(appendInt32(b, int32(weakSum(block).value())))
		if len(b) < maxRun-sumLength-4 && left > int64(len(block)) {
			continue
		}
		if err := t.out.data(b); err != nil {
			return err
		}
		b = b[:0]
	}
	return nil
}

// blockLength is the length of the blocks of a file: about the square root of its size.
func blockLength(size int64) int64 {
	return min(max(700, int64(math.Sqrt(float64(size)))&^7), 128<<10)
}

// receiveAll receives what was asked for. What came with a wrong checksum is asked for once more, whole: the version
// that was there has changed meanwhile.
func (t *receiving) receiveAll() error {
	for phase := 0; phase < 2; {
		index, err := t.r.int32()
		if err != nil {
			return err
		}
		if index != phaseEnd {
			if err := t.receiveFile(t.r, index, t); err != nil {
				return err
			}
			continue
		}
		phase++
		if phase == 1 {
			for _, i := range t.again {
				if err := t.askWhole(i); err != nil {
					return err
				}
			}
			t.again = nil
		} else if len(t.again) > 0 {
			return fmt.Errorf("%s came twice with a wrong checksum", quote(t.name(t.again[0])))
		}
		if err := t.out.data(appendInt32(nil, phaseEnd)); err != nil {
			return err
		}
	}
	return nil
}

func (t *receiving) begin(i int32, head sumHead) error {
	t.entry, t.head = &t.list[i], head
	t.sum.Reset()
	t.sum.Write(t.seed[:])
	dir, base, err := t.dir.at(t.rel(i))
	if err != nil {
		return err
	}
	t.base = base
	if head.count > 0 {
		if t.basis, err = dir.Open(base); err != nil {
			return err
		}
	}
	t.file, err = dir.OpenFile(t.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return err
}

func (t *receiving) data(p []byte) error {
	t.sum.Write(p)
	_, err := t.file.Write(p)
	return err
}

func (t *receiving) block(i int32, n int64) error {
	for at, end := int64(i)*int64(t.head.length), int64(i)*int64(t.head.length)+n; at < end; {
		p := t.buf[:min(int64(len(t.buf)), end-at)]
		if _, err := t.basis.ReadAt(p, at); err != nil {
			return noEOF(err)
		}
		if err := t.data(p); err != nil {
			return err
		}
		at += int64(len(p))
	}
	return nil
}

func (t *receiving) closeBasis() {
	if t.basis != nil {
		t.basis.Close()
		t.basis = nil
	}
}

func (t *receiving) end(i int32, _ File, sum []byte) (whole bool, err error) {
	t.closeBasis()
	f, dir := t.file, t.dir.current()
	t.file = nil
	var right [sumLength]byte
	if err = f.Close(); err == nil && !bytes.Equal(sum, t.sum.Sum(right[:0])) {
		t.again = append(t.again, i)
		return false, dir.Remove(t.temp)
	}
	if err == nil && t.c.times {
		when := time.Unix(int64(t.entry.mtime), 0)
		err = dir.Chtimes(t.temp, when, when)
	}
	if err == nil {
		err = dir.Rename(t.temp, t.base)
	}
	if err != nil {
		return false, errors.Join(err, dir.Remove(t.temp))
	}
	return true, nil
}

// An openDir opens files by their names below root, and keeps open the directory of the last one: a name is looked up
// element by element, again each time.
type openDir struct {
	root *os.Root
	name string
	dir  *os.Root // nil: root
}

// at returns the directory that the name is in, and its last element.
func (d *openDir) at(name string) (*os.Root, string, error) {
	parent, base := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		parent, base = name[:i], name[i+1:]
	}
	if parent != d.name {
		d.close()
		if parent != "" {
			dir, err := d.root.OpenRoot(parent)
			if err != nil {
				return nil, "", err
			}
			d.dir, d.name = dir, parent
		}
	}
	return d.current(), base, nil
}

func (d *openDir) current() *os.Root {
	if d.dir == nil {
		return d.root
	}
	return d.dir
}

// close may be followed by at.
func (d *openDir) close() {
	if d.dir != nil {
		d.dir.Close()
	}
	d.dir, d.name = nil, ""
}
