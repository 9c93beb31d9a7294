package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// upgraded reports whether the database that was to be made is there, and what it is.
func (db *Database) upgraded() (good bool, saw string) {
	switch {
	case db.Differs != "":
		return false, db.Differs
	case !db.Exists:
		return false, "no database " + db.Name + " with anything in it"
	}
	return true, "the database " + db.Name
}

// filestore judges whether the new database has the files of the old one and those of the result.
func (j *judge) filestore() {
	const expect, wanted = "filestore", "the files of the old database, and those of the result over them"
	if j.Run == nil || j.Run.Database == nil {
		j.unjudged(expect, wanted)
		return
	}
	good, saw := false, "no upgraded dump"
	if len(j.Requests) > 0 {
		var err error
		if good, saw, err = merged(j.Run.Database, &j.Requests[len(j.Requests)-1]); err != nil {
			good, saw = false, err.Error()
		}
	}
	j.add(expect, wanted, good, saw, "a good client copies the old database's filestore to ~/.local/share/Odoo/filestore/"+
		j.Run.Database.Name+", and what it fetched as filestore/ over it; the upgrade script's restore does neither", -1)
}

// merged reports whether the new database's filestore is what it should be.
func merged(db *Database, r *Request) (good bool, saw string, err error) {
	if _, err := os.Stat(db.NewFiles); errors.Is(err, fs.ErrNotExist) {
		return false, "no filestore of " + db.Name, nil
	}
	results, release, err := r.Results()
	if err != nil {
		return false, "", err
	}
	defer release()
	fetched, err := fs.Sub(results, "filestore")
	if err != nil {
		return false, "", err
	}
	made, seen := os.DirFS(db.NewFiles), map[string]bool{}
	for _, from := range []struct {
		files fs.FS
		whose string
	}{{fetched, "of the result"}, {os.DirFS(db.OldFiles), "of the old database"}} {
		names, _, err := list(from.files, ".")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, "", err
		}
		for _, name := range names {
			if seen[name] {
				continue // the result's is over it
			}
			seen[name] = true
			if _, err := fs.Stat(made, name); errors.Is(err, fs.ErrNotExist) {
				return false, fmt.Sprintf("a filestore without %s, a file %s", name, from.whose), nil
			}
			same, err := compareFiles(made, name, from.files, name, "the file")
			if err != nil {
				return false, "", err
			}
			if !same.Exact() {
				return false, fmt.Sprintf("%s, a file %s: %s", name, from.whose, same.Text), nil
			}
		}
	}
	return true, fmt.Sprintf("a filestore with all %d files", len(seen)), nil
}
