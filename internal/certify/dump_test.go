package certify

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// The dump that clients are told to send is one: pg_restore and the emulator read it, and it has bytes that no text
// has.
func TestWriteDump(t *testing.T) {
	t.Parallel()
	restore := testprog.Need(t, "pg_restore", "postgresql")
	path := filepath.Join(t.TempDir(), dumpName)
	if err := writeDump(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info := dump.Sniff(bytes.NewReader(data), int64(len(data)))
	want := dump.Info{
		Compressions: []string{"pgdmp_custom", "sql"}, PostgreSQL: "15", DatabaseVersion: "8.0",
		DatabaseUUID: "5c5ff0f6-56c4-11e5-9b25-3c970e9d8d32",
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	sql, err := exec.CommandContext(t.Context(), restore, "-f", "-", path).Output()
	if err != nil {
		t.Fatalf("pg_restore: %v", err)
	}
	if len(sql) < 2*noise { // two digits for each byte
		t.Errorf("pg_restore writes %d bytes of SQL, want the %d bytes of noise in it", len(sql), noise)
	}
	ours, err := dump.SQL(t.Context(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if n, err := io.Copy(io.Discard, ours); err != nil || n < 2*noise {
		t.Errorf("%d bytes of SQL, %v", n, err)
	}
	for _, part := range []string{"\x00", "\r\n", "\n", "\r", "\x1a", "\ufffd"[:1]} {
		if !bytes.Contains(data, []byte(part)) {
			t.Errorf("the dump has no %q", part)
		}
	}
	if trimmed := bytes.TrimRight(data, "\n"); len(trimmed) == len(data) {
		t.Error("the dump does not end with a line end, so nobody would see that a client cuts it off")
	}
	if utf8.Valid(data) || len(data) < noise {
		t.Errorf("%d bytes, a text: %v", len(data), utf8.Valid(data))
	}
}

func TestGrown_other(t *testing.T) {
	t.Parallel()
	for _, archive := range []string{"", "PGDMP", "PGDMP\x78\x9c", "-- PostgreSQL database dump\n"} {
		if _, err := grown([]byte(archive)); err == nil {
			t.Errorf("%q was made longer", archive)
		}
	}
}
