package refserver

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"regexp"
)

// size is a size in the words of status.
func size(n int, unit float64) string {
	v := float64(n)
	for _, u := range []string{"b", "Kb", "Mb", "Gb"} {
		if v < unit {
			return fmt.Sprintf("%.2f %s", v, u)
		}
		v /= unit
	}
	return "large"
}

// description is what can be read out of a dump.
type description struct {
	compressions              []string
	postgresql, version, uuid string
}

var (
	dumpedFrom = regexp.MustCompile(`-- Dumped from database version (\d+)\.(\d+)`)
	uuidRow    = regexp.MustCompile(`database\.uuid\t([0-9a-f-]{36})`)
	customFrom = regexp.MustCompile(`(\d+)\.\d+ \(Debian`)
)

func describe(dump []byte) description {
	var d description
	plain := dump
	switch {
	case bytes.HasPrefix(dump, []byte("PGDMP")):
		d.compressions = []string{"pgdmp_custom", "sql"}
		if m := customFrom.FindSubmatch(dump[:min(len(dump), 4096)]); m != nil {
			d.postgresql = string(m[1])
		}
		return d
	case bytes.HasPrefix(dump, []byte("\x1f\x8b")), bytes.HasPrefix(dump, []byte("PK\x03\x04")):
		d.compressions = []string{"gzip", "sql"}
		if dump[0] == 'P' {
			d.compressions[0] = "zip"
		}
		plain = plainSQL(dump)
	default:
		d.compressions = []string{"sql"}
	}
	plain = plain[:min(len(plain), 1<<20)]
	if m := dumpedFrom.FindSubmatch(plain); m != nil {
		d.postgresql = string(m[1])
		if len(m[1]) == 1 {
			d.postgresql += "." + string(m[2])
		}
	}
	if m := uuidRow.FindSubmatch(plain); m != nil {
		d.uuid, d.version = string(m[1]), "8.0"
	}
	return d
}

// plainSQL is the text of what was uploaded. It knows no custom format, and makes some text up for it.
func plainSQL(dump []byte) []byte {
	switch {
	case bytes.HasPrefix(dump, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(bytes.NewReader(dump))
		if err != nil {
			return nil
		}
		text, _ := io.ReadAll(z)
		return text
	case bytes.HasPrefix(dump, []byte("PK\x03\x04")):
		z, err := zip.NewReader(bytes.NewReader(dump), int64(len(dump)))
		if err != nil {
			return nil
		}
		f, err := z.Open("dump.sql")
		if err != nil {
			return nil
		}
		text, _ := io.ReadAll(f)
		return text
	case bytes.HasPrefix(dump, []byte("PGDMP")):
		return []byte("--\n-- PostgreSQL database dump\n--\nSET client_encoding = 'UTF8';\nCREATE TABLE res_users " +
			"(id integer);\n")
	}
	return dump
}
