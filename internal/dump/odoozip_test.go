package dump_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

func build(t *testing.T, o dump.OdooZip) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := dump.BuildOdooZip(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Sniff finds in a built backup what it was built with.
func TestBuildOdooZip_sniffed(t *testing.T) {
	t.Parallel()
	original := fixtures.Dump("openchs.sql")
	for name, tt := range map[string]struct {
		o    dump.OdooZip
		want dump.Info
	}{
		"nothing given": {dump.OdooZip{}, dump.Info{PostgreSQL: "15", DatabaseVersion: "8.0",
			DatabaseUUID: "00000000-0000-4000-8000-000000000000"}},
		"all given": {dump.OdooZip{DBName: "db", Version: "13.0", UUID: "it's-mine", PostgreSQL: "9.4.5"},
			dump.Info{PostgreSQL: "9.4", DatabaseVersion: "13.0", DatabaseUUID: "it's-mine"}},
		"with the uploaded SQL": {dump.OdooZip{Version: "13.0", SQL: bytes.NewReader(original)},
			dump.Info{PostgreSQL: "15", DatabaseVersion: "13.0", DatabaseUUID: "5c5ff0f6-56c4-11e5-9b25-3c970e9d8d32"}},
	} {
		tt.want.Compressions = []string{"zip", "sql"}
		if diff := cmp.Diff(tt.want, sniff(build(t, tt.o))); diff != "" {
			t.Errorf("%s: Sniff (-want +got):\n%s", name, diff)
		}
	}
}

// It has the files that Odoo's backups have, where clients look for them.
func TestBuildOdooZip_files(t *testing.T) {
	t.Parallel()
	sql := string(fixtures.Dump("openchs.sql"))
	b := build(t, dump.OdooZip{DBName: "db", Version: "13.0", SQL: strings.NewReader(sql)})
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		switch {
		case f.Name == "dump.sql" && string(content) != sql:
			t.Error("dump.sql is not the SQL that was given")
		case f.Name == "manifest.json":
			var got map[string]any
			if err := json.Unmarshal(content, &got); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{
				"odoo_dump": "1", "db_name": "db", "version": "13.0", "major_version": "13.0", "pg_version": "15.0",
				"version_info": []any{13.0, 0.0, 0.0, "final", 0.0, ""},
				"modules":      map[string]any{"base": "13.0.1.3"},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("manifest.json (-want +got):\n%s", diff)
			}
		case strings.HasPrefix(f.Name, "filestore/"):
			sum := fmt.Sprintf("%x", sha1.Sum(content))
			if want := "filestore/" + sum[:2] + "/" + sum; f.Name != want {
				t.Errorf("%s should be called %s after its content", f.Name, want)
			}
		}
	}
	if len(names) != 3 || names[0] != "dump.sql" || names[1] != "manifest.json" {
		t.Errorf("files %q; want dump.sql, manifest.json, one in filestore/", names)
	}
}

// The filestore holds the files that are given, or none; packing quickly changes no content.
func TestBuildOdooZip_filestore(t *testing.T) {
	t.Parallel()
	store := fstest.MapFS{"ab/abc": {Data: []byte("one")}, "cd/cde": {Data: []byte("two")}, "link": {Mode: fs.ModeSymlink}}
	for name, tt := range map[string]struct {
		o    dump.OdooZip
		want map[string]string
	}{
		"given": {dump.OdooZip{Filestore: store}, map[string]string{"filestore/ab/abc": "one", "filestore/cd/cde": "two"}},
		"fast": {dump.OdooZip{Filestore: store, Fast: true},
			map[string]string{"filestore/ab/abc": "one", "filestore/cd/cde": "two"}},
		"none":     {dump.OdooZip{NoFilestore: true, Filestore: store}, map[string]string{}},
		"an empty": {dump.OdooZip{Filestore: fstest.MapFS{}}, map[string]string{}},
	} {
		tt.o.SQL = strings.NewReader("SELECT 1;")
		b := build(t, tt.o)
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, f := range z.File {
			text, err := fs.ReadFile(z, f.Name)
			if err != nil {
				t.Error(err)
			}
			got[f.Name] = string(text)
		}
		delete(got, "manifest.json")
		tt.want["dump.sql"] = "SELECT 1;"
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// Padding makes the archive as large as wanted, by one file of the filestore, and changes nothing else.
func TestBuildOdooZip_padding(t *testing.T) {
	t.Parallel()
	const size = 3<<20 + 1
	b := build(t, dump.OdooZip{Padding: size})
	if len(b) < size {
		t.Errorf("%d bytes, want at least %d", len(b), size)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	last := z.File[len(z.File)-1]
	if last.UncompressedSize64 != size || !strings.HasPrefix(last.Name, "filestore/") {
		t.Errorf("the last file is %s of %d bytes, want %d in filestore/", last.Name, last.UncompressedSize64, size)
	}
	if diff := cmp.Diff(sniff(build(t, dump.OdooZip{})), sniff(b)); diff != "" {
		t.Errorf("Sniff without (-) and with (+) padding:\n%s", diff)
	}
}

func TestBuildOdooZip_sameBytes(t *testing.T) {
	t.Parallel()
	if !bytes.Equal(build(t, dump.OdooZip{}), build(t, dump.OdooZip{})) {
		t.Error("the same values gave different bytes")
	}
}

func TestBuildOdooZip_unzip(t *testing.T) {
	t.Parallel()
	unzip := testprog.Need(t, "unzip", "unzip")
	file := filepath.Join(t.TempDir(), "built.zip")
	if err := os.WriteFile(file, build(t, dump.OdooZip{}), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(unzip, "-t", file).CombinedOutput(); err != nil {
		t.Errorf("unzip -t: %v\n%s", err, out)
	}
}

func TestBuildOdooZip_errors(t *testing.T) {
	t.Parallel()
	if err := dump.BuildOdooZip(io.Discard, dump.OdooZip{SQL: errorReader{}}); !errors.Is(err, errMedium) {
		t.Errorf("error %v, want that of the SQL", err)
	}
	if err := dump.BuildOdooZip(errorWriter{}, dump.OdooZip{}); !errors.Is(err, errMedium) {
		t.Errorf("error %v, want that of the writer", err)
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errMedium }

type errorWriter struct{}

func (errorWriter) Write([]byte) (int, error) { return 0, errMedium }
