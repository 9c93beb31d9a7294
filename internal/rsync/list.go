package rsync

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Kinds of files, as modes on the wire have them.
const (
	modeKind    = 0o170000
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeLink    = 0o120000
	modeChar    = 0o020000
	modeBlock   = 0o060000
	modeFIFO    = 0o010000
	modeSocket  = 0o140000
)

// Flags of an entry: which of its fields are the last entry's, and how long its name is.
const (
	flagTop      = 1 << 0
	flagSameMode = 1 << 1
	flagSameRdev = 1 << 2
	flagSameUID  = 1 << 3
	flagSameGID  = 1 << 4
	flagSameName = 1 << 5 // begins with so many bytes of the last name
	flagLongName = 1 << 6
	flagSameTime = 1 << 7
)

// maxNames bounds the names of a list, all together.
const maxNames = 64 << 20

// An entry is one line of the list of files that the sender sends first. Both sides number the entries in the order of
// their names.
type entry struct {
	name  string // with slashes, "." for the directory whose contents are sent
	size  int64
	mtime int32
	kind  uint16 // modeRegular, modeDir, or what is left out
}

// A bound is what a list may have.
type bound struct {
	bytes int64
	files int
}

// is reports whether a regular file is the entry's, by what rsync goes by.
func (e *entry) is(info fs.FileInfo) bool {
	return info.Size() == e.size && int32(info.ModTime().Unix()) == e.mtime
}

// names holds many texts in few pieces of memory.
type names struct{ piece strings.Builder }

const namesPiece = 64 << 10

func (n *names) keep(name []byte) string {
	if n.piece.Len()+len(name) > n.piece.Cap() {
		n.piece = strings.Builder{}
		n.piece.Grow(max(namesPiece, len(name)))
	}
	at := n.piece.Len()
	n.piece.Write(name)
	return n.piece.String()[at:]
}

// readList reads the list of a client and sorts it. A name that leads out is refused, and what exceeds the bound.
func (c *Command) readList(r *reader, most bound) (list []entry, ioError bool, _ error) {
	var (
		last         entry
		kept         names
		lastName     []byte // as it came
		name         []byte
		total, names int64
	)
	for {
		flags, err := r.byte()
		if err != nil {
			return nil, false, err
		}
		if flags == 0 {
			break
		}
		if len(list) == most.files {
			return nil, false, refuse("more than %d files and directories", most.files)
		}
		if name, err = readName(r, flags, lastName, name[:0]); err != nil {
			return nil, false, err
		}
		lastName, name = name, lastName
		if names += int64(len(lastName)); names > maxNames {
			return nil, false, refuse("file names of more than %d bytes together", maxNames)
		}
		e, err := c.readEntry(r, flags, last)
		if err != nil {
			return nil, false, err
		}
		if e.name, err = kept.clean(lastName); err != nil {
			return nil, false, err
		}
		if e.kind == modeRegular {
			if e.size < 0 {
				return nil, false, refuse("file %s has a size of %d", quote(e.name), e.size)
			}
			if total += e.size; most.bytes > 0 && (total > most.bytes || total < 0) {
				return nil, false, refuse("files of more than %d bytes together, which is all that there is room for",
					most.bytes)
			}
		}
		last = e
		list = append(list, e)
	}
	for _, ids := range []bool{c.owner, c.group} {
		if !ids {
			continue
		}
		if err := skipIDs(r); err != nil {
			return nil, false, err
		}
	}
	flag, err := r.int32()
	if err != nil {
		return nil, false, err
	}
	slices.SortFunc(list, byName)
	for i := 1; i < len(list); i++ {
		if list[i].name == list[i-1].name {
			return nil, false, refuse("%s is sent twice; name it once", quote(list[i].name))
		}
	}
	return list, flag != 0, nil
}

func byName(a, b entry) int { return strings.Compare(a.name, b.name) }

// readName appends the name of an entry to name.
func readName(r *reader, flags byte, last, name []byte) ([]byte, error) {
	if flags&flagSameName != 0 {
		n, err := r.byte()
		if err != nil {
			return nil, err
		}
		if int(n) > len(last) {
			return nil, protocol("a name that begins with %d bytes of %d", n, len(last))
		}
		name = append(name, last[:n]...)
	}
	var n int
	if flags&flagLongName != 0 {
		long, err := r.int32()
		if err != nil {
			return nil, err
		}
		n = int(long)
	} else {
		short, err := r.byte()
		if err != nil {
			return nil, err
		}
		n = int(short)
	}
	if n < 0 || len(name)+n > maxPath {
		return nil, refuse("a file name longer than %d bytes", maxPath)
	}
	name = slices.Grow(name, n)[:len(name)+n]
	return name, r.full(name[len(name)-n:])
}

// readEntry reads what stands behind the name. Owners, devices and the targets of links are read past.
func (c *Command) readEntry(r *reader, flags byte, last entry) (e entry, err error) {
	if e.size, err = r.int64(); err != nil {
		return e, err
	}
	e.mtime = last.mtime
	if flags&flagSameTime == 0 {
		if e.mtime, err = r.int32(); err != nil {
			return e, err
		}
	}
	e.kind = last.kind
	if flags&flagSameMode == 0 {
		mode, err := r.int32()
		if err != nil {
			return e, err
		}
		e.kind = uint16(mode & modeKind)
	}
	device := e.kind == modeChar || e.kind == modeBlock || e.kind == modeFIFO || e.kind == modeSocket
	for _, field := range []struct {
		there bool
		same  byte
	}{{c.owner, flagSameUID}, {c.group, flagSameGID}, {c.devices && device, flagSameRdev}} {
		if field.there && flags&field.same == 0 {
			if _, err := r.int32(); err != nil {
				return e, err
			}
		}
	}
	if c.links && e.kind == modeLink {
		n, err := r.int32()
		if err != nil {
			return e, err
		}
		if n < 0 || n > maxPath {
			return e, protocol("a symbolic link to a name of %d bytes", n)
		}
		return e, r.pass(int64(n), nil)
	}
	return e, nil
}

// skipIDs reads past the names of users, or of groups.
func skipIDs(r *reader) error {
	for {
		id, err := r.int32()
		if err != nil || id == 0 {
			return err
		}
		n, err := r.byte()
		if err != nil {
			return err
		}
		if err := r.pass(int64(n), nil); err != nil {
			return err
		}
	}
}

// clean keeps the name of an entry as rsync means it. It never leads out.
func (n *names) clean(b []byte) (string, error) {
	name := n.keep(b)
	if err := checkPath(name); err != nil {
		return "", refuse("file %s: %v", quote(name), err)
	}
	clean := path.Clean(name)
	if name == "" || !filepath.IsLocal(filepath.FromSlash(clean)) {
		return "", refuse("file %s leads out of the destination", quote(name))
	}
	return clean, nil
}

// append appends an entry as a sender sends it. The owner is root: whoever receives it has that user, and may not
// give files away unless it is root itself.
func (e *entry) append(b []byte, c *Command) []byte {
	flags := byte(flagLongName)
	if e.name == "." {
		flags |= flagTop
	}
	b = append(b, flags)
	b = appendInt32(b, int32(len(e.name)))
	b = append(b, e.name...)
	b = appendInt64(b, e.size)
	b = appendInt32(b, e.mtime)
	b = appendInt32(b, e.mode(c.Sender))
	if c.owner {
		b = appendInt32(b, 0)
	}
	if c.group {
		b = appendInt32(b, 0)
	}
	return b
}

// mode is the same for all files: of an upload, for nobody but the server; of a download, as users have them.
func (e *entry) mode(download bool) int32 {
	switch {
	case e.kind == modeDir && download:
		return modeDir | 0o755
	case e.kind == modeDir:
		return modeDir | 0o700
	case download:
		return modeRegular | 0o644
	}
	return modeRegular | 0o600
}

// appendEnd appends what stands behind the last entry.
func (c *Command) appendEnd(b []byte, ioError bool) []byte {
	b = append(b, 0)
	if c.owner {
		b = appendInt32(b, 0)
	}
	if c.group {
		b = appendInt32(b, 0)
	}
	if ioError {
		return appendInt32(b, 1)
	}
	return appendInt32(b, 0)
}
