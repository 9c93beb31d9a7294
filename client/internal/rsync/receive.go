package rsync

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mmcloughlin/md4"

	"github.com/upgrademock/upgrademock/client/internal/transfer"
)

// maxEntries bounds the list of a server. A filestore may have millions of files.
const maxEntries = 8 << 20

// A Receiver receives files into a directory.
type Receiver struct {
	// Root is the directory. Nothing outside it is touched, and in it nothing but the wanted files and Parts.
	Root *os.Root

	// Wanted are the names of the files and directories that were asked for, without their paths.
	Wanted []string

	// Parts is the name of a directory in Root for files that have not arrived whole. It is made if it is not there,
	// and removed when all is there. What is in it after a break, the next run continues.
	Parts string

	// Progress, if not nil, is called with the number of bytes that are there, and that there are to be.
	Progress func(done, total int64)
}

// Received says what a Receiver did.
type Received struct {
	Entries []Entry  // the files and directories that are there now, sorted by their names
	Left    []string // links and devices, which were left out
	Bytes   int64    // of file data that came
	Files   int      // that came
	Skipped int      // files that were there
}

// ErrDestination wraps the errors of writing the files.
var ErrDestination = errors.New("writing what is received")

// errIncomplete means that the server could not read everything that was asked for.
var errIncomplete = errors.New("the server could not read all of its files")

// Run receives from a server that was started by [DownloadCommand]. Files that are there with the right size and time
// are kept and not sent; others are replaced. What it returns is never nil.
func (r *Receiver) Run(s Stream) (*Received, error) {
	said := &messages{}
	got := &Received{}
	err := r.run(s, got, said)
	return got, said.explain(err)
}

func (r *Receiver) run(s Stream, got *Received, said *messages) error {
	c, err := open(s, said)
	if err != nil {
		return err
	}
	c.putInt(0) // no filters
	list, err := c.list(maxEntries)
	if err != nil {
		return err
	}
	failed, err := c.int()
	if err != nil {
		return err
	}
	t := &receiving{Receiver: r, c: c, got: got, entries: sorted(list)}
	if err := t.check(); err != nil {
		return err
	}
	// A server with nothing to send ends at once.
	if len(list) > 0 {
		if err := t.receive(); err != nil {
			return err
		}
	}
	if failed != 0 {
		return errIncomplete
	}
	return nil
}

type receiving struct {
	*Receiver
	c       *conn
	got     *Received
	entries []Entry
	wanted  []bool          // whether the entry of the same index is to be sent
	bases   map[int32]int64 // the sizes of the parts of wanted files that an earlier run has left
	done    int64
	total   int64
}

// check refuses a list with names that were not asked for, and chooses what is received.
func (t *receiving) check() error {
	for i, e := range t.entries {
		top, _, _ := strings.Cut(e.Name, "/")
		switch {
		case path.Clean(e.Name) != e.Name, !filepath.IsLocal(filepath.FromSlash(e.Name)),
			strings.ContainsRune(e.Name, 0), os.PathSeparator != '/' && strings.ContainsRune(e.Name, os.PathSeparator):
			return transfer.Contradiction("the server lists a file by the name %.200q, "+
				"which may lead out of the directory", e.Name)
		case !slices.Contains(t.Wanted, top):
			return transfer.Contradiction("the server lists %.200q, which was not asked for", e.Name)
		case i > 0 && t.entries[i-1].Name == e.Name:
			return transfer.Contradiction("the server lists %.200q twice", e.Name)
		case e.Mode.IsDir(), e.Mode.IsRegular():
			t.got.Entries = append(t.got.Entries, e)
		default:
			t.got.Left = append(t.got.Left, e.Name)
		}
		if e.Mode.IsRegular() {
			t.total += e.Size
		}
	}
	t.wanted = make([]bool, len(t.entries))
	return nil
}

func (t *receiving) receive() (err error) {
	defer func() { t.tidy(err == nil) }()
	for i, e := range t.entries {
		var err error
		switch {
		case e.Mode.IsDir():
			err = t.Root.MkdirAll(filepath.FromSlash(e.Name), 0o700)
		case !e.Mode.IsRegular():
		case t.there(e):
			t.got.Skipped++
			t.done += e.Size
		default:
			t.wanted[i] = true
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDestination, err)
		}
	}
	if err := t.prepareParts(); err != nil {
		return fmt.Errorf("%w: %w", ErrDestination, err)
	}
	t.progress()
	// The server reads requests while it sends, so requests are written while it is read.
	if err := t.c.flush(); err != nil {
		return err
	}
	t.c.shared = true
	requested := make(chan error, 1)
	wanted, bases := slices.Clone(t.wanted), maps.Clone(t.bases)
	go func() { requested <- t.request(wanted, bases) }()
	again, err := t.phase(t.wanted)
	// An error of reading is that of the connection, and the caller closes it; so the writer ends, too.
	if err != nil {
		return &afterRequests{err, requested}
	}
	if err := <-requested; err != nil {
		return err
	}
	t.c.shared = false
	if len(again) > 0 {
		if err := t.repeat(again); err != nil {
			return err
		}
	}
	t.c.putInt(done)
	left, err := t.phase(t.wanted)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return transfer.Contradiction("%.200q came twice with a wrong checksum", t.entries[left[0]].Name)
	}
	if i := slices.Index(t.wanted, true); i >= 0 {
		return fmt.Errorf("%w: %.200q did not come", errIncomplete, t.entries[i].Name)
	}
	for range 3 { // statistics
		if _, err := t.c.long(); err != nil {
			return err
		}
	}
	t.c.putInt(done)
	return t.c.flush()
}

// afterRequests is an error with which the goroutine that writes requests may still be at work: it ends when the
// stream is closed.
type afterRequests struct {
	error
	requested <-chan error
}

func (e *afterRequests) Unwrap() error { return e.error }

// Join waits for what Run has left behind when it failed. The stream must have been closed.
func Join(err error) {
	if e, ok := errors.AsType[*afterRequests](err); ok {
		<-e.requested
	}
}

// there reports whether the file is there by its size and time. A file that is not, and a link, is replaced.
func (t *receiving) there(e Entry) bool {
	info, err := t.Root.Lstat(filepath.FromSlash(e.Name))
	return err == nil && info.Mode().IsRegular() && info.Size() == e.Size && info.ModTime().Unix() == e.ModTime.Unix()
}

func (t *receiving) progress() {
	if t.Progress != nil {
		t.Progress(t.done, t.total)
	}
}

// request asks for each wanted file, for the rest of it if a part is here, and ends the phase.
func (t *receiving) request(wanted []bool, bases map[int32]int64) error {
	for i, w := range wanted {
		if !w {
			continue
		}
		if size := bases[int32(i)]; size > 0 {
			if err := t.askRest(int32(i), size); err != nil {
				return err
			}
			continue
		}
		t.ask(int32(i))
	}
	t.c.putInt(done)
	return t.c.flush()
}

func (t *receiving) ask(i int32) {
	t.c.putInt(i)
	for range 4 { // no blocks of it are here
		t.c.putInt(0)
	}
}

// maxRepeats is how many files may have come with a wrong checksum.
const maxRepeats = 1000

func (t *receiving) repeat(again []int32) error {
	if len(again) > maxRepeats {
		return transfer.Contradiction("%d files came with a wrong checksum", len(again))
	}
	for _, i := range again {
		t.ask(i)
	}
	return nil
}

// phase receives files until the server ends the phase. It returns those whose checksum was wrong, which is so for a
// file that changed meanwhile.
func (t *receiving) phase(wanted []bool) (again []int32, err error) {
	for {
		i, err := t.c.int()
		if err != nil {
			return nil, err
		}
		if i == done {
			return again, nil
		}
		if i < 0 || int(i) >= len(t.entries) || !wanted[i] {
			return nil, transfer.Contradiction("the server sends file number %d, which was not asked for", i)
		}
		before := t.done
		right, err := t.file(i)
		if err != nil {
			return nil, err
		}
		if !right {
			t.done = before
			again = append(again, i)
			continue
		}
		wanted[i] = false
		t.got.Files++
	}
}

// file receives a file into a part, and gives it its name if its checksum is right.
func (t *receiving) file(i int32) (right bool, err error) {
	e := t.entries[i]
	blocks, err := t.blocks(i)
	if err != nil {
		return false, err
	}
	defer blocks.close()
	part := t.part(e)
	f, err := t.Root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrDestination, err)
	}
	defer f.Close()
	right, err = t.content(f, e, blocks)
	if err != nil {
		return false, err
	}
	delete(t.bases, i) // a second time the file comes whole
	_ = t.Root.Remove(part + oldSuffix)
	if !right {
		return false, nil
	}
	if err := t.name(f, part, e); err != nil {
		return false, fmt.Errorf("%w: %w", ErrDestination, err)
	}
	return true, nil
}

// content receives the runs and blocks of a file, and reports whether their checksum is right.
func (t *receiving) content(f io.Writer, e Entry, blocks *blocks) (bool, error) {
	sum := md4.New()
	_, _ = sum.Write(t.c.seed[:])
	buf := make([]byte, maxRun)
	for at := int64(0); ; {
		run, err := t.c.int()
		if err != nil {
			return false, err
		}
		if run == 0 {
			break
		}
		from, length := io.Reader(t.c), int64(run)
		if run < 0 {
			if from, length, err = blocks.read(-(int64(run) + 1)); err != nil {
				return false, err
			}
		}
		if length > e.Size-at {
			return false, transfer.Contradiction("more than the %d bytes of %.200q come", e.Size, e.Name)
		}
		at += length
		for left := length; left > 0; {
			n, err := io.ReadFull(from, buf[:min(left, int64(len(buf)))])
			if err != nil {
				return false, noEOF(err)
			}
			_, _ = sum.Write(buf[:n])
			if _, err := f.Write(buf[:n]); err != nil {
				return false, fmt.Errorf("%w: %w", ErrDestination, err)
			}
			left -= int64(n)
			t.done += int64(n)
			if run > 0 {
				t.got.Bytes += int64(n)
			}
			t.progress()
		}
	}
	want, err := t.c.text(md4.Size)
	return err == nil && bytes.Equal([]byte(want), sum.Sum(nil)), err
}

// name gives a file that is whole its time and then its name.
func (t *receiving) name(f *os.File, part string, e Entry) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// A file that shrank meanwhile has its own time, so that it is not taken for whole.
	if info.Size() == e.Size {
		if err := t.Root.Chtimes(part, e.ModTime, e.ModTime); err != nil {
			return err
		}
	}
	name := filepath.FromSlash(e.Name)
	if dir := filepath.Dir(name); dir != "." {
		if err := t.Root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	// A directory in its place is not removed: it may be somebody's.
	return t.Root.Rename(part, name)
}

// Total returns the number of bytes of all files.
func (r *Received) Total() int64 {
	var n int64
	for _, e := range r.Entries {
		if e.Mode.IsRegular() {
			n += e.Size
		}
	}
	return n
}
