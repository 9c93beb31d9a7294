// Package pgarchive reads the archives that PostgreSQL's pg_dump writes in its custom format (-Fc), its directory
// format (-Fd) and its tar format (-Ft), and turns them back into SQL, as "pg_restore -f -" does, with no PostgreSQL
// at hand.
//
// Archive versions 1.10 to 1.16 are understood: what pg_dump 8.0 to 18 writes. The format has no description but
// PostgreSQL's own behaviour; what is said here was learned from that and is tested against the real programs.
//
// An archive is a header, a table of contents, and the data of tables and large objects behind it, or in files of
// their own. An archive that can be read at random is left where it is, and its data may lie in any order. One in the
// custom format that is only a stream (inside a gzip file, say) is read once from front to back, as pg_restore reads
// its standard input, and its data must lie in the order of the table of contents, which is how pg_dump writes it.
// Either way memory stays flat: the table of contents (bounded by [MaxTOC]), the window of one decoder, and some
// buffers.
package pgarchive

import (
	"errors"
	"fmt"
	"io"

	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// Errors that callers may test for with errors.Is.
var (
	// ErrFormat: the bytes are no archive, or one that is broken or newer than what this package knows.
	ErrFormat = errors.New("not a readable PostgreSQL archive")
	// ErrOrder: the archive is only a stream and its data lies in another order than the table of contents.
	ErrOrder = errors.New("the archive's data is out of order and it cannot be read at random")
	// ErrNoData: the archive holds no data for an entry whose table of contents promises some.
	ErrNoData = errors.New("no data in the archive")
)

// MaxTOC bounds the bytes of header and table of contents together. The largest Odoo databases stay below a third.
const MaxTOC = 64 << 20

// Magic begins every archive; in the tar format it begins the member toc.dat.
const Magic = "PGDMP"

// An Archive is an open archive. It is not safe for concurrent use, and two data readers cannot be open at once.
type Archive struct {
	Header
	Entries []*Entry

	data store // nil: the archive could not be opened
}

// A store finds the data that belongs to entries.
type store interface {
	// table returns the data of a TABLE DATA entry, decompressed; valid until the next call.
	table(e *Entry) (io.Reader, error)
	// blobs calls each for every large object of a BLOBS entry.
	blobs(e *Entry, each func(oid uint64, data io.Reader) error) error
	// check returns an error if a file is missing, without reading.
	check(e *Entry) error
	close() error
}

// Open opens a custom-format archive. An *io.SectionReader (from its beginning, wherever it stands) is read at random;
// any other reader is read forward only. Reserve is asked for the memory that the archive takes; nil grants all.
//
// Errors wrap [ErrFormat], or are those of r and reserve. The archive is never nil: beside an error it has what could
// be read of the Header and nothing else.
func Open(r io.Reader, reserve unpack.Reserve) (*Archive, error) {
	c := newCursor(r)
	d := &decoder{c: c, left: MaxTOC, reserve: reserve}
	a := &Archive{Header: d.header()}
	if d.err == nil && a.Format != Custom {
		d.fail("format %d inside a custom archive", a.Format)
	}
	a.Entries = d.toc(&a.Header)
	if d.err != nil {
		return &Archive{Header: a.Header}, fmt.Errorf("custom format: %w", d.err)
	}
	a.data = newCustomStore(c, d, a.Compression)
	return a, nil
}

// InSeveralFiles reports whether the file that begins with head is the table of contents of an archive whose data
// is in other files: one in the tar or the directory format.
func InSeveralFiles(head []byte) bool {
	const format = len(Magic) + 5 // behind the version, and the sizes of integers and offsets
	return len(head) > format && (Format(head[format]) == Tar || Format(head[format]) == Directory)
}

// Check reports whether all files of an archive in several files are there; its error wraps [ErrNoData].
func (a *Archive) Check() error {
	for _, e := range a.Entries {
		if !e.HasData {
			continue
		}
		if err := a.data.check(e); err != nil {
			return fmt.Errorf("entry %d, %s %s: %w", e.ID, e.Desc, e.Tag, err)
		}
	}
	return nil
}

// Close closes the file of the archive's data that was opened last. What Open was given stays open.
func (a *Archive) Close() error {
	if a.data == nil {
		return nil
	}
	return a.data.close()
}

// Data returns the data of a TABLE DATA entry as it goes behind its COPY statement, decompressed, the end mark
// included. It is valid until the next call of Data or WriteSQL.
//
// Errors wrap [ErrFormat], [ErrOrder] or [ErrNoData], or are those of the reader.
func (a *Archive) Data(e *Entry) (io.Reader, error) { return a.data.table(e) }
