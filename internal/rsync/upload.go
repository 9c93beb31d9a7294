package rsync

import (
	"errors"
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
	list, ioError, err := u.c.readList(r, bound{u.job.MaxBytes, u.maxFiles()})
	if err != nil {
		return err
	}
	u.list, u.ioError = list, ioError
	return u.prepare()
}

func (u *upload) maxFiles() int {
	if u.job.MaxFiles > 0 {
		return u.job.MaxFiles
	}
	return DefaultMaxFiles
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
		if len(to) > u.maxFiles()+maxDepth { // with directories that files are in, and that the list does not have
			return nil, refuse("more than %d files and directories", u.maxFiles())
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
	last := make(map[int32]int) // a file whose checksum is wrong is sent twice
	for n, a := range u.arrived {
		last[a.i] = n
	}
	for n, a := range u.arrived {
		if last[a.i] == n && (broke == nil || u.inPlace(a.i)) {
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
