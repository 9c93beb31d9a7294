package dump_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
)

// untarred is the files of a dump in the tar format, which are those of the directory format.
func untarred(tb testing.TB) fstest.MapFS {
	tb.Helper()
	files := fstest.MapFS{}
	r := tar.NewReader(bytes.NewReader(fixtures.Dump("openchs.tar")))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			tb.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		files[h.Name] = &fstest.MapFile{Data: data}
	}
}

// A directory is described by its table of contents, as far as that can be read.
func TestSniffFS(t *testing.T) {
	t.Parallel()
	whole := dump.Sniff(bytes.NewReader(fixtures.Dump("openchs.tar")), int64(len(fixtures.Dump("openchs.tar"))))
	whole.Compressions = []string{"pgdmp_directory", "sql"}
	whole.DataCompression = "none"
	headOnly := dump.Info{
		Compressions: whole.Compressions, PostgreSQL: whole.PostgreSQL, DataCompression: whole.DataCompression,
	}
	for name, tt := range map[string]struct {
		change func(fstest.MapFS)
		want   dump.Info
	}{
		"whole":         {func(fstest.MapFS) {}, whole},
		"other files":   {func(f fstest.MapFS) { f["notes.txt"] = &fstest.MapFile{Data: []byte("x")} }, whole},
		"no toc.dat":    {func(f fstest.MapFS) { delete(f, "toc.dat") }, dump.Info{Compressions: []string{}}},
		"empty toc.dat": {func(f fstest.MapFS) { f["toc.dat"].Data = nil }, dump.Info{Compressions: []string{}}},
		"toc.dat is no archive": {func(f fstest.MapFS) { f["toc.dat"].Data = []byte("SELECT 1;\n") },
			dump.Info{Compressions: []string{}}},
		"toc.dat is a directory": {func(f fstest.MapFS) { f["toc.dat"].Mode = fs.ModeDir },
			dump.Info{Compressions: []string{}}},
		"cut toc.dat": {func(f fstest.MapFS) { f["toc.dat"].Data = f["toc.dat"].Data[:2000] }, headOnly},
		"no data": {func(f fstest.MapFS) {
			for name := range f {
				if name != "toc.dat" {
					delete(f, name)
				}
			}
		}, headOnly},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := untarred(t)
			tt.change(files)
			if diff := cmp.Diff(tt.want, dump.SniffFS(files)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzSniffFS holds that no table of contents makes SniffFS fail, or open what is outside.
func FuzzSniffFS(f *testing.F) {
	files := untarred(f)
	f.Add(files["toc.dat"].Data, files["toc.dat"].Data)
	f.Add([]byte("PGDMP"), []byte{})
	f.Fuzz(func(t *testing.T, toc, data []byte) {
		opened := openedFS{fstest.MapFS{"toc.dat": {Data: toc}, "1.dat": {Data: data}, "blobs.toc": {Data: data}}, t}
		if dump.SniffFS(opened).Compressions == nil {
			t.Error("Compressions is nil")
		}
	})
}

// openedFS fails the test where a name is asked for that is none of a file in it.
type openedFS struct {
	fs.FS
	t *testing.T
}

func (o openedFS) Open(name string) (fs.File, error) {
	f, err := o.FS.Open(name)
	if err == nil && !fs.ValidPath(name) {
		o.t.Errorf("%q was opened", name)
	}
	return f, err
}
