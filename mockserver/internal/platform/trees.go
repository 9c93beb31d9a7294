package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
)

// trees are the directories of the script API's requests, each under the request's id in a directory of their own. In
// one are the files that rsync writes, below dataDir, and the list of the files that are a complete dump. No link is
// followed, and what is neither file nor directory is left alone.
type trees struct {
	dir *datadir.Dir

	mu   sync.Mutex
	root *os.Root // nil: there is none yet
}

// dataDir is the directory that rsync writes, and knows as /data.
const dataDir = "data"

// openTrees opens the directory, if there is one. It is made when it is needed.
func openTrees(dir *datadir.Dir) (*trees, error) {
	t := &trees{dir: dir}
	_, err := dir.Root().Lstat(datadir.Trees)
	if err == nil {
		t.root, err = openPlace(dir, datadir.Trees)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return t, err
}

func (t *trees) close() error {
	if t == nil || t.root == nil {
		return nil
	}
	return t.root.Close()
}

// home opens the directory of a request.
func (t *trees) home(id int64) (*os.Root, error) {
	t.mu.Lock()
	root := t.root
	t.mu.Unlock()
	if root == nil {
		return nil, &fs.PathError{Op: "open", Path: datadir.Trees, Err: fs.ErrNotExist}
	}
	return safefile.OpenDir(root, name(id))
}

// make makes the directory of a request, if need be, and what it is in. Made is called if that was not there.
func (t *trees) make(id int64, made func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.root == nil {
		root, err := openPlace(t.dir, datadir.Trees)
		if err != nil {
			return err
		}
		if err := made(); err != nil {
			return errors.Join(err, root.Close())
		}
		t.root = root
	}
	return t.root.MkdirAll(name(id)+"/"+dataDir, 0o700)
}

// data opens the directory that rsync has written for a request.
func (t *trees) data(id int64) (*os.Root, error) {
	home, err := t.home(id)
	if err == nil {
		defer home.Close()
		var data *os.Root
		if data, err = safefile.OpenDir(home, dataDir); err == nil {
			return data, nil
		}
	}
	return nil, &damagedError{path.Join(datadir.Trees, name(id), dataDir), whatIsWrong(err)}
}

// remove removes a request's directory.
func (t *trees) remove(id int64) {
	t.mu.Lock()
	root := t.root
	t.mu.Unlock()
	if root != nil {
		_ = root.RemoveAll(name(id))
	}
}

// open opens a file that rsync has written for a request, which must have the size.
func (t *trees) open(id int64, file string, size int64) (*os.File, error) {
	at := path.Join(datadir.Trees, name(id), dataDir, file)
	data, err := t.data(id)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	in, err := safefile.OpenDir(data, path.Dir(file))
	if err != nil {
		return nil, &damagedError{at, whatIsWrong(err)}
	}
	defer in.Close()
	f, err := safefile.OpenIn(in, path.Base(file), os.O_RDONLY)
	if err != nil {
		return nil, &damagedError{at, whatIsWrong(err)}
	}
	info, err := f.Stat()
	if err == nil {
		err = sized(at, size, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sized is a damagedError unless a file of a complete upload is what it was.
func sized(at string, size int64, info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return &damagedError{at, "was replaced by " + safefile.Kind(info.Mode())}
	case info.Size() != size:
		return &damagedError{at, fmt.Sprintf("was changed: it has %d bytes, and had %d", info.Size(), size)}
	}
	return nil
}

// settle sets aside the directories that belong to no request, and removes what a killed process left in the others.
func (t *trees) settle(dir *datadir.Dir, belongs map[int64]*tree) error {
	if t.root == nil {
		return nil
	}
	entries, err := fs.ReadDir(t.root.FS(), ".")
	if err != nil {
		return err
	}
	var lost []string
	for _, e := range entries {
		id, err := strconv.ParseInt(e.Name(), 10, 64)
		if _, ours := belongs[id]; err != nil || !ours || name(id) != e.Name() {
			lost = append(lost, e.Name())
			continue
		}
		if err := t.tidy(id, belongs[id].List); err != nil {
			dir.Note("%s/%s cannot be tidied: %v", datadir.Trees, e.Name(), err)
		}
	}
	setAside(dir, datadir.Trees, lost)
	return nil
}

// tidy removes a request's lists but the one in use.
func (t *trees) tidy(id, list int64) error {
	home, err := t.home(id)
	if err != nil {
		return err
	}
	defer home.Close()
	entries, err := fs.ReadDir(home.FS(), ".")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), listPrefix) && e.Name() != listName(list) && e.Type().IsRegular() {
			err = errors.Join(err, home.Remove(e.Name()))
		}
	}
	return err
}

// clean removes the files that rsync was writing when a session broke: only those begin with a dot.
func clean(data *os.Root) error {
	return safefile.EachFile(data, ".", func(f *safefile.File) error {
		if strings.HasPrefix(f.Base, ".") {
			return f.In.Remove(f.Base)
		}
		return nil
	})
}
