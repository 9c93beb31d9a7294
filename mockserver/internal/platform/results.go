package platform

import (
	"io/fs"
	"testing/fstest"
)

// Results are the files for download, and what releases them: the upgraded database under its DumpName, "filestore",
// "upgrade-report.html" and "upgrade.log", each of which may be absent (row S10.2). An error wraps [ErrNoContent] if
// there is nothing (yet).
func (r *Request) Results() (fs.FS, func() error, error) {
	if err := r.downloadable(); err != nil {
		return nil, nil, err
	}
	return fstest.MapFS{}, func() error { return nil }, nil
}
