package rsync

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// An item is an entry of a download, and where its data is.
type item struct {
	entry
	path string // in Job.Files
}

// A download is what the client receives.
type download struct {
	*session
	c          *Command
	list       []item
	incomplete bool // something that was asked for is not in list

	mu      sync.Mutex
	asked   []bool // for each of list, whether the client has asked for it
	highest int    // index of the last file that was asked for
	checked bool   // the client has looked at all files
}

// maxSums bounds the blocks of a file that are compared. A client with a larger one is sent all of it.
const maxSums = 1 << 19

// find makes the list.
func (d *download) find(files fs.FS) error {
	for i, name := range d.c.Paths {
		info, err := fs.Lstat(files, name)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid):
			if !d.c.ignoreMissing {
				d.miss(name, fs.ErrNotExist)
			}
			continue
		case err != nil:
			d.miss(name, err)
			continue
		}
		wire := d.c.base[i]
		if d.c.whole[i] {
			wire = "."
		}
		switch kindOf(info.Mode()) {
		case modeRegular:
			d.add(d.c.base[i], name, info)
		case modeDir:
			if !d.c.recurse {
				d.say("rsync: skipping directory " + quote(name))
				continue
			}
			if err := d.walk(files, name, wire); err != nil {
				return err
			}
		default:
			d.say("rsync: skipping non-regular file " + quote(name))
		}
	}
	slices.SortStableFunc(d.list, func(a, b item) int { return cmp.Compare(a.name, b.name) })
	d.list = slices.CompactFunc(d.list, func(a, b item) bool { return a.name == b.name })
	d.asked = make([]bool, len(d.list))
	d.highest = -1
	return nil
}

func (d *download) walk(files fs.FS, dir, wire string) error {
	return fs.WalkDir(files, dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			d.miss(name, err)
			return nil
		}
		if kindOf(e.Type()) == 0 {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			d.miss(name, err)
			return nil
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(name, dir), "/")
		if dir == "." && name != "." {
			rel = name
		}
		if rel = path.Join(wire, rel); rel == name {
			rel = name // one string in memory, instead of two
		}
		d.add(rel, name, info)
		return nil
	})
}

func (d *download) miss(name string, err error) {
	d.incomplete = true
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	d.say(fmt.Sprintf("rsync: %s: %v", quote("/data/"+name), err))
}

func (d *download) add(wire, name string, info fs.FileInfo) {
	e := entry{name: wire, size: info.Size(), mtime: int32(info.ModTime().Unix()), kind: kindOf(info.Mode())}
	if e.kind == modeDir {
		e.size = 4096
	}
	d.list = append(d.list, item{e, name})
}

// nothing serves the empty list, which no backend ends with.
func (d *download) nothing() error {
	if err := d.r.version(); err != nil {
		return err
	}
	if err := d.out.raw(appendInt32(appendInt32(nil, protocolVersion), 1)); err != nil {
		return err
	}
	if err := d.r.noFilters(); err != nil {
		return err
	}
	return d.out.data(d.c.appendEnd(nil, d.incomplete))
}

func (d *download) sendList() error {
	b := make([]byte, 0, maxRun)
	for i := range d.list {
		b = d.list[i].append(b, d.c)
		if len(b) < maxRun-maxPath-64 {
			continue
		}
		if err := d.out.data(b); err != nil {
			return err
		}
		b = b[:0]
	}
	return d.out.data(d.c.appendEnd(b, d.incomplete))
}

// nextAsk reads which file the client asks for, and which blocks of it it has, whose checksums follow. In place of a
// file there is phaseEnd.
func (d *download) nextAsk(r *reader) (i int32, head sumHead, err error) {
	if i, err = r.int32(); err != nil {
		return 0, head, err
	}
	if i == phaseEnd {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.checked = true
		return i, head, nil
	}
	if i < 0 || int(i) >= len(d.list) || d.list[i].kind != modeRegular {
		return 0, head, protocol("file %d, which is no regular file", i)
	}
	if head, err = r.sumHead(); err != nil {
		return 0, head, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[i] = true
	d.highest = max(d.highest, int(i))
	return i, head, nil
}

// sendStats sends what the transfer took.
func (d *download) sendStats() error {
	var size int64
	for i := range d.list {
		if d.list[i].kind == modeRegular {
			size += d.list[i].size
		}
	}
	b := appendInt64(nil, d.in.total)
	b = appendInt64(b, d.out.sent())
	return d.out.data(appendInt64(b, size))
}

// finish says of the files that were not sent which of them the client has. The others it has not come to.
func (d *download) finish() {
	for i, e := range d.list {
		if e.kind == modeRegular && !d.asked[i] && (d.checked || i < d.highest) {
			d.done(File{Name: e.path, Size: e.size, Matched: e.size, Skipped: true})
		}
	}
}
