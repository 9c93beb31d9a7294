package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/fixtures"
)

// What the dumps in fixtures hold; fixtures/README.md says how they were made.
const (
	fixturePostgres = "15"
	fixtureVersion  = "8.0"
	fixtureUUID     = "5c5ff0f6-56c4-11e5-9b25-3c970e9d8d32"
)

// fixture is a small real dump.
func fixture(name string) []byte { return bytes.Clone(fixtures.Dump(name)) }

// dump is what a platform can upgrade: made by pg_dump, in the custom format of the documented session.
func (c *checker) dump() []byte {
	if c.opts.Dump != nil {
		return c.opts.Dump
	}
	return fixture("openchs.cdump")
}

// sqlDump makes a plain dump of a database of the given PostgreSQL version that ends in the bytes of tail: a server
// that looks at dumps finds one, whatever the tail holds. The pg_dump that made it is of another version.
func sqlDump(version string, tail []byte) []byte {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version %s\n-- Dumped by "+
		"pg_dump version 10.23\n\n", version)
	buf.WriteString("SET client_encoding = 'UTF8';\n\nCREATE TABLE res_users (id integer, login text);\n\nCOPY " +
		"res_users (id, login) FROM stdin;\n1\tadmin\n\\.\n\n")
	buf.Write(tail)
	return buf.Bytes()
}

// sized makes a plain dump of exactly n bytes.
func sized(n int) []byte {
	dump := sqlDump("9.4.5", nil)
	return append(dump, "--"+strings.Repeat(" ", n-len(dump)-3)+"\n"...)
}

// everyByte holds each byte value several times and in several neighbourhoods.
func everyByte() []byte {
	var out []byte
	for i := range 256 {
		out = append(out, byte(i))
	}
	for i := range 256 {
		out = append(out, byte(255-i), byte(i), '\n')
	}
	return out
}

// someDump is n bytes of a plain dump whose lines hold their offsets.
func someDump(n int) []byte {
	out := make([]byte, 0, n+64)
	out = append(out, sqlDump("9.4.5", nil)...)
	for len(out) < n {
		at := len(out)
		out = append(out, "-- line at "...)
		out = append(strconv.AppendInt(out, int64(at), 10), '\n')
	}
	return out[:n]
}

// manyMiB is a plain dump of n MiB and a few bytes.
func manyMiB(n int) []byte {
	out := make([]byte, 0, n<<20+64)
	piece := someDump(1 << 20)
	for i := range n {
		out = append(out, piece...)
		out[len(out)-2] = byte('0' + i) // each MiB is another
	}
	return append(out, "-- end\n"...)
}

// random makes n bytes that don't compress, always the same for one seed and check.
func (c *checker) random(n int) []byte {
	out := make([]byte, 0, n+8)
	for len(out) < n {
		out = binary.LittleEndian.AppendUint64(out, c.rng.Uint64())
	}
	return out[:n]
}
