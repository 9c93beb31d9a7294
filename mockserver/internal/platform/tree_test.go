package platform

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
)

// begin begins an upload.
func begin(tb testing.TB, r *Request) *TreeUpload {
	tb.Helper()
	u, err := r.BeginUpload()
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

var modified = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// write puts files into an upload as rsync does, with a time of theirs.
func write(tb testing.TB, u *TreeUpload, files map[string]string) (written []TreeFile) {
	tb.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := u.Root().MkdirAll(path.Dir(name), 0o700)
		if err == nil {
			err = u.Root().WriteFile(name, []byte(files[name]), 0o600)
		}
		if err == nil {
			err = u.Root().Chtimes(name, modified, modified)
		}
		if err != nil {
			tb.Fatal(err)
		}
		written = append(written, TreeFile{Name: name, Size: int64(len(files[name])), Sent: int64(len(files[name]))})
	}
	return written
}

func end(tb testing.TB, u *TreeUpload, ok bool, sent ...TreeFile) Snapshot {
	tb.Helper()
	s, err := ending(u, ok, sent)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// ending ends an upload of files that were sent, and of others that were there.
func ending(u *TreeUpload, ok bool, sent []TreeFile, skipped ...TreeFile) (Snapshot, error) {
	for _, f := range sent {
		u.Note(f, false)
	}
	for _, f := range skipped {
		u.Note(f, true)
	}
	return u.End(ok, sent)
}

// rsync uploads files in one session.
func rsync(tb testing.TB, r *Request, files map[string]string) Snapshot {
	tb.Helper()
	u := begin(tb, r)
	return end(tb, u, true, write(tb, u, files)...)
}

// An upload is a dump if it is one file, or a directory with toc.dat; otherwise it says why it is not. Another upload
// takes its place.
func TestTreeUpload(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), func(o *Options) { o.MaxDump = 1000 })
	r := createScript(t, p)
	if s := r.Snapshot(); s.Upload != nil || s.HasDump {
		t.Errorf("before an upload: %+v", s)
	}
	for _, tt := range []struct {
		files map[string]string
		want  UploadInfo
		sum   string
		left  []string // in /data
		packs []string
	}{
		{map[string]string{"origin.sql": "SELECT 1;"},
			UploadInfo{Name: "origin.sql", Files: 1, Size: 9}, crc("SELECT 1;"), []string{"origin.sql"}, []string{"sql"}},
		{map[string]string{"origin.dump/toc.dat": "PGDMP?", "origin.dump/1.dat": "x"},
			UploadInfo{Name: "origin.dump", Directory: true, Files: 2, Size: 7}, "", []string{"origin.dump"},
			[]string{"pgdmp_directory", "sql"}},
		{map[string]string{"origin.dump": "PGDMP"}, // a file takes the place of a directory
			UploadInfo{Name: "origin.dump", Files: 1, Size: 5}, crc("PGDMP"), []string{"origin.dump"},
			[]string{"pgdmp_custom", "sql"}},
		{map[string]string{"one.dump/1.dat": "x"}, // a directory, though it has one file
			UploadInfo{Name: "one.dump", Incomplete: "the directory one.dump has no toc.dat; upload a directory that " +
				"pg_dump -Fd wrote, or one file"}, "", []string{"one.dump"}, nil},
		{map[string]string{"odd.dump/toc.dat/x": "PGDMP"},
			UploadInfo{Name: "odd.dump", Incomplete: "the directory odd.dump has no toc.dat; upload a directory that " +
				"pg_dump -Fd wrote, or one file"}, "", []string{"odd.dump"}, nil},
		{map[string]string{".origin.sql": "x"},
			UploadInfo{Name: ".origin.sql", Incomplete: "the name .origin.sql begins with a dot; upload it under another one"},
			"", []string{".origin.sql"}, nil},
		{map[string]string{"origin/a.dat": "x", "origin/deep/b.dat": "x"},
			UploadInfo{Name: "origin", Incomplete: "the directory origin has no toc.dat; upload a directory that " +
				"pg_dump -Fd wrote, or one file"}, "", []string{"origin"}, nil},
		{map[string]string{"a.sql": "x", "b.sql": "y"},
			UploadInfo{Incomplete: "several things were uploaded, a.sql, b.sql; upload one file, or one directory"}, "",
			[]string{"a.sql", "b.sql"}, nil},
		{map[string]string{"origin.sql": strings.Repeat("x", 1001)},
			UploadInfo{Name: "origin.sql", Incomplete: "it has 1001 bytes, and a dump may have up to 1000"}, "",
			[]string{"origin.sql"}, nil},
		{nil, UploadInfo{Name: "origin.sql", Incomplete: "it has 1001 bytes, and a dump may have up to 1000"}, "",
			[]string{"origin.sql"}, nil},
	} {
		u := begin(t, r)
		for name := range tt.files { // what rsync's server does where a form changes
			if info, err := u.Root().Lstat(name); err == nil && info.IsDir() {
				u.Root().RemoveAll(name)
			}
		}
		s := end(t, u, true, write(t, u, tt.files)...)
		if diff := cmp.Diff(&tt.want, s.Upload, cmpopts.IgnoreFields(UploadInfo{}, "Sessions")); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		complete := tt.want.Incomplete == ""
		if s.HasDump != complete || s.DumpSize != tt.want.Size || s.Filename != tt.want.Name {
			t.Errorf("%+v, want complete: %v", s, complete)
		}
		if s.DumpChecksum != tt.sum {
			t.Errorf("%s: the checksum is %s, want %s", tt.want.Name, s.DumpChecksum, tt.sum)
		}
		if diff := cmp.Diff(tt.packs, s.Described.Compressions); diff != "" {
			t.Errorf("%s: Compressions (-want +got)\n%s", tt.want.Name, diff)
		}
		if diff := cmp.Diff(tt.left, listing(t, p, r)); diff != "" {
			t.Errorf("what is left of %v (-want +got)\n%s", tt.files, diff)
		}
	}
}

func crc(text string) string {
	return fmt.Sprintf("crc32c:%08x", crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)))
}

// listing is what is in a request's /data.
func listing(tb testing.TB, p *Platform, r *Request) (names []string) {
	tb.Helper()
	entries, err := os.ReadDir(p.opts.Dir.File(path.Join(datadir.Trees, name(r.ID()), dataDir)))
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Whole files of a broken session are there in the next one; what was being written is not. Sessions are remembered,
// with what they sent and skipped, and the files of the dump with their sizes and checksums.
func TestTreeUpload_resumed(t *testing.T) {
	t.Parallel()
	now := modified.Add(time.Hour)
	p := open(t, t.TempDir(), func(o *Options) { o.Now = func() time.Time { return now } })
	r := createScript(t, p)
	u := begin(t, r)
	if _, err := r.BeginUpload(); !errors.Is(err, ErrConflict) {
		t.Errorf("a second session at the same time: %v", err)
	}
	first := write(t, u, map[string]string{"origin.dump/1.dat": "one"})
	write(t, u, map[string]string{"origin.dump/.toc.dat.Ab12Cd": "half", ".x5577006791947779410": "half"})
	s := end(t, u, false, first...)
	if s.HasDump || s.Upload.Incomplete != whyBroken {
		t.Errorf("%+v", s)
	}
	u = begin(t, r)
	got := map[string]string{}
	for _, file := range []string{"origin.dump/1.dat", "origin.dump/.toc.dat.Ab12Cd", ".x5577006791947779410"} {
		if text, err := u.Root().ReadFile(file); err == nil {
			got[file] = string(text)
		}
	}
	if diff := cmp.Diff(map[string]string{"origin.dump/1.dat": "one"}, got); diff != "" {
		t.Errorf("in the next session (-want +got)\n%s", diff)
	}
	sent := write(t, u, map[string]string{"origin.dump/toc.dat": "PGDMP contents"})
	sent[0].Sent = 10
	s, err := ending(u, true, sent, TreeFile{Name: "origin.dump/1.dat", Size: 3})
	if err != nil || !s.HasDump {
		t.Fatalf("%+v, %v", s.Upload, err)
	}
	want := []Session{
		{EndedAt: now, Sent: 1, BytesSent: 3},
		{EndedAt: now, OK: true, Sent: 1, Skipped: 1, BytesSent: 10, BytesSkipped: 7},
	}
	if diff := cmp.Diff(want, s.Upload.Sessions); diff != "" {
		t.Errorf("sessions (-want +got)\n%s", diff)
	}
	files, err := r.Files(0)
	wantFiles := []TreeFile{
		{Name: "origin.dump/1.dat", Size: 3, Checksum: crc("one"), ModTime: modified},
		{Name: "origin.dump/toc.dat", Size: 14, Checksum: crc("PGDMP contents"), ModTime: modified},
	}
	if diff := cmp.Diff(wantFiles, files); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if sent[0].Checksum != crc("PGDMP contents") {
		t.Errorf("End filled in %v", sent)
	}
	if some, err := r.Files(1); len(some) != 1 || err != nil {
		t.Errorf("one file: %v, %v", some, err)
	}
	// A session that breaks before it has touched anything leaves the dump complete, another one does not.
	if s := end(t, begin(t, r), false); !s.HasDump {
		t.Errorf("nothing was touched: %+v", s.Upload)
	}
	u = begin(t, r)
	write(t, u, map[string]string{"origin.dump/2.dat": "more"})
	if s := end(t, u, false); s.HasDump || s.Upload.Incomplete != whyBroken {
		t.Errorf("a file came in: %+v", s.Upload)
	}
	for range 30 {
		s = end(t, begin(t, r), false)
	}
	if n := len(s.Upload.Sessions); n != maxSessions {
		t.Errorf("%d sessions are remembered", n)
	}
}

// A dump is described as one that came another way.
func TestTreeUpload_described(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	for upload, source := range map[string]string{
		"origin.zip": "openchs.zip", "origin.sql.gz": "openchs.sql.gz", "origin.dump": "openchs.cdump",
	} {
		data := fixtures.Dump(source)
		s := rsync(t, createScript(t, p), map[string]string{upload: string(data)})
		if diff := cmp.Diff(dump.Sniff(strings.NewReader(string(data)), int64(len(data))), s.Described); diff != "" {
			t.Errorf("%s (-want +got)\n%s", upload, diff)
		}
	}
	s := rsync(t, createScript(t, p), directoryDump(t))
	want := dump.Info{
		Compressions: []string{"pgdmp_directory", "sql"}, PostgreSQL: s.Described.PostgreSQL, DatabaseVersion: "8.0",
		DatabaseUUID: "5c5ff0f6-56c4-11e5-9b25-3c970e9d8d32", DataCompression: "none",
	}
	if diff := cmp.Diff(want, s.Described); diff != "" || s.Described.PostgreSQL == "" {
		t.Errorf("a directory (-want +got)\n%s", diff)
	}
}

// Uploads are for requests in state new, that are there.
func TestBeginUpload_refused(t *testing.T) {
	t.Parallel()
	var ended []int64
	p := open(t, t.TempDir(), func(o *Options) { o.TransferEnded = func(id int64) { ended = append(ended, id) } })
	r := createScript(t, p)
	u := begin(t, r)
	write(t, u, map[string]string{"origin.sql": "SELECT 1;"})
	if _, err := r.Force(StatePending, nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(ended, r.ID()) {
		t.Error("TransferEnded was not called")
	}
	end(t, u, false)
	var fails Failures
	if _, err := r.BeginUpload(); !errors.As(err, &fails) || fails[0].Reason != ReasonStateInvalid {
		t.Errorf("in pending: %v", err)
	}
	r = createScript(t, p)
	u = begin(t, r)
	write(t, u, map[string]string{"origin.sql": "SELECT 1;"})
	if err := p.Reset(func(int64, string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if _, err := u.End(true, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a session that ended after a reset: %v", err)
	}
	if _, err := r.BeginUpload(); !errors.As(err, &fails) {
		t.Errorf("after a reset: %v", err)
	}
	noLeaks(t, p)
}
