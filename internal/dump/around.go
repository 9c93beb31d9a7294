package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// Around returns the packings around a content that accept accepts, from the outside in, such as [gzip tar]; nil if
// there is none in r, size bytes of it. Archives of PostgreSQL are not looked into, and r itself is not offered to
// accept, nor are the attachments in a zip of Odoo's. accept need not read all that it is given; it may be called
// for one content more than once, and from the caller's goroutine only.
//
// Memory comes from the budget of [SQL]. The error is that of r or of the context, or wraps [ErrBusy]. What is broken,
// or asks for more than a dump may have, holds nothing.
func Around(ctx context.Context, r io.ReaderAt, size int64, accept func(io.Reader) bool) (packings []string,
	err error) {
	m := &medium{r: r}
	err = forSQL.try(ctx, func(g *grant) error {
		defer g.release()
		a := &around{accept: accept, search: &search{
			limits: limits{unpacked: math.MaxInt64, searched: 16 << 30, spooled: 8 << 30}, grant: g, medium: m,
		}}
		packings, err = a.look(source{at: io.NewSectionReader(m, 0, size)}, 0)
		return err
	})
	switch {
	case m.err != nil:
		return nil, fmt.Errorf("dump: read: %w", m.err)
	case errors.Is(err, ErrBusy), ctx.Err() != nil:
		return nil, err
	}
	return packings, nil
}

// An around looks for the content that is accepted.
type around struct {
	*search
	accept func(io.Reader) bool
}

// look returns the packings around what is accepted in the content; nil if nothing is. An error may mean that not
// everything was seen.
func (a *around) look(from source, depth int) ([]string, error) {
	b, err := a.begin(nil, from, depth)
	if err != nil {
		return nil, err
	}
	if b.packing == "zip" || b.packing == "tar" {
		return a.archive(b, depth)
	}
	b.close() // its decoders hold memory that those of the content may need
	switch b.packing {
	case "", "sql", pgCustom, pgTOC:
		return nil, nil
	}
	unpacked := b.from.unpacked(unpack.Method(b.packing), a.limits.unpacked)
	accepted, err := a.offer(unpacked)
	if err != nil {
		return nil, err
	}
	if accepted {
		return []string{b.packing}, nil
	}
	return a.inside(b.packing, unpacked, depth)
}

// inside is look for a content of the packing.
func (a *around) inside(packing string, content source, depth int) ([]string, error) {
	inner, err := a.look(content, depth+1)
	if inner == nil {
		return nil, err
	}
	return append([]string{packing}, inner...), err
}

// archive looks into the members of a zip or tar.
func (a *around) archive(b *beginning, depth int) ([]string, error) {
	closeStream := sync.OnceValue(b.close)
	defer closeStream()
	members, _, copied, err := a.members(b.packing, b.live, b.from)
	if copied != nil {
		defer copied.close()
	}
	if err != nil {
		return nil, err
	}
	if b.packing == "zip" { // which is not read from the stream
		closeStream()
	}
	for m, err := range members {
		if err != nil {
			return nil, err
		}
		if attachments.MatchString(cleanName(m.name)) {
			continue
		}
		at, err := m.locate()
		if err != nil {
			continue
		}
		accepted := false
		if m.live != nil && at.at == nil {
			accepted = a.read(m.live)
		} else {
			accepted, err = a.offer(at)
		}
		if accepted {
			return []string{b.packing}, nil
		}
		// A member of a tar that is a stream is found again only by reading all that stands before it.
		if m.live == nil || at.at != nil {
			var found []string
			if found, err = a.inside(b.packing, at, depth); found != nil {
				return found, nil
			}
		}
		if a.ends(err) {
			return nil, err
		}
	}
	return nil, nil
}

// offer opens the content and has it read.
func (a *around) offer(content source) (accepted bool, err error) {
	r, err := content.open(a.grant)
	if err != nil {
		return false, err
	}
	defer r.Close()
	noting := &noting{r: r}
	accepted = a.read(noting)
	return accepted, noting.err
}

// read has accept read r. What it reads is not counted: it stops where the contents differ.
func (a *around) read(r io.Reader) bool {
	before := a.limits.searched
	accepted := a.accept(r)
	a.limits.searched = before
	return accepted
}

// noting keeps the error of reading, which accept does not return.
type noting struct {
	r   io.Reader
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	read, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return read, err
}
