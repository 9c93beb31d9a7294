package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/safefile"
)

// find looks for the dump in the directory, removes what is of earlier uploads, and writes the list of its files.
func (u *TreeUpload) find(named []TreeFile) (found, error) {
	var f found
	names, err := u.uploaded()
	switch {
	case err != nil:
		return f, err
	case len(names) == 0:
		f.Missing = "nothing has been uploaded"
		return f, nil
	case len(names) > 1:
		f.Missing = fmt.Sprintf("several things were uploaded, %s; upload one file, or one directory", listed(names))
		return f, nil
	}
	f.Name = names[0]
	if err := u.list(&f, named); err != nil {
		return f, err
	}
	toc, missing := u.root.Lstat(path.Join(f.Name, dump.TOC))
	switch {
	case f.Size > u.Limit():
		f.Missing = fmt.Sprintf("it has %d bytes, and a dump may have up to %d", f.Size, u.Limit())
	case missing == nil && toc.Mode().IsRegular():
		f.File, f.Checksum = "", ""
		f.info, err = u.sniffDirectory(f.Name)
	case f.File == f.Name: // it is no directory
		f.info, err = u.sniffFile(f.File)
	case strings.HasPrefix(f.Name, "."):
		f.Missing = fmt.Sprintf("the name %s begins with a dot; upload it under another one", f.Name)
	default:
		f.Missing = fmt.Sprintf("the directory %s has no %s; upload a directory that pg_dump -Fd wrote, or one file",
			f.Name, dump.TOC)
	}
	if f.Missing != "" {
		f.tree = tree{Name: f.Name, Missing: f.Missing}
	}
	return f, err
}

// maxNames bounds the names that are remembered of a session that uploads several things, where a dump has one.
const maxNames = 100

// uploaded returns the names in the directory that the session was about, and removes all others.
func (u *TreeUpload) uploaded() ([]string, error) {
	names := u.names
	if len(names) > maxNames {
		return names, nil
	}
	entries, err := fs.ReadDir(u.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch {
		case len(names) == 0 && !strings.HasPrefix(e.Name(), "."): // nothing was there to be sent
			return []string{e.Name()}, nil
		case !slices.Contains(names, e.Name()):
			err = errors.Join(err, u.root.RemoveAll(e.Name()))
		}
	}
	return names, err
}

// list writes the list of the dump's files, and fills in the checksums of those that are named.
func (u *TreeUpload) list(f *found, named []TreeFile) error {
	p := u.r.p
	byName := make(map[string]*TreeFile, len(named))
	for i := range named {
		byName[named[i].Name] = &named[i]
	}
	f.List = p.dumps.seq.Add(1)
	return p.trees.writeList(u.r.rec.ID, f.List, f.Name, p.dumps.stop, func(file TreeFile) {
		f.Files++
		f.Size += file.Size
		f.File, f.Checksum = file.Name, file.Checksum
		if known := byName[file.Name]; known != nil {
			known.Checksum, known.ModTime = file.Checksum, file.ModTime
		}
	})
}

func (u *TreeUpload) sniffDirectory(name string) (dump.Info, error) {
	dir, err := safefile.OpenDir(u.root, name)
	if err != nil {
		return dump.Info{}, err
	}
	defer dir.Close()
	files := safefile.FS(dir)
	defer files.Close()
	return dump.SniffFS(files), nil
}

func (u *TreeUpload) sniffFile(name string) (dump.Info, error) {
	in, err := safefile.OpenDir(u.root, path.Dir(name))
	if err != nil {
		return dump.Info{}, err
	}
	defer in.Close()
	f, err := safefile.OpenIn(in, path.Base(name), os.O_RDONLY)
	if err != nil {
		return dump.Info{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return dump.Info{}, err
	}
	return dump.Sniff(f, info.Size()), nil
}
