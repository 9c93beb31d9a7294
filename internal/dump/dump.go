// Package dump looks into the databases that people upload: what they are packed in, which PostgreSQL and which Odoo
// they come from, and the plain SQL inside, whatever is around it.
//
// Everything is recognized by its content, never by a file's name. Known packings are gzip, bzip2, xz, zstd, lz4, zip
// and tar, PostgreSQL's custom, tar and directory formats, in each other up to [MaxDepth] deep, and plain SQL at the
// bottom. Zips and tars are looked through until a dump is found that pg_dump wrote; where there is none, the first
// text that begins like SQL is taken. Of several dumps the one is taken that is in the fewest archives, then the
// first; in a zip dump.sql, where Odoo puts it, comes first.
//
//	info := dump.Sniff(file, size)     // {[gzip pgdmp_custom sql] 9.4 8.0 5c5ff0f6-…}
//	sql, err := dump.SQL(file, size)   // what "gunzip | pg_restore -f -" would write
//
// Memory stays flat, however large a dump is: files are read where they are, and streams are streamed. What has to be
// held, the windows of decoders and the tables of contents of archives, comes out of one budget for all dumps that
// are open at the same time. A dump that asks for more than there is fails, one that asks for more than is free
// waits. What can only be read at random, inside another packing, goes through a temporary file.
package dump

import (
	"errors"
	"fmt"
	"strconv"
)

// Errors of [SQL] that callers may test for with errors.Is.
var (
	// ErrNotSQL: there is no SQL to be had from the dump; the text of the error says why.
	ErrNotSQL = errors.New("dump: no SQL in it")
	// ErrUnknown: it is ErrNotSQL, because not even a packing is known around what is there. It may be made up for
	// a test.
	ErrUnknown = fmt.Errorf("%w: neither SQL nor any packing that is known", ErrNotSQL)
	// ErrBroken: the dump is cut or broken behind what has been read of it.
	ErrBroken = errors.New("dump: it is broken further on")
	// ErrBusy: other dumps hold the memory, or the room for temporary files, that this one needs. It may succeed
	// later.
	ErrBusy = errors.New("dump: no memory is free")
)

// MaxDepth is how many packings inside each other are opened.
const MaxDepth = 8

// Info describes a dump. What is not known is empty.
type Info struct {
	// Compressions are the packings from the outside in, as the documented sample has it: ["pgdmp_custom", "sql"].
	// Others by the same pattern (assumed): ["gzip", "sql"], ["zip", "sql"], ["gzip", "pgdmp_tar", "sql"], ["sql"].
	// Without "sql" at the end nothing known was found in there. Never nil.
	Compressions []string
	// PostgreSQL is the server's version as people call it: "9.4", "15".
	PostgreSQL string
	// DatabaseVersion is Odoo's version as people call it: "8.0", "saas~14.3".
	DatabaseVersion string
	// DatabaseUUID is Odoo's database.uuid.
	DatabaseUUID string
	// DataCompression is how the data files of a dump in the directory format are compressed: "none", "gzip", "lz4" or
	// "zstd". It is empty for all other dumps, which tell it by Compressions.
	DataCompression string `json:",omitempty"`
}

// Size writes a number of bytes as the documented sample does: "912.99 Kb". The base 1024 and the other units, b, Mb,
// Gb and Tb, are assumed.
func Size(n int64) string {
	units := []string{"b", "Kb", "Mb", "Gb", "Tb"}
	size, unit := float64(max(n, 0)), 0
	for size >= 1023.995 && unit < len(units)-1 { // from here on two decimals would say 1024.00
		size /= 1024
		unit++
	}
	return strconv.FormatFloat(size, 'f', 2, 64) + " " + units[unit]
}
