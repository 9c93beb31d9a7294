package pgarchive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// tocMember is the file that holds header and table of contents.
const tocMember = "toc.dat"

// OpenFS opens an archive of several files: one in the directory format, or one in the tar format, whose members
// are what files has. It may hold other files, too. Reserve is asked for the memory that the archive takes; nil
// grants all.
//
// Errors wrap [ErrFormat], or [ErrNoData] where there is no toc.dat, or are those of files and reserve. About the
// archive beside an error, see [Open].
func OpenFS(files fs.FS, reserve unpack.Reserve) (*Archive, error) {
	s := &fileStore{files: files, reserve: reserve}
	defer s.close() // the table of contents
	r, err := s.open(tocMember)
	if err != nil {
		return &Archive{}, err
	}
	d := &decoder{c: newCursor(struct{ io.Reader }{r}), left: MaxTOC, reserve: reserve}
	a := &Archive{Header: d.header(), data: s}
	if d.err == nil && a.Format != Tar && a.Format != Directory {
		d.fail("format %d in %s", a.Format, tocMember)
	}
	a.Entries = d.toc(&a.Header)
	if d.err != nil {
		return &Archive{Header: a.Header}, fmt.Errorf("%s: %w", tocMember, d.err)
	}
	for _, e := range a.Entries {
		if e.Desc == "BLOBS" && !strings.HasSuffix(e.filename, ".toc") { // the tar format names a file that is not there
			e.filename = "blobs.toc"
			if a.Version >= v1_16 {
				e.filename = fmt.Sprintf("blobs_%d.toc", e.ID)
			}
		}
	}
	return a, nil
}

// fileStore reads the data of an archive of several files: one for each table, named in its entry, and one for each
// large object, blob_<oid>.dat, listed in blobs.toc (since 17 in one blobs_<entry>.toc for each entry). In the
// directory format each may be compressed, with an extension that says how.
type fileStore struct {
	files   fs.FS
	reserve unpack.Reserve
	granted int64     // what the decoders of the files before got; the next one has it again
	now     io.Closer // the open file; nil: none
}

// extensions are those that data files have, and how they are compressed.
var extensions = []struct {
	extension string
	method    unpack.Method
}{{"", ""}, {".gz", unpack.Gzip}, {".lz4", unpack.LZ4}, {".zst", unpack.Zstd}}

// find returns the name of a data file as it is there, and how it is compressed.
func (s *fileStore) find(name string) (string, unpack.Method, error) {
	for _, x := range extensions {
		_, err := fs.Stat(s.files, name+x.extension)
		if err == nil {
			return name + x.extension, x.method, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", "", err
		}
	}
	return "", "", fmt.Errorf("%w: no file %s", ErrNoData, name)
}

// open opens a data file, and closes the one before.
func (s *fileStore) open(name string) (io.Reader, error) {
	if err := s.close(); err != nil {
		return nil, err
	}
	name, method, err := s.find(name)
	if err != nil {
		return nil, err
	}
	f, err := s.files.Open(name)
	if err != nil {
		return nil, err
	}
	s.now = f
	if method == "" {
		return f, nil
	}
	var reserve unpack.Reserve
	if s.reserve != nil {
		reserve = highWater(s.reserve, &s.granted)
	}
	r, err := unpack.New(method, f, reserve)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return named{name, r}, nil
}

func (s *fileStore) close() error {
	if s.now == nil {
		return nil
	}
	err := s.now.Close()
	s.now = nil
	return err
}

// named says in which file an error is.
type named struct {
	name string
	r    io.Reader
}

func (n named) Read(p []byte) (int, error) {
	k, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: %w", n.name, err)
	}
	return k, err
}

func (s *fileStore) check(e *Entry) error {
	if e.filename == "" {
		return nil
	}
	_, _, err := s.find(e.filename)
	return err
}

func (s *fileStore) table(e *Entry) (io.Reader, error) {
	if e.filename == "" {
		return eof{}, nil
	}
	return s.open(e.filename)
}

func (s *fileStore) blobs(e *Entry, each func(uint64, io.Reader) error) error {
	r, err := s.open(e.filename)
	if err != nil {
		return err
	}
	// The list is read to its end before the objects are opened: one file is open at a time.
	var objects []string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if s.reserve != nil {
			if err := s.reserve(int64(2*len(lines.Text()) + 64)); err != nil {
				return err
			}
		}
		objects = append(objects, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrFormat, e.filename, err)
	}
	for _, line := range objects {
		number, name, _ := strings.Cut(line, " ")
		oid, err := strconv.ParseUint(number, 10, 32)
		if err != nil || oid == 0 || strings.ContainsAny(name, "/") {
			return fmt.Errorf("%w: %s: the line %q names no large object", ErrFormat, e.filename, line)
		}
		data, err := s.open(strings.TrimSpace(name))
		if err != nil {
			return err
		}
		if err := each(oid, data); err != nil {
			return err
		}
	}
	return nil
}
