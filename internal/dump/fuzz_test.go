package dump_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
)

func addSeeds(f *testing.F) {
	for _, name := range realDumps {
		f.Add(fixtures.Dump(name))
	}
	for _, packings := range [][]string{{"zstd"}, {"lz4"}, {"zip"}, {"storedzip"}, {"tar"}, {"zip", "gzip"}} {
		f.Add([]byte(packed(f, "-- Dumped from database version 9.4.5\n", packings...)))
	}
	for _, pack := range containers {
		f.Add([]byte(pack(f, directory(f, "gzip")...)))
		f.Add([]byte(pack(f, directory(f, "")...)))
		f.Add([]byte(pack(f, member{"a.gz", packed(f, "x", "gzip")}, member{"b/manifest.json", `{"version": "16.0"}`},
			member{"b/c", theDump})))
	}
	f.Add([]byte(zstdBomb(20, 1))) // what asks for much would slow the search down
	f.Add([]byte(xzBomb(f, 16)))
	f.Add([]byte(tocBomb(2)))
	for _, method := range []uint16{9, 12, 14, 93, 95, 98, 99} {
		f.Add(methodZip(method, 0, "x", "x"))
	}
	f.Add([]byte("INSERT INTO ir_config_parameter (key, value) VALUES (E'database.uuid', 'a''b'), ($$x$$, \"y\"); /* " +
		"/* */ */ --\n"))
	f.Add([]byte("SET standard_conforming_strings = off;\nCOPY ir_module_module (name, latest_version) FROM stdin;\n" +
		"base\t8.0.1.3\n\\.\n"))
}

// Whatever the bytes, Sniff describes them, the same each time.
func FuzzSniff(f *testing.F) {
	addSeeds(f)
	known := []string{"sql", "pgdmp_custom", "pgdmp_tar", "pgdmp_directory", "gzip", "bzip2", "xz", "zstd", "lz4", "zip",
		"tar"}
	f.Fuzz(func(t *testing.T, b []byte) {
		info := sniff(b)
		if info.Compressions == nil {
			t.Error("Compressions is nil")
		}
		for i, c := range info.Compressions {
			if !slices.Contains(known, c) || c == "sql" && i != len(info.Compressions)-1 {
				t.Errorf("Compressions %q", info.Compressions)
			}
		}
		if len(info.Compressions) > dump.MaxDepth+1 {
			t.Errorf("%d packings", len(info.Compressions))
		}
		for _, s := range []string{info.PostgreSQL, info.DatabaseVersion, info.DatabaseUUID} {
			if len(s) > 64 {
				t.Errorf("%d bytes where a version or a UUID belongs", len(s))
			}
		}
	})
}

// Whatever the bytes, there is SQL or the error says that there is none; and where there is some, Sniff has seen it.
func FuzzSQL(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := dump.SQL(context.Background(), bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, dump.ErrNotSQL) {
				t.Errorf("error %v is not ErrNotSQL", err)
			}
			return
		}
		defer r.Close()
		if c := sniff(b).Compressions; len(c) == 0 || c[len(c)-1] != "sql" {
			t.Errorf("there is SQL, but Sniff says %q", c)
		}
		_, _ = io.CopyN(io.Discard, r, 8<<20)
	})
}
