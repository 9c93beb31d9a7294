package platform

import (
	"io/fs"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

// Uploaded opens what rsync has brought: a file such as "origin.zip", or the directory "origin.dump". What it returns
// besides releases it. An error wraps [ErrNoContent] if there is no complete dump.
func (r *Request) Uploaded() (fs.FS, func() error, error) {
	r.p.mu.Lock()
	complete := r.rec.Tree.complete() && !r.forgotten
	r.p.mu.Unlock()
	if !complete {
		return nil, nil, ErrNoContent
	}
	root, err := r.p.trees.data(r.rec.ID)
	if err != nil {
		return nil, nil, err
	}
	return safefile.FS(root), root.Close, nil
}
