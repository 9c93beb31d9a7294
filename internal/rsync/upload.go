package rsync

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
)

// directory, in place of the index of a file, means that it is none.
const directory = -1

// A placed file is one of the receiver's list.
type placed struct {
	name  string // below the root
	index int32  // in the client's list, or directory
	asked bool   // by the receiver
}

// An arrival is a file that a program has been given, and has yet to move into place.
type arrival struct {
	i int32 // in the receiver's list
	File
}

// An upload stands between a client that sends and a receiver, which is either library or program. The receiver's list
// has regular files and directories, with the names that they have below the root; the directories are there already.
type upload struct {
	*session
	c    *Command
	root *os.Root

	// inOrder is true if the receiver has moved a file into place before it reads on.
	inOrder bool

	// checkName, if not nil, says whether the receiver is able to make a file of a name.
	checkName func(name string) error

	list    []entry   // of the client
	ioError bool      // the client could not read all of its files
	single  bool      // a file with the name of the destination, and no directory
	from    []int32   // for each entry of list, its index in to, or directory
	taken   int64     // bytes of all files so far
	arrived []arrival // if inOrder is false

	mu      sync.Mutex
	to      []placed          // the receiver's list
	asks    map[int32]sumHead // what the receiver has asked for, and has not been sent yet
	highest int               // index of the last file that was asked for
	checked bool              // the receiver has looked at all files
}

// receive is the parser of what the client sends; emit takes what the receiver is to read.
func (u *upload) receive(r *reader, emit func([]byte) error) error {
	if err := r.version(); err != nil {
		return err
	}
	if err := emit(appendInt32(nil, protocolVersion)); err != nil {
		return err
	}
	if u.c.delete {
		if err := r.noFilters(); err != nil {
			return err
		}
	}
	if err := u.readList(r); err != nil {
		return err
	}
	if err := u.emitList(emit); err != nil {
		return err
	}
	var b [4]byte
	for phase := 0; phase < 2; {
		index, err := r.int32()
		if err != nil {
			return err
		}
		if index == phaseEnd {
			phase++
			if err := emit(appendInt32(b[:0], phaseEnd)); err != nil {
				return err
			}
			continue
		}
		if err := u.receiveFile(r, index, emit); err != nil {
			return err
		}
	}
	return nil
}

// noFilters reads a list of filter rules, which must be empty.
func (r *reader) noFilters() error {
	n, err := r.int32()
	if err == nil && n != 0 {
		err = refuse("filter rules; leave out --exclude, --include and --filter")
	}
	return err
}

func (u *upload) readList(r *reader) error {
	most := bound{u.job.MaxBytes, u.job.MaxFiles}
	if most.files <= 0 {
		most.files = DefaultMaxFiles
	}
	list, ioError, err := u.c.readList(r, most)
	if err != nil {
		return err
	}
	u.list, u.ioError = list, ioError
	return u.prepare()
}

// prepare makes the place for the files: the directories, and nothing in their way.
func (u *upload) prepare() error {
	dest := u.c.Paths[0]
	u.single = len(u.list) == 1 && u.list[0].kind == modeRegular && path.Dir(u.list[0].name) == "." &&
		dest != "." && !u.c.whole[0]
	to, err := u.place(dest)
	if err != nil {
		return err
	}
	kind := uint16(modeDir)
	if u.single {
		kind = modeRegular
	}
	if err := clearPlace(u.root, dest, kind); err != nil {
		return err
	}
	if kind == modeDir {
		if err := u.root.MkdirAll(dest, 0o700); err != nil {
			return err
		}
		if err := sweep(u.root, dest, u.list, sweepMisfits); err != nil {
			return err
		}
	}
	for i := range to {
		if to[i].index == directory {
			if err := u.root.MkdirAll(to[i].name, 0o700); err != nil {
				return err
			}
		} else if u.checkName != nil {
			if err := u.checkName(to[i].name); err != nil {
				return err
			}
		}
	}
	u.mu.Lock()
	u.to = to
	u.asks = make(map[int32]sumHead)
	u.highest = -1
	u.mu.Unlock()
	return u.sweepTop()
}

// place makes the receiver's list.
func (u *upload) place(dest string) ([]placed, error) {
	to := make([]placed, 0, len(u.list)+2)
	dirs := map[string]bool{".": true}
	within := func(dir string) {
		for ; !dirs[dir]; dir = path.Dir(dir) {
			dirs[dir] = true
			to = append(to, placed{name: dir, index: directory})
		}
	}
	if !u.single {
		within(dest)
	}
	for i, e := range u.list {
		name := path.Join(dest, e.name)
		if u.single {
			// The file gets the name of the destination, whatever the client calls it.
			name = dest
		}
		switch e.kind {
		case modeRegular:
			within(path.Dir(name))
			to = append(to, placed{name: name, index: int32(i)})
		case modeDir:
			within(name)
		default:
			u.say("rsync: skipping non-regular file " + quote(e.name))
		}
	}
	slices.SortFunc(to, func(a, b placed) int { return strings.Compare(a.name, b.name) })
	u.from = make([]int32, len(u.list))
	for i := range u.from {
		u.from[i] = directory
	}
	for i, p := range to {
		if i > 0 && p.name == to[i-1].name {
			return nil, refuse("%s is a file and a directory", quote(p.name))
		}
		if p.index != directory {
			u.from[p.index] = int32(i)
		}
	}
	return to, nil
}

// sweepTop removes what the library has left at the top.
func (u *upload) sweepTop() error {
	return sweepTop(u.root, func(yield func(string) bool) {
		for _, p := range u.to {
			if p.index != directory && !yield(p.name) {
				return
			}
		}
	})
}

// finish is called when nothing is under way any more, with nil or why the transfer broke. It deletes what the
// client does not have, and says of each file what became of it.
func (u *upload) finish(broke error) error {
	if u.to == nil { // it has not begun
		return nil
	}
	how := sweepLeftovers
	if u.c.delete && broke == nil {
		if how = sweepOthers; u.ioError {
			how = sweepLeftovers
			u.say("rsync: nothing is deleted, since the client could not read all of its files")
		}
	}
	err := u.sweepTop()
	if !u.single {
		err = errors.Join(err, sweep(u.root, u.c.Paths[0], u.list, how))
	}
	for _, a := range u.arrived {
		if broke == nil || u.inPlace(a.i) {
			u.done(a.File)
		}
	}
	for i, p := range u.to {
		if p.index != directory && !p.asked && (u.checked || i < u.highest) {
			size := u.list[p.index].size
			u.done(File{Name: p.name, Size: size, Matched: size, Skipped: true})
		}
	}
	return err
}

// inPlace reports whether a file is there as the client has it.
func (u *upload) inPlace(i int32) bool {
	info, err := u.root.Lstat(u.to[i].name)
	e := u.list[u.to[i].index]
	return err == nil && info.Mode().IsRegular() && info.Size() == e.size && int32(info.ModTime().Unix()) == e.mtime
}

func (u *upload) emitList(emit func([]byte) error) error {
	b := make([]byte, 0, maxRun)
	for _, p := range u.to {
		e := entry{name: p.name, size: 4096, kind: modeDir}
		if p.index != directory {
			e = u.list[p.index]
			e.name = p.name
		}
		b = e.append(b, &Command{})
		if len(b) < maxRun-maxPath-64 {
			continue
		}
		if err := emit(b); err != nil {
			return err
		}
		b = b[:0]
	}
	return emit((&Command{}).appendEnd(b, false))
}

func (u *upload) receiveFile(r *reader, index int32, emit func([]byte) error) error {
	if index < 0 || int(index) >= len(u.from) || u.from[index] == directory {
		return protocol("file %d comes as it was not asked for", index)
	}
	i := u.from[index]
	head, err := r.sumHead()
	if err != nil {
		return err
	}
	u.mu.Lock()
	want, ok := u.asks[i]
	delete(u.asks, i)
	u.mu.Unlock()
	if !ok || head.count > 0 && head != want {
		return protocol("file %d comes as it was not asked for", index)
	}
	var b [20]byte
	if err := emit(head.append(appendInt32(b[:0], i))); err != nil {
		return err
	}
	f := File{Name: u.to[i].name}
	for {
		token, err := r.int32()
		if err != nil {
			return err
		}
		switch {
		case token > maxClient:
			return protocol("a run of %d bytes", token)
		case token > 0:
			if err := u.receiveData(r, int(token), &f, emit); err != nil {
				return err
			}
			continue
		case token < 0:
			n, ok := head.block(-(token + 1))
			if !ok {
				return protocol("block %d of %d", -(token + 1), head.count)
			}
			if err := u.take(n); err != nil {
				return err
			}
			f.Matched += n
			if err := emit(appendInt32(b[:0], token)); err != nil {
				return err
			}
			continue
		}
		break
	}
	if err := r.full(b[4:20]); err != nil {
		return err
	}
	f.Size = f.Literal + f.Matched
	clear(b[:4])
	if err := emit(b[:20]); err != nil {
		return err
	}
	u.arrive(i, f)
	return nil
}

// receiveData passes a run of data on, in pieces as they come.
func (u *upload) receiveData(r *reader, n int, f *File, emit func([]byte) error) error {
	var b [4]byte
	for n > 0 {
		data, err := r.some(min(n, maxRun))
		if err != nil {
			return err
		}
		if err := u.take(int64(len(data))); err != nil {
			return err
		}
		pass, cut := u.pass(f.Name, f.Literal+f.Matched, len(data))
		n -= pass
		f.Literal += int64(pass)
		if pass > 0 {
			if err := emit(appendInt32(b[:0], int32(pass))); err != nil {
				return err
			}
			if err := emit(data[:pass]); err != nil {
				return err
			}
		}
		if cut != nil {
			return cut
		}
	}
	return nil
}

// take counts bytes of files, and refuses those that are more than was said.
func (u *upload) take(n int64) error {
	u.taken += n
	if u.job.MaxBytes > 0 && u.taken > u.job.MaxBytes {
		return refuse("files of more than %d bytes together, which is all that there is room for", u.job.MaxBytes)
	}
	return nil
}

// arrive notes that the receiver has read all of a file, and reads on.
func (u *upload) arrive(i int32, f File) {
	if u.inOrder {
		u.done(f)
		return
	}
	u.arrived = append(u.arrived, arrival{i, f})
}

// ask is the parser of what the receiver sends, which asks for files.
func (u *upload) ask(r *reader) error {
	if err := u.greet(r); err != nil {
		return err
	}
	r = demux(r, u.message)
	var b [20]byte
	for phase := 0; phase < 3; {
		i, err := r.int32()
		if err != nil {
			return err
		}
		if i == phaseEnd {
			u.mu.Lock()
			u.checked = true
			u.mu.Unlock()
			phase++
			if err := u.out.data(appendInt32(nil, phaseEnd)); err != nil {
				return err
			}
			continue
		}
		head, err := r.sumHead()
		if err != nil {
			return err
		}
		index, err := u.asked(i, head)
		if err != nil {
			return err
		}
		if err := u.out.data(head.append(appendInt32(b[:0], index))); err != nil {
			return err
		}
		if err := r.pass(head.sums(), u.out.data); err != nil {
			return err
		}
	}
	return nil
}

// asked notes that the receiver asks for a file, and returns the client's index of it.
func (u *upload) asked(i int32, head sumHead) (int32, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i < 0 || int(i) >= len(u.to) || u.to[i].index == directory {
		return 0, fmt.Errorf("the receiver asks for file %d of %d", i, len(u.to))
	}
	u.asks[i] = head
	u.to[i].asked = true
	u.highest = max(u.highest, int(i))
	return u.to[i].index, nil
}
