package rsync

import (
	"cmp"
	"io/fs"
	"slices"
	"time"

	"github.com/upgrademock/upgrademock/client/internal/transfer"
)

// An Entry is a file or a directory.
type Entry struct {
	Name    string      // with slashes
	Size    int64       // of a file
	ModTime time.Time   // seconds only
	Mode    fs.FileMode // the type alone
}

// The type bits of a mode on the wire.
const (
	wireType    = 0o170000
	wireDir     = 0o040000
	wireRegular = 0o100000
	wireLink    = 0o120000
	wireChar    = 0o020000
	wireBlock   = 0o060000
)

// The bits of an entry's first byte.
const (
	sameMode = 1 << 1
	sameRdev = 1 << 2
	sameUID  = 1 << 3
	sameGID  = 1 << 4
	sameName = 1 << 5
	longName = 1 << 6
	sameTime = 1 << 7
)

// Bounds of the names in a list.
const (
	maxName   = 4096
	maxNames  = 1 << 30 // bytes of all
	maxOwners = 1 << 16
)

// sorted returns the entries in the order that both sides number them in.
func sorted(entries []Entry) []Entry {
	out := slices.Clone(entries)
	slices.SortStableFunc(out, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// putEntry writes an entry of the list with options -ltr.
func (c *conn) putEntry(e Entry) {
	first := byte(longName)
	mode := int32(wireRegular | 0o600)
	if e.Mode.IsDir() {
		mode = wireDir | 0o700
		if e.Name == "." {
			first |= 1 // the top
		}
	}
	_ = c.out.WriteByte(first)
	c.putInt(int32(len(e.Name)))
	_, _ = c.out.WriteString(e.Name)
	c.putLong(e.Size)
	c.putInt(int32(e.ModTime.Unix()))
	c.putInt(mode)
}

// raw is an entry as it came, with what the next one may refer to.
type raw struct {
	name string
	size int64
	time int32
	mode int32
}

// list reads the list of a sender with options -logDtpr, in the order in which it came. limit bounds the number of
// entries.
func (c *conn) list(limit int) ([]Entry, error) {
	var out []Entry
	var last raw
	names := 0
	for {
		first, err := c.byte()
		if err != nil {
			return nil, err
		}
		if first == 0 {
			break
		}
		if last, err = c.entry(first, last); err != nil {
			return nil, err
		}
		if names += len(last.name); names > maxNames {
			return nil, transfer.Contradiction("the names in the list have more than %d bytes", maxNames)
		}
		if len(out) == limit {
			return nil, transfer.Contradiction("the list has more than %d files", limit)
		}
		if last.size < 0 {
			return nil, transfer.Contradiction("%.200q has %d bytes", last.name, last.size)
		}
		out = append(out, Entry{Name: last.name, Size: last.size, ModTime: time.Unix(int64(last.time), 0).UTC(),
			Mode: fileType(last.mode)})
	}
	for range 2 { // users and groups
		if err := c.skipNames(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func fileType(mode int32) fs.FileMode {
	switch mode & wireType {
	case wireRegular:
		return 0
	case wireDir:
		return fs.ModeDir
	case wireLink:
		return fs.ModeSymlink
	}
	return fs.ModeIrregular
}

func (c *conn) entry(first byte, last raw) (raw, error) {
	var shared, length int32
	var err error
	if first&sameName != 0 {
		b, err := c.byte()
		if err != nil {
			return raw{}, err
		}
		shared = int32(b)
	}
	if first&longName != 0 {
		length, err = c.int()
	} else {
		var b byte
		b, err = c.byte()
		length = int32(b)
	}
	if err != nil {
		return raw{}, err
	}
	if length < 0 || length > maxName-shared || int(shared) > len(last.name) {
		return raw{}, transfer.Contradiction("a name of %d and %d bytes in the list of files", shared, length)
	}
	rest, err := c.text(int(length))
	if err != nil {
		return raw{}, err
	}
	e := raw{name: last.name[:shared] + rest, time: last.time, mode: last.mode}
	if e.size, err = c.long(); err != nil {
		return raw{}, err
	}
	if first&sameTime == 0 {
		if e.time, err = c.int(); err != nil {
			return raw{}, err
		}
	}
	if first&sameMode == 0 {
		if e.mode, err = c.int(); err != nil {
			return raw{}, err
		}
	}
	skip := 0
	if first&sameUID == 0 {
		skip++
	}
	if first&sameGID == 0 {
		skip++
	}
	switch e.mode & wireType {
	case wireRegular, wireDir, wireLink:
	default: // devices, pipes, sockets
		if first&sameRdev == 0 {
			skip++
		}
	}
	for range skip {
		if _, err := c.int(); err != nil {
			return raw{}, err
		}
	}
	if e.mode&wireType == wireLink {
		n, err := c.int()
		if err != nil {
			return raw{}, err
		}
		if n < 0 || n > maxName {
			return raw{}, transfer.Contradiction("the target of the link %.200q has %d bytes", e.name, n)
		}
		if _, err := c.text(int(n)); err != nil {
			return raw{}, err
		}
	}
	return e, nil
}

// skipNames reads the names that belong to the numbers of users, or of groups.
func (c *conn) skipNames() error {
	for range maxOwners {
		id, err := c.int()
		if err != nil || id == 0 {
			return err
		}
		n, err := c.byte()
		if err != nil {
			return err
		}
		if _, err := c.text(int(n)); err != nil {
			return err
		}
	}
	return transfer.Contradiction("the files have more than %d owners", maxOwners)
}
