package rsync

import (
	"os"
	"path"
	"strings"
	"sync"
)

// An upload is what the client sends, and where it is to be.
type upload struct {
	*session
	c    *Command
	root *os.Root

	list    []entry // of the client
	ioError bool    // the client could not read all of its files
	single  bool    // a file with the name of the destination, and no directory
	taken   int64   // bytes of all files so far

	mu      sync.Mutex
	state   []uint8           // of the files of list
	heads   map[int32]sumHead // of files that were asked for with blocks, and are yet to come
	highest int               // index of the last file that was asked for
	checked bool              // the receiver has looked at all files
}

// States of a file.
const (
	notAsked = iota
	asked
	came
)

// noFilters reads a list of filter rules, which must be empty.
func (r *reader) noFilters() error {
	n, err := r.int32()
	if err == nil && n != 0 {
		err = refuse("filter rules; leave out --exclude, --include and --filter")
	}
	return err
}

// readList reads what a client sends before files, and makes the place for them.
func (u *upload) readList(r *reader) error {
	if u.c.delete {
		if err := r.noFilters(); err != nil {
			return err
		}
	}
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
	if err := u.checkDirs(); err != nil {
		return err
	}
	kind := uint16(modeDir)
	if u.single {
		kind = modeRegular
	}
	if err := clearPlace(u.root, dest, kind); err != nil {
		return err
	}
	if u.single {
		dest = path.Dir(dest)
	}
	if err := u.root.MkdirAll(dest, 0o700); err != nil {
		return err
	}
	if err := u.sweep(sweepMisfits); err != nil {
		return err
	}
	u.mu.Lock()
	u.state = make([]uint8, len(u.list))
	u.heads = make(map[int32]sumHead)
	u.highest = -1
	u.mu.Unlock()
	return u.eachDir(func(dir string) error { return u.root.MkdirAll(dir, 0o700) })
}

// name is the name of a file below the root. A single one gets the name of the destination, whatever the client calls
// it.
func (u *upload) name(i int32) string {
	if u.single {
		return u.c.Paths[0]
	}
	return path.Join(u.c.Paths[0], u.list[i].name)
}

// eachDir calls f for each directory below the destination, the ones that the list has, and those that its files are
// in. It may call it twice for the same.
func (u *upload) eachDir(f func(name string) error) error {
	dest, last := u.c.Paths[0], ""
	for _, e := range u.list {
		dir := path.Dir(e.name)
		if e.kind == modeDir {
			dir = e.name
		} else if e.kind != modeRegular {
			continue
		}
		if u.single || dir == "." || dir == last {
			continue
		}
		last = dir
		if err := f(path.Join(dest, dir)); err != nil {
			return err
		}
	}
	return nil
}

// checkDirs refuses a list with a file in the place of a directory, and one with too many directories that files are
// in, and that it does not have.
func (u *upload) checkDirs() error {
	implied, last := 0, ""
	for _, e := range u.list {
		if e.kind != modeRegular && e.kind != modeDir {
			u.say("rsync: skipping non-regular file " + quote(e.name))
			continue
		}
		// The names in a directory follow each other.
		for i, c := range e.name {
			if c != '/' || strings.HasPrefix(last, e.name[:i+1]) {
				continue
			}
			at, listed := search(u.list, e.name[:i])
			if listed && u.list[at].kind == modeRegular {
				return refuse("%s is a file and a directory", quote(path.Join(u.c.Paths[0], e.name[:i])))
			}
			if !listed {
				implied++
			}
		}
		last = e.name
		if len(u.list)+implied > u.maxFiles()+maxDepth {
			return refuse("more than %d files and directories", u.maxFiles())
		}
	}
	return nil
}

// finish is called when nothing is under way any more, with nil or why the transfer broke. It deletes what the
// client does not have, and says of each file what became of it.
func (u *upload) finish(broke error) error {
	if u.state == nil { // it has not begun
		return nil
	}
	how := sweepLeftovers
	if u.c.delete && broke == nil {
		if how = sweepOthers; u.ioError {
			how = sweepLeftovers
			u.say("rsync: nothing is deleted, since the client could not read all of its files")
		}
	}
	err := u.sweep(how)
	for i, e := range u.list {
		if e.kind == modeRegular && u.state[i] == notAsked && (u.checked || i < u.highest) {
			u.done(File{Name: u.name(int32(i)), Size: e.size, Matched: e.size, Skipped: true})
		}
	}
	return err
}

// sweep removes what does not belong to the destination.
func (u *upload) sweep(how int) error {
	if u.single {
		return sweepTemps(u.root, path.Dir(u.c.Paths[0]))
	}
	return sweep(u.root, u.c.Paths[0], u.list, how)
}
