package platform

import (
	"errors"
	"io/fs"
	"os"

	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
)

// trees are the directories of the script API's requests, each under the request's id. No link in them is followed.
type trees struct {
	dir *datadir.Dir
}

// dataDir is the directory of a request's that rsync writes, and knows as /data.
const dataDir = "data"

// upload makes the directory that rsync writes, if need be, and opens it.
func (t *trees) upload(id int64) (*os.Root, error) {
	path := t.path(id) + "/" + dataDir
	if err := t.dir.Root().MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	return t.dir.Root().OpenRoot(path)
}

func (t *trees) path(id int64) string { return datadir.Trees + "/" + name(id) }

// remove removes a request's directory.
func (t *trees) remove(id int64) error {
	err := t.dir.Root().RemoveAll(t.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
