package dump

import (
	"bytes"
	"encoding/json"
	"io"
	"path"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

const (
	manifestSize  = 4 << 20 // bytes of a manifest.json that are read
	manifestCount = 64      // manifests of one archive that are kept
)

// A manifest is what manifest.json of Odoo's backup says of it: Odoo's version, and the server's.
type manifest struct {
	version, server string
	odoo            bool // it says that it is one of Odoo's
}

// manifests are those of one zip or tar, by their folders.
type manifests map[string]*manifest

// read keeps the member, if it is a manifest that has facts.
func (m manifests) read(folder string, file *member, g *grant) {
	if len(m) >= manifestCount {
		return
	}
	live := file.live
	if live == nil {
		at, err := file.locate()
		if err != nil {
			return
		}
		r, err := at.open(g)
		if err != nil {
			return
		}
		defer r.Close()
		live = r
	}
	b, _ := io.ReadAll(io.LimitReader(live, manifestSize))
	if parsed := readManifest(b); parsed.version != "" || parsed.server != "" {
		m[folder] = parsed
	}
}

// of returns the manifest that belongs to a dump in folder: the one beside it or next above it, else the one that
// is Odoo's, if there is one alone; nil where there is none.
func (m manifests) of(folder string) *manifest {
	for {
		if found := m[folder]; found != nil {
			return found
		}
		if folder == "." || folder == "/" {
			break
		}
		folder = path.Dir(folder)
	}
	var alone *manifest
	for _, candidate := range m {
		switch {
		case !candidate.odoo:
		case alone != nil:
			return nil
		default:
			alone = candidate
		}
	}
	return alone
}

// readManifest takes the facts from a manifest, each key by itself: one of a wrong type does not speak against
// the others.
func readManifest(b []byte) *manifest {
	// Editors and shells of Windows put a byte order mark before it.
	b, _, _ = transform.Bytes(unicode.BOMOverride(transform.Nop), b)
	var fields map[string]json.RawMessage
	if json.Unmarshal(bytes.TrimSpace(b), &fields) != nil {
		return &manifest{}
	}
	value := func(key string) string {
		var s string
		if json.Unmarshal(fields[key], &s) == nil {
			return s
		}
		var n json.Number
		_ = json.Unmarshal(fields[key], &n) // 14.0 is as good as "14.0"
		return n.String()
	}
	m := &manifest{server: value("pg_version"), odoo: fields["odoo_dump"] != nil}
	for _, key := range []string{"major_version", "version"} {
		if v := value(key); m.version == "" && odooName(v) != "" {
			m.version = v
		}
	}
	return m
}
