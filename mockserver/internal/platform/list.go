package platform

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
)

// TreeFile is a file of a request's upload over rsync.
type TreeFile struct {
	Name     string    `json:"name"` // under the root, with slashes: "origin.dump/toc.dat"
	Size     int64     `json:"size"`
	Sent     int64     `json:"-"` // bytes of data that came over the wire
	Checksum string    `json:"checksum"`
	ModTime  time.Time `json:"mod_time"`
}

// A list has the files of a complete dump, a line of JSON for each, in the order of [safefile.EachFile]. It lies beside
// them, and not in the request's record, since it may be long.
const listPrefix = "files."

func listName(seq int64) string { return listPrefix + name(seq) }

// writeList writes the list of all files of a request's that are in dir, and returns them one by one to each.
func (t *trees) writeList(id, seq int64, dir string, stop <-chan struct{}, each func(TreeFile)) error {
	home, err := t.home(id)
	if err != nil {
		return err
	}
	defer home.Close()
	data, err := safefile.OpenDir(home, dataDir)
	if err != nil {
		return err
	}
	defer data.Close()
	f, err := home.OpenFile(listName(seq), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	lines := json.NewEncoder(w)
	err = safefile.EachFile(data, dir, func(file *safefile.File) error {
		if strings.HasPrefix(file.Base, ".") { // a name that rsync gives to what it is writing
			return nil
		}
		found, err := summed(file, stop)
		if err != nil {
			return err
		}
		each(found)
		return lines.Encode(found)
	})
	return errors.Join(err, w.Flush(), f.Close())
}

// summed describes a file, by reading it.
func summed(file *safefile.File, stop <-chan struct{}) (TreeFile, error) {
	f, err := file.Open()
	if err != nil {
		return TreeFile{}, err
	}
	defer f.Close()
	size := file.Info.Size()
	sum, err := checksumOf(f, size, stop)
	return TreeFile{Name: file.Name, Size: size, Checksum: sum, ModTime: file.Info.ModTime().UTC()}, err
}

// eachListed calls each with the files of a list, until it returns an error.
func (t *trees) eachListed(id, seq int64, each func(TreeFile) error) error {
	at := path.Join(datadir.Trees, name(id), listName(seq))
	home, err := t.home(id)
	if err != nil {
		return &damagedError{at, whatIsWrong(err)}
	}
	defer home.Close()
	f, err := safefile.OpenIn(home, listName(seq), os.O_RDONLY)
	if err != nil {
		return &damagedError{at, whatIsWrong(err)}
	}
	defer f.Close()
	for lines := json.NewDecoder(bufio.NewReaderSize(f, 64<<10)); ; {
		var file TreeFile
		err := lines.Decode(&file)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return &damagedError{at, fmt.Sprintf("is no list of files: %v", err)}
		case !fs.ValidPath(file.Name):
			return &damagedError{at, fmt.Sprintf("is no list of files: it has the name %q", file.Name)}
		}
		if err := each(file); err != nil {
			return err
		}
	}
}

// checkFiles calls check with the files of a list, and what is in their places now. What is missing is a
// damagedError, as is a list with another number of files.
func (t *trees) checkFiles(id int64, of *tree,
	check func(at string, want TreeFile, now *safefile.File) error,
) error {
	data, err := t.data(id)
	if err != nil {
		return err
	}
	defer data.Close()
	var in *os.Root // the directory of the file before
	var dir string
	defer func() {
		if in != nil {
			in.Close()
		}
	}()
	listed := 0
	err = t.eachListed(id, of.List, func(want TreeFile) error {
		listed++
		at := path.Join(datadir.Trees, name(id), dataDir, want.Name)
		if in == nil || path.Dir(want.Name) != dir {
			next, err := safefile.OpenDir(data, path.Dir(want.Name))
			if err != nil {
				return &damagedError{at, whatIsWrong(err)}
			}
			if in != nil {
				in.Close()
			}
			in, dir = next, path.Dir(want.Name)
		}
		now, err := in.Lstat(path.Base(want.Name))
		if err != nil {
			return &damagedError{at, whatIsWrong(err)}
		}
		return check(at, want, &safefile.File{Name: want.Name, In: in, Base: path.Base(want.Name), Info: now})
	})
	if err == nil && listed != of.Files {
		err = &damagedError{path.Join(datadir.Trees, name(id), listName(of.List)), fmt.Sprintf("was changed: it lists %d "+
			"files, and listed %d", listed, of.Files)}
	}
	return err
}

// intact checks that all files of a complete upload are there, of the right kind, and of the size that they had.
func (t *trees) intact(id int64, of *tree) error {
	return t.checkFiles(id, of, func(at string, want TreeFile, now *safefile.File) error {
		return sized(at, want.Size, now.Info)
	})
}

// same is intact, and compares the checksums.
func (t *trees) same(id int64, of *tree, stop <-chan struct{}) error {
	return t.checkFiles(id, of, func(at string, want TreeFile, now *safefile.File) error {
		if err := sized(at, want.Size, now.Info); err != nil {
			return err
		}
		found, err := summed(now, stop)
		if err == nil && found.Checksum != want.Checksum {
			err = &damagedError{at, fmt.Sprintf("was changed: its checksum is %s, and was %s", found.Checksum, want.Checksum)}
		}
		return err
	})
}

// untouched reports whether the directory still holds exactly the files of a complete upload, as far as their sizes and
// times tell, although a session wrote in it that broke.
func (t *trees) untouched(id int64, of *tree) bool {
	err := t.checkFiles(id, of, func(at string, want TreeFile, now *safefile.File) error {
		if !now.Info.ModTime().Equal(want.ModTime) {
			return &damagedError{at, "was written"}
		}
		return sized(at, want.Size, now.Info)
	})
	if err != nil {
		return false
	}
	data, err := t.data(id)
	if err != nil {
		return false
	}
	defer data.Close()
	files := 0
	err = safefile.EachFile(data, ".", func(f *safefile.File) error {
		if !strings.HasPrefix(f.Base, ".") {
			files++
		}
		return nil
	})
	return err == nil && files == of.Files
}
