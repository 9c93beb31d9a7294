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

// A download stands between a client that receives and a sender, which is either library or program. The client's list
// is made here; the sender has a directory with nothing but the regular files, named by numbers in the same order.
type download struct {
	*session
	c          *Command
	list       []item  // of the client
	files      []int32 // for each file of the sender's list, its index in list
	incomplete bool    // something that was asked for is not in list

	// asBlocks is true if the sender is to compare a small file with a block that no part of it is like, rather than
	// read it as one that the client does not have.
	asBlocks bool

	mu      sync.Mutex
	asks    []ask // for each file
	highest int   // index of the last file that was asked for
	checked bool  // the client has looked at all files
}

// An ask is whether the client has asked for a file, and with which blocks.
type ask struct {
	asked bool
	head  sumHead
}

// small is the size up to which asBlocks counts.
const small = 256 << 10

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
	for i := range d.list {
		if d.list[i].kind == modeRegular {
			d.files = append(d.files, int32(i))
		}
	}
	d.asks = make([]ask, len(d.files))
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

// nothing serves the empty list, which the library does not end with.
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

// asked is the parser of what the client sends, which asks for files; emit takes what the sender is to read.
func (d *download) asked(r *reader, emit func([]byte) error) error {
	if err := r.version(); err != nil {
		return err
	}
	if err := emit(appendInt32(nil, protocolVersion)); err != nil {
		return err
	}
	if err := r.noFilters(); err != nil {
		return err
	}
	if err := emit(appendInt32(nil, 0)); err != nil {
		return err
	}
	var b [4]byte
	for phase := 0; phase < 3; {
		index, err := r.int32()
		if err != nil {
			return err
		}
		if index == phaseEnd {
			phase++
			d.mu.Lock()
			d.checked = true
			d.mu.Unlock()
			if err := emit(appendInt32(b[:0], phaseEnd)); err != nil {
				return err
			}
			continue
		}
		i, ok := slices.BinarySearch(d.files, index)
		if !ok {
			return protocol("file %d, which is no regular file", index)
		}
		head, err := r.sumHead()
		if err != nil {
			return err
		}
		if err := d.askFile(r, int32(i), head, emit); err != nil {
			return err
		}
	}
	return nil
}

// askFile passes on that the client asks for a file.
func (d *download) askFile(r *reader, i int32, head sumHead, emit func([]byte) error) error {
	size := d.list[d.files[i]].size
	if head.count > maxSums || size == 0 {
		if err := r.pass(head.sums(), nil); err != nil {
			return err
		}
		head = sumHead{}
	}
	d.mu.Lock()
	d.asks[i] = ask{true, head}
	d.highest = max(d.highest, int(i))
	d.mu.Unlock()
	// The sender's list begins with the directory itself.
	var b [24]byte
	if d.asBlocks && head.count == 0 && size > 0 && size <= small {
		unlike := sumHead{count: 1, length: int32(size) + 1}
		return emit(appendInt32(unlike.append(appendInt32(b[:0], i+1)), 0))
	}
	if err := emit(head.append(appendInt32(b[:0], i+1))); err != nil {
		return err
	}
	return r.pass(head.sums(), emit)
}

// send is the parser of what the sender sends.
func (d *download) send(r *reader) error {
	if err := d.greet(r); err != nil {
		return err
	}
	if err := d.sendList(); err != nil {
		return err
	}
	r = demux(r, d.message)
	list, _, err := new(Command).readList(r, bound{files: len(d.files) + 1})
	if err != nil {
		return err
	}
	if len(list) != len(d.files)+1 {
		return fmt.Errorf("the sender has a list of %d files instead of %d", len(list), len(d.files)+1)
	}
	var b [20]byte
	for phase := 0; phase < 2; {
		i, err := r.int32()
		if err != nil {
			return err
		}
		if i == phaseEnd {
			phase++
			if err := d.out.data(appendInt32(b[:0], phaseEnd)); err != nil {
				return err
			}
			continue
		}
		if i--; i < 0 || int(i) >= len(d.files) {
			return fmt.Errorf("the sender sends file %d of %d", i, len(d.files))
		}
		if err := d.sendFile(r, i); err != nil {
			return err
		}
	}
	return d.sendStats(r)
}

func (d *download) sendFile(r *reader, i int32) error {
	if _, err := r.sumHead(); err != nil {
		return err
	}
	d.mu.Lock()
	asked := d.asks[i]
	d.mu.Unlock()
	if !asked.asked {
		return fmt.Errorf("the sender sends file %d, which was not asked for", i)
	}
	index, head := d.files[i], asked.head
	var b [20]byte
	if err := d.out.data(head.append(appendInt32(b[:0], index))); err != nil {
		return err
	}
	f := File{Name: d.list[index].path}
	for {
		token, err := r.int32()
		if err != nil {
			return err
		}
		if token == 0 {
			break
		}
		if token > 0 {
			if err := d.sendData(r, int(token), &f); err != nil {
				return err
			}
			continue
		}
		n, ok := head.block(-(token + 1))
		if !ok {
			return fmt.Errorf("the sender sends block %d of %d", -(token + 1), head.count)
		}
		f.Matched += n
		if err := d.out.data(appendInt32(b[:0], token)); err != nil {
			return err
		}
	}
	if err := r.full(b[4:20]); err != nil {
		return err
	}
	clear(b[:4])
	if err := d.out.data(b[:20]); err != nil {
		return err
	}
	f.Size = f.Literal + f.Matched
	d.done(f)
	return nil
}

// sendData passes a run of data on, in runs that every client takes.
func (d *download) sendData(r *reader, n int, f *File) error {
	for n > 0 {
		data, err := r.some(min(n, maxRun))
		if err != nil {
			return err
		}
		pass, cut := d.pass(f.Name, f.Literal+f.Matched, len(data))
		n -= pass
		f.Literal += int64(pass)
		if pass > 0 {
			var b [4]byte
			if err := d.out.data(appendInt32(b[:0], int32(pass))); err != nil {
				return err
			}
			if err := d.out.data(data[:pass]); err != nil {
				return err
			}
		}
		if cut != nil {
			return cut
		}
	}
	return nil
}

// sendStats sends what the transfer took, in place of the sender's own figures.
func (d *download) sendStats(r *reader) error {
	for range 3 {
		if _, err := r.int64(); err != nil {
			return err
		}
	}
	var size int64
	for _, i := range d.files {
		size += d.list[i].size
	}
	b := appendInt64(nil, d.in.total)
	b = appendInt64(b, d.out.sent())
	return d.out.data(appendInt64(b, size))
}

// finish says of the files that were not sent which of them the client has. The others it has not come to.
func (d *download) finish() {
	for i, ask := range d.asks {
		if e := d.list[d.files[i]]; !ask.asked && (d.checked || i < d.highest) {
			d.done(File{Name: e.path, Size: e.size, Matched: e.size, Skipped: true})
		}
	}
}
