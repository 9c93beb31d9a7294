package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"regexp"
	"strings"

	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// limits bound what looking for a dump may cost.
type limits struct {
	unpacked int64 // bytes out of each decompressor that a dump is read from; what is behind them is not seen
	searched int64 // bytes out of all decompressors while the dump is looked for
	spooled  int64 // bytes of temporary files
	sniffing bool  // a cut dump will do, and the manifest is wanted, which may stand behind the dump
}

// A kind of dump, as psql and pg_restore distinguish them.
type kind int

const (
	nothing kind = iota
	text         // SQL
	custom       // an archive in one file
	files        // an archive in several files, of which one is the table of contents: the tar and directory formats
)

// How well something answers to what is looked for.
const (
	someSQL  = iota + 1 // text that begins as SQL does
	fullDump            // what pg_dump wrote
)

// A finding is the dump that was found in something.
type finding struct {
	kind     kind
	packings []string // from the outside in, without "sql" at the end
	source   source   // of the SQL, of the custom archive, or of the container of the files
	folder   string   // of the files in the container
	asTar    bool     // the files stand in the container as pg_dump writes the tar format
	rank     int
	archives int // zips and tars on the way to it
	manifest *manifest
	spools   []*spool // that source reads
}

func (f *finding) close() error {
	var errs []error
	for _, s := range f.spools {
		errs = append(errs, s.close())
	}
	f.spools = nil
	return errors.Join(errs...)
}

// better reports whether f is rather what is looked for than g: a whole dump before any SQL, and the fewer archives
// around it the better.
func (f *finding) better(g *finding) bool {
	return f.rank > g.rank || f.rank == g.rank && f.archives < g.archives
}

// A search looks for the dump, by content. It reads what it looks into once, from front to back where that is
// a stream; what it finds is opened anew.
type search struct {
	limits limits
	grant  *grant
	medium *medium
}

// Errors for what is no dump by itself, which name what it is.
var (
	errUnknown = errors.New("neither SQL nor any packing that is known")
	errEmpty   = errors.New("it is empty")
	errScript  = errors.New("restore.sql of a tar-format dump, which needs the other files of that dump")
	errTOC     = errors.New("toc.dat of a dump of several files, without the others")
	errBound   = errors.New("the dump was looked for up to a bound")
)

// ends reports whether an error ends a search, since it is no fault of what is looked into.
func (s *search) ends(err error) bool {
	var need *needError
	return s.medium.err != nil || s.grant.ctx.Err() != nil ||
		errors.As(err, &need) || errors.Is(err, ErrBusy) || errors.Is(err, errBound)
}

// look finds the dump in what live reads, which is what is at from; live may be nil, and is not used where from can be
// read at random. The result is never nil, and has to be closed. The error is why nothing was found, or why the search
// ended early.
func (s *search) look(live io.Reader, from source, depth int) (*finding, error) {
	b, err := s.begin(live, from, depth)
	if err != nil {
		return &finding{}, err
	}
	defer b.close()
	packing, head := b.packing, b.head
	live, from = b.live, b.from
	switch packing {
	case "":
		if len(head) == 0 {
			return &finding{}, errEmpty
		}
		return &finding{}, errUnknown
	case "sql":
		if bytes.Contains(head, []byte("replace $$PATH$$")) || bytes.Contains(head, []byte("Search for $$PATH$$")) {
			return &finding{}, errScript
		}
		return &finding{kind: text, source: from, rank: sqlRank(head)}, nil
	case pgCustom:
		return &finding{kind: custom, packings: []string{pgCustom}, source: from, rank: fullDump}, nil
	case pgTOC:
		return &finding{}, errTOC
	}
	switch packing {
	case "tar", "zip":
		return s.archive(packing, live, from, depth)
	}
	m := unpack.Method(packing)
	l := &lease{grant: s.grant}
	defer l.release()
	unpacked, err := unpack.New(m, live, l.take)
	if err != nil {
		return &finding{packings: []string{packing}}, fmt.Errorf("%s: %w", packing, err)
	}
	bound := s.limits.unpacked
	f, err := s.look(io.LimitReader(s.counted(unpacked), bound), from.unpacked(m, bound), depth+1)
	f.packings = append([]string{packing}, f.packings...)
	return f, err
}

// counted is r, with what is read from it taken from what the search may read.
func (s *search) counted(r io.Reader) io.Reader { return &counted{r, &s.limits.searched} }

type counted struct {
	r    io.Reader
	left *int64
}

func (c *counted) Read(p []byte) (int, error) {
	if *c.left <= 0 {
		return 0, errBound
	}
	n, err := c.r.Read(p)
	*c.left -= int64(n)
	return n, err
}

// A member is a file in a zip or tar.
type member struct {
	name   string
	live   io.Reader              // reads it while it is the one that the walk has come to; nil: open what locate finds
	locate func() (source, error) // finds where its bytes are
}

// cleanName is the name of a member without a beginning "./", and with slashes, which some programs for Windows do
// not write.
func cleanName(name string) string { return path.Clean(strings.ReplaceAll(name, `\`, "/")) }

// attachments are the files of Odoo's filestore, named for their SHA-1. They are not looked into.
var attachments = regexp.MustCompile(`(?:^|/)filestore/(?:.*/)?[0-9a-f]{2}/[0-9a-f]{40}$`)

// members returns the files in a zip or tar, and where that can be read: a copy, which is closed after the last use
// of the members, where a zip is a stream, since its directory is at the end.
func (s *search) members(packing string, live io.Reader, from source) (
	members iter.Seq2[*member, error], at source, copied *spool, err error,
) {
	if packing == "tar" {
		return tarMembers(live, from), from, nil, nil
	}
	if from.at == nil {
		copied, err = newSpool(live, s.limits.spooled)
		if copied != nil {
			s.limits.spooled -= copied.n
		}
		if err != nil {
			return nil, from, copied, fmt.Errorf("zip: %w", err)
		}
		from = copied.source()
	}
	return zipMembers(from.at, s.limits.unpacked), from, copied, nil
}

// archive finds the dump in a zip or tar.
func (s *search) archive(packing string, live io.Reader, from source, depth int) (*finding, error) {
	best := &finding{packings: []string{packing}}
	members, from, copied, err := s.members(packing, live, from)
	if copied != nil {
		defer func() { best.keep(copied) }()
	}
	if err != nil {
		return best, err
	}

	var (
		i         int
		done      bool // nothing better can come
		folder    string
		manifests = manifests{}
		reasons   []string
	)
	reason := func(name string, err error) {
		if len(reasons) < 3 {
			reasons = append(reasons, fmt.Sprintf("%s: %v", name, err))
		}
	}
	for m, err := range members {
		if err != nil {
			if s.ends(err) {
				return best, err
			}
			reason("the archive", err)
			break
		}
		name := cleanName(m.name)
		i++
		if done && !s.limits.sniffing {
			break
		}
		if path.Base(name) == "manifest.json" {
			manifests.read(path.Dir(name), m, s.grant)
			continue
		}
		if done || attachments.MatchString(name) {
			continue
		}
		f, err := s.member(m, depth)
		if errors.Is(err, errTOC) && len(f.packings) == 0 {
			f, err = &finding{
				kind: files, packings: []string{pgDirectory}, source: from, folder: path.Dir(name), rank: fullDump,
				asTar: i == 1 && packing == "tar" && m.name == "toc.dat",
			}, nil
		}
		if f.kind == nothing {
			f.close()
			if s.ends(err) {
				return best, err
			}
			if !errors.Is(err, errUnknown) && !errors.Is(err, errEmpty) {
				reason(name, err)
			}
			continue
		}
		f.packings = append([]string{packing}, f.packings...)
		f.archives++
		if !f.better(best) {
			f.close()
			continue
		}
		best.close()
		best, folder = f, path.Dir(name)
		done = best.rank == fullDump && best.archives == 1
		if s.ends(err) {
			return best, err
		}
	}
	if best.manifest == nil {
		best.manifest = manifests.of(folder)
	}
	if best.kind == nothing {
		if len(reasons) > 0 {
			return best, fmt.Errorf("%s: no dump in it; %s", packing, strings.Join(reasons, "; "))
		}
		return best, fmt.Errorf("%s: no dump in it", packing)
	}
	return best, nil
}

// member finds the dump in a member of an archive that is depth packings deep.
func (s *search) member(m *member, depth int) (*finding, error) {
	at, err := m.locate()
	if err != nil {
		return &finding{}, err
	}
	return s.look(m.live, at, depth+1)
}

// keep has a temporary file live as long as the finding that reads it.
func (f *finding) keep(s *spool) {
	if f.kind == nothing {
		s.close()
		return
	}
	f.spools = append(f.spools, s)
}
