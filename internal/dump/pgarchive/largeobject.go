package pgarchive

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// largeObjectPiece is how many bytes of a large object go into one statement, as pg_restore has it.
const largeObjectPiece = 16 << 10

// largeObject writes one large object: opened (and, before 9.0, created), written piece by piece, closed.
func (r *restorer) largeObject(oid uint64, data io.Reader) error {
	const forWriting = "131072"
	id := strconv.FormatUint(oid, 10)
	if r.a.Version < v1_12 {
		r.text("SELECT pg_catalog.lo_open(pg_catalog.lo_create('", id, "'), ", forWriting, ");\n")
	} else {
		r.text("SELECT pg_catalog.lo_open('", id, "', ", forWriting, ");\n")
	}
	begin := `SELECT pg_catalog.lowrite(0, '\x`
	if !r.standardStrings {
		begin = `SELECT pg_catalog.lowrite(0, '\\x`
	}
	piece := make([]byte, largeObjectPiece)
	digits := hex.NewEncoder(r.w)
	for {
		n, err := io.ReadFull(data, piece)
		if n > 0 {
			r.text(begin)
			if _, err := digits.Write(piece[:n]); err != nil {
				return err // nobody wants the rest
			}
			r.text("');\n")
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("large object %d: %w", oid, err)
		}
	}
	r.text("SELECT pg_catalog.lo_close(0);\n\n")
	return nil
}

// each writes one statement for each large object of a BLOB METADATA entry.
func (r *restorer) each(e *Entry, before, after string) {
	for oid := range strings.FieldsSeq(e.Definition) {
		r.text(before, oid, after, ";\n")
	}
	r.text("\n")
}

// oneLargeObject is where a statement names its large object.
var oneLargeObject = regexp.MustCompile(`LARGE OBJECT \d+`)

// largeObjectRights writes, for each large object of the entry that this one depends on, the statements
// that are given for one of them.
func (r *restorer) largeObjectRights(e *Entry) {
	if len(e.Dependencies) == 0 {
		return
	}
	for _, objects := range r.a.Entries {
		if objects.ID != e.Dependencies[0] {
			continue
		}
		for _, statement := range statements(e.Definition) {
			at := oneLargeObject.FindStringIndex(statement)
			if at == nil {
				r.text(statement, ";\n")
				continue
			}
			r.each(objects, statement[:at[0]]+"LARGE OBJECT ", statement[at[1]:])
		}
	}
}

// statements splits SQL at the semicolons that are not in a quoted name.
func statements(sql string) (all []string) {
	quoted, begin := false, 0
	for i := range len(sql) {
		switch sql[i] {
		case '"':
			quoted = !quoted
		case ';':
			if !quoted {
				all = append(all, strings.TrimSpace(sql[begin:i]))
				begin = i + 1
			}
		}
	}
	return all
}
