package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/likeness"
)

// sent compares the dump of a request with the file or directory that the client was told to send.
func (j *judge) sent(r *Request) (likeness.Likeness, error) {
	const name = "the dump"
	if r.Uploaded == nil {
		return compared(j.Run.Dump, r.Original, false, name)
	}
	files, release, err := r.Uploaded()
	if err != nil {
		return likeness.Likeness{}, err
	}
	defer release()
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return likeness.Likeness{}, err
	}
	if len(entries) != 1 {
		return likeness.Likeness{Text: fmt.Sprintf("%d files and directories in place of one dump", len(entries))}, nil
	}
	here, top, err := local(j.Run.Dump)
	if err != nil {
		return likeness.Likeness{}, err
	}
	return compareTrees(files, entries[0].Name(), here, top, name)
}

// fetched reports whether the upgraded dump is at path: itself, or in a directory under its name.
func fetched(out string, r *Request, name string) (good bool, saw string) {
	files, release, err := r.Results()
	if err == nil {
		defer release()
		_, err = fs.Stat(files, dumpPath(r))
	}
	if err != nil {
		return false, "a file, though there is no upgraded dump"
	}
	for _, at := range []string{filepath.Join(out, dumpPath(r)), out} {
		here, top, err := local(at)
		if err != nil {
			continue
		}
		same, err := compareTrees(here, top, files, dumpPath(r), name)
		if err != nil {
			return false, err.Error()
		}
		if same.Exact() {
			return true, same.Text
		}
		saw = same.Text
	}
	return false, saw
}

// dumpPath is where in the results the upgraded dump is; a request without a name for it has none.
func dumpPath(r *Request) string {
	if !fs.ValidPath(r.DumpName) || r.DumpName == "." {
		return "no name" // of which there is no file
	}
	return r.DumpName
}

// local is the file or directory at path as a file system, and its name there.
func local(at string) (files fs.FS, top string, err error) {
	at, err = filepath.Abs(at)
	if err == nil {
		_, err = os.Stat(at)
	}
	return os.DirFS(filepath.Dir(at)), filepath.Base(at), err
}

// compareTrees compares what arrived, a file or a directory, with what was wanted.
func compareTrees(got fs.FS, gotTop string, want fs.FS, wantTop, name string) (likeness.Likeness, error) {
	gotFiles, gotDir, err := list(got, gotTop)
	if err != nil {
		return likeness.Likeness{}, err
	}
	wantFiles, wantDir, err := list(want, wantTop)
	switch {
	case err != nil:
		return likeness.Likeness{}, err
	case gotDir && !wantDir:
		return likeness.Likeness{Text: "a directory in place of " + name + ", which is a file"}, nil
	case !gotDir && wantDir:
		return likeness.Likeness{Text: "a file in place of " + name + ", which is a directory"}, nil
	}
	for _, f := range wantFiles {
		if !slices.Contains(gotFiles, f) {
			return likeness.Likeness{Text: fmt.Sprintf("%s without its file %s", name, f)}, nil
		}
	}
	for _, f := range gotFiles {
		if !slices.Contains(wantFiles, f) {
			return likeness.Likeness{Text: fmt.Sprintf("%s with a file %s more", name, f)}, nil
		}
	}
	for _, f := range wantFiles {
		part := name
		if wantDir {
			part = "the file"
		}
		same, err := compareFiles(got, path.Join(gotTop, f), want, path.Join(wantTop, f), part)
		switch {
		case err != nil || !wantDir:
			return same, err
		case !same.Exact():
			return likeness.Likeness{Text: "at " + f + ": " + same.Text}, nil
		}
	}
	return likeness.Likeness{Same: true, Text: fmt.Sprintf("%s, %d files, byte for byte", name, len(wantFiles))}, nil
}

// list are the paths of the regular files in the directory top, in order; of a file it is "." alone.
func list(files fs.FS, top string) (paths []string, directory bool, err error) {
	err = fs.WalkDir(files, top, func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			directory = directory || at == top
			return nil
		}
		paths = append(paths, path.Clean(strings.TrimPrefix(strings.TrimPrefix(at, top), "/")))
		return nil
	})
	return paths, directory, err
}

func compareFiles(got fs.FS, gotPath string, want fs.FS, wantPath, name string) (likeness.Likeness, error) {
	g, closeGot, err := open(got, gotPath)
	if err != nil {
		return likeness.Likeness{}, err
	}
	defer closeGot()
	w, closeWant, err := open(want, wantPath)
	if err != nil {
		return likeness.Likeness{}, err
	}
	defer closeWant()
	return likeness.Compare(g, w, name)
}

// open opens a file for any order of reading.
func open(files fs.FS, name string) (likeness.File, func() error, error) {
	f, err := files.Open(name)
	if err != nil {
		return likeness.File{}, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return likeness.File{}, nil, errors.Join(err, f.Close())
	}
	if at, ok := f.(io.ReaderAt); ok {
		return likeness.File{ReaderAt: at, Size: info.Size()}, f.Close, nil
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return likeness.File{}, nil, errors.Join(err, f.Close())
	}
	return likeness.File{ReaderAt: bytes.NewReader(data), Size: int64(len(data))}, f.Close, nil
}
