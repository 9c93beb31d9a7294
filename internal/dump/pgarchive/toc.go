package pgarchive

import "strconv"

// A Version of the archive format, comparable with <.
type Version int

// The versions at which something was added that a reader has to know.
const (
	v1_10 Version = 0x010A // 8.0: tablespaces; the oldest that is read
	v1_11 Version = 0x010B // 8.4: sections
	v1_12 Version = 0x010C // 9.0: large objects as entries of their own
	v1_14 Version = 0x010E // 12: table access methods
	v1_15 Version = 0x010F // 16: the compression method instead of a level
	v1_16 Version = 0x0110 // 17: relation kinds, many large objects per entry; the newest that is read
)

func (v Version) String() string { return strconv.Itoa(int(v>>8)) + "." + strconv.Itoa(int(v&0xFF)) }

// A Format is how the data of an archive is kept.
type Format byte

// The formats that hold data. The table of contents of a directory archive calls itself Tar.
const (
	Custom    Format = 1
	Tar       Format = 3
	Directory Format = 5
)

// A Compression is how each piece of data is compressed.
type Compression byte

// The methods, with the numbers that the format gives them.
const (
	None Compression = 0
	Gzip Compression = 1
	LZ4  Compression = 2
	Zstd Compression = 3
)

// String returns the name of the method: "none", "gzip", "lz4" or "zstd".
func (c Compression) String() string {
	names := [...]string{None: "none", Gzip: "gzip", LZ4: "lz4", Zstd: "zstd"}
	if int(c) >= len(names) {
		return strconv.Itoa(int(c))
	}
	return names[c]
}

// Header is the head of an archive.
type Header struct {
	Version       Version
	Format        Format
	Compression   Compression
	Database      string // name of the database that was dumped
	ServerVersion string // of the server that was dumped, such as "9.4.5"
	DumpVersion   string // of the pg_dump that did it
}

// An Entry is one line of the table of contents: something to create, or data to load.
type Entry struct {
	ID           int
	HasData      bool    // there is data in the archive, behind the table of contents
	Tag          string  // name of the thing
	Desc         string  // kind of the thing: TABLE, TABLE DATA, ACL …
	Definition   string  // SQL that creates it
	Drop         string  // SQL that drops it
	Copy         string  // the COPY statement of a TABLE DATA entry; empty when the data are statements
	Namespace    string  // schema
	Tablespace   *string // nil: none of its business
	AccessMethod *string // nil: none of its business
	RelationKind rune    // pg_class.relkind, 0 if not known
	Owner        string
	Dependencies []int

	filename string // tar and directory: the file with the data
	offset   int64  // custom: where the data is; 0: not known
	empty    bool   // custom: the archive says that there is no data
}

// memory is about how many bytes the entry takes.
func (e *Entry) memory() int64 {
	const entry = 320 // with its place in the table, which grows by doubling
	text := len(e.Tag) + len(e.Desc) + len(e.Definition) + len(e.Drop) + len(e.Copy) + len(e.Namespace) +
		len(e.Owner) + len(e.filename)
	return int64(entry + text + 16*len(e.Dependencies))
}

// header reads the head of an archive, up to the table of contents.
func (d *decoder) header() (h Header) {
	for _, want := range []byte(Magic) {
		if d.byte() != want {
			d.fail("it does not begin with %q", Magic)
		}
	}
	h.Version = Version(d.byte()) << 8
	h.Version |= Version(d.byte())
	d.byte() // revision
	if d.err == nil && (h.Version < v1_10 || h.Version > v1_16) {
		d.fail("version %s: only %s to %s are known", h.Version, v1_10, v1_16)
	}
	d.intSize, d.offSize = int(d.byte()), int(d.byte())
	if d.err == nil && (d.intSize < 4 || d.intSize > 8 || d.offSize < 4 || d.offSize > 8) {
		d.fail("integers of %d and offsets of %d bytes", d.intSize, d.offSize)
	}
	h.Format = Format(d.byte())
	if h.Version >= v1_15 {
		h.Compression = Compression(d.byte())
	} else if level := d.int(); level != 0 {
		h.Compression = Gzip
	}
	if h.Compression > Zstd {
		d.fail("unknown compression method %d", h.Compression)
	}
	for range 7 { // local time of the dump: seconds … year, and whether it was summer
		d.int()
	}
	h.Database = d.string()
	h.ServerVersion = d.string()
	h.DumpVersion = d.string()
	return h
}

// toc reads the table of contents.
func (d *decoder) toc(h *Header) []*Entry {
	count := d.int()
	var entries []*Entry
	for i := 0; i < count && d.err == nil; i++ {
		e := d.entry(h)
		d.keep(e.memory())
		entries = append(entries, e)
	}
	return entries
}

func (d *decoder) entry(h *Header) *Entry {
	e := &Entry{ID: d.int()}
	e.HasData = d.int() != 0
	d.string() // oid of the catalogue
	d.string() // oid
	e.Tag = d.string()
	e.Desc = d.string()
	if h.Version >= v1_11 {
		d.int() // section
	}
	e.Definition = d.string()
	e.Drop = d.string()
	e.Copy = d.string()
	e.Namespace = d.string()
	e.Tablespace = d.optional()
	if h.Version >= v1_14 {
		e.AccessMethod = d.optional()
	}
	if h.Version >= v1_16 {
		e.RelationKind = rune(d.int())
	}
	e.Owner = d.string()
	d.string() // WITH OIDS, until PostgreSQL 11
	for d.err == nil {
		dependency := d.optional()
		if dependency == nil {
			break
		}
		if id, err := strconv.Atoi(*dependency); err == nil {
			e.Dependencies = append(e.Dependencies, id)
		}
	}
	if h.Format == Custom {
		d.offset(e)
	} else {
		e.filename = d.string()
	}
	return e
}

// offset reads where the data of an entry of the custom format lies: a flag, then a number that counts only with flag
// 2.
func (d *decoder) offset(e *Entry) {
	const known, noData = 2, 3
	flag := d.byte()
	pos := d.unsigned(d.offSize)
	switch {
	case flag == known && pos < 1<<63:
		e.offset = int64(pos)
	case flag == noData:
		e.empty = true
	}
}
