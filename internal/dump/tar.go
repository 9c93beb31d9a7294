package dump

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"iter"
)

// tarMembers are the files of a tar, in their order, as they are read from live. An error is the last.
func tarMembers(live io.Reader, s source) iter.Seq2[*member, error] {
	return func(yield func(*member, error) bool) {
		at, random := live.(*io.SectionReader)
		files := tar.NewReader(live)
		for i := 1; ; i++ {
			h, err := files.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("tar: %w", err))
				return
			}
			if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse {
				continue
			}
			place := s.tarMember(i)
			if random && !sparse(h) {
				begin, _ := at.Seek(0, io.SeekCurrent)
				if h.Size <= at.Size()-begin { // or it is cut off, which the stream reports
					place = source{at: io.NewSectionReader(at, begin, h.Size)}
				}
			}
			if !yield(&member{name: h.Name, live: files, locate: func() (source, error) { return place, nil }}, nil) {
				return
			}
		}
	}
}

// sparse reports whether the bytes in the tar are not the bytes of the file.
func sparse(h *tar.Header) bool {
	return h.Typeflag == tar.TypeGNUSparse ||
		h.PAXRecords["GNU.sparse.major"] != "" || h.PAXRecords["GNU.sparse.map"] != ""
}

// tarMember is the member at that place, the first being 1.
func (s source) tarMember(place int) source {
	return source{stream: func(g *grant) (io.ReadCloser, error) {
		r, err := s.open(g)
		if err != nil {
			return nil, err
		}
		files := tar.NewReader(r)
		for range place {
			if _, err := files.Next(); err != nil {
				r.Close()
				return nil, fmt.Errorf("tar: %w", noEOF(err))
			}
		}
		return readCloser{files, r.Close}, nil
	}}
}
