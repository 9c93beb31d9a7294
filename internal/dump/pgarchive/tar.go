package pgarchive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// tocMember is the member of a tar-format archive that holds header and table of contents.
const tocMember = "toc.dat"

// OpenTar opens a tar-format archive; about r, and the errors, see [Open].
func OpenTar(r io.Reader) (*Archive, error) {
	s := newTarStore(r)
	h, err := s.next()
	if err != nil || h.Name != tocMember {
		return &Archive{}, fmt.Errorf("tar format: %w: no %s at its beginning", ErrFormat, tocMember)
	}
	d := &decoder{c: newCursor(struct{ io.Reader }{s.members}), left: MaxTOC}
	a := &Archive{Header: d.header(), data: s}
	if d.err == nil && a.Format != Tar {
		d.fail("format %d inside a tar archive", a.Format)
	}
	s.version = a.Version
	a.Entries = d.toc(&a.Header)
	if d.err != nil {
		return &Archive{Header: a.Header}, fmt.Errorf("tar format: %w", d.err)
	}
	return a, nil
}

// tarStore reads the data of a tar-format archive: a member for each table, named in its entry, and a run of members
// blob_<oid>.dat before the member blobs.toc (since 17 one blobs_<entry>.toc for each entry) that lists them. pg_dump never
// compresses in this format.
type tarStore struct {
	version Version
	at      *io.SectionReader // nil: forward only
	members *tar.Reader
	found   map[string]member // the members passed, without the large objects
	run     int64             // where the run of large objects begins that is being passed; -1: none
	end     int64             // where the member being passed ends
}

// A member of the tar file.
type member struct {
	data, size int64
	run        int64 // where the large objects before it begin; -1: there are none
}

func newTarStore(r io.Reader) *tarStore {
	s := &tarStore{found: map[string]member{}, run: -1}
	if at, ok := r.(*io.SectionReader); ok {
		s.at = at
		s.jump(0)
	} else {
		s.members = tar.NewReader(r)
	}
	return s
}

// jump goes to the beginning of a member of an archive that can be read at random.
func (s *tarStore) jump(pos int64) {
	// A reader of its own: one that has reached the end stays there. The tar package seeks past what is not wanted.
	s.at = io.NewSectionReader(s.at, 0, s.at.Size())
	s.at.Seek(pos, io.SeekStart) // cannot fail: pos is not negative
	s.members = tar.NewReader(s.at)
	s.end, s.run = pos, -1
}

// next goes to the next member; io.EOF after the last one.
func (s *tarStore) next() (*tar.Header, error) {
	h, err := s.members.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: tar: %w", ErrFormat, err)
	}
	if err != nil {
		return nil, err
	}
	begin, data := s.end, int64(0)
	if s.at != nil {
		data, _ = s.at.Seek(0, io.SeekCurrent)
	}
	s.end = data + (h.Size+511)&^511
	if _, ok := blobMember(h.Name); ok {
		if s.run < 0 {
			s.run = begin
		}
		return h, nil
	}
	s.found[h.Name] = member{data: data, size: h.Size, run: s.run}
	s.run = -1
	return h, nil
}

func (s *tarStore) table(e *Entry) (io.Reader, error) {
	if e.filename == "" {
		return eof{}, nil
	}
	m, ok := s.found[e.filename]
	if ok && s.at == nil {
		return nil, fmt.Errorf("%w: %s (%s) lies before an earlier entry", ErrOrder, e.filename, e.Tag)
	}
	for !ok {
		if _, err := s.next(); errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: no member %s (%s)", ErrNoData, e.filename, e.Tag)
		} else if err != nil {
			return nil, err
		}
		m, ok = s.found[e.filename]
	}
	if s.at == nil {
		return s.members, nil
	}
	return io.NewSectionReader(s.at, m.data, m.size), nil
}

func (s *tarStore) blobs(e *Entry, each func(uint64, io.Reader) error) error {
	list := "blobs.toc"
	if s.version >= v1_16 {
		list = fmt.Sprintf("blobs_%d.toc", e.ID)
	}
	if m, ok := s.found[list]; ok {
		if s.at == nil {
			return fmt.Errorf("%w: %s lies before an earlier entry", ErrOrder, list)
		}
		if m.run < 0 {
			return nil
		}
		defer s.jump(s.end)
		s.jump(m.run)
	}
	for {
		h, err := s.next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: no member %s", ErrNoData, list)
		}
		if err != nil {
			return err
		}
		if h.Name == list {
			return nil
		}
		if oid, ok := blobMember(h.Name); ok {
			if err := each(oid, s.members); err != nil {
				return err
			}
		}
	}
}

// blobMember tells whether a member is a large object (blob_<oid>.dat), and which.
func blobMember(name string) (oid uint64, ok bool) {
	rest, ok := strings.CutPrefix(name, "blob_")
	if !ok {
		return 0, false
	}
	number, _, _ := strings.Cut(rest, ".")
	oid, err := strconv.ParseUint(number, 10, 32)
	return oid, err == nil && oid != 0
}
