package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

const maxScript = 1 << 20 // bytes of a script's file

// Load reads the script in the file at path. The files that it names are looked for beside it and end up as
// absolute paths; one that does not exist is a mistake like any other. The error is an [*Error], or that of
// reading path.
func Load(path string) (*Scenario, error) {
	src, err := safefile.ReadNamed(path, maxScript)
	if err != nil {
		return nil, err
	}
	s, d := parse(path, src)
	d.add(resolve(s, filepath.Dir(path)))
	if err := asError(d.mistakes); err != nil {
		return nil, err
	}
	return s, nil
}

// Resolve makes the paths of the files that a script from elsewhere names absolute, relative ones starting at dir, and
// reports those that don't exist as an [*Error].
func (s *Scenario) Resolve(dir string) error {
	mistakes := resolve(s, dir)
	for i := range mistakes {
		mistakes[i].File = "scenario " + quote(s.Name)
	}
	return asError(mistakes)
}

func resolve(s *Scenario, dir string) []Mistake {
	var c checker
	files := s.Upgraded.files()
	for _, key := range slices.Sorted(maps.Keys(files)) {
		err := absolute(files[key], dir)
		if err == nil {
			err = readable(*files[key], kindsOf(key, s.api()))
		}
		c.at("upgraded."+key, err)
	}
	s.Steps = slices.Clone(s.Steps) // others may have the same ones
	for i := range s.Steps {
		if s.Steps[i].Log == nil || s.Steps[i].Log.File == "" {
			continue
		}
		log := *s.Steps[i].Log
		err := absolute(&log.File, dir)
		if err == nil {
			err = readable(log.File, aFile)
		}
		s.Steps[i].Log = &log
		c.at(fmt.Sprintf("steps[%d].log.file", i), err)
	}
	return c.mistakes
}

// absolute makes a path absolute that starts at dir.
func absolute(path *string, dir string) error {
	joined := *path
	if !filepath.IsAbs(joined) {
		joined = filepath.Join(dir, joined)
	}
	joined, err := filepath.Abs(joined)
	if err == nil {
		*path = joined
	}
	return err
}

// The kinds of things that a script can name.
const (
	aFile = 1 << iota
	aDirectory
	aDump          // a directory with a dump in it
	aDumpOfScripts // the same, where it cannot be handed out
)

// kindsOf returns what the path behind a key of `upgraded` can be in a script for that API.
func kindsOf(key, api string) int {
	switch {
	case key == "filestore":
		return aDirectory
	case key == "archive" && api == APIScript:
		return aFile | aDump
	case key == "archive":
		return aFile | aDumpOfScripts
	}
	return aFile
}

// readable reports why what is at path cannot be handed out as one of those kinds. It asks what it is before opening,
// and waits for no pipe that is there just then.
func readable(path string, kinds int) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
	case info.IsDir() && kinds&aDump != 0:
		if _, err := os.Stat(filepath.Join(path, "toc.dat")); err != nil {
			return wrong("not a dump in PostgreSQL's directory format: `%s` has no file `toc.dat`", path)
		}
	case info.IsDir() && kinds&aDirectory != 0, info.Mode().IsRegular() && kinds&aFile != 0:
	case kinds&aFile == 0:
		return wrong("not a directory: `%s`", path)
	case info.IsDir() && kinds&aDumpOfScripts != 0:
		return wrong("a directory is handed out over the script API only: `%s` wants `when: {api: script}` beside it", path)
	default:
		return wrong("not a file: `%s`", path)
	}
	if err == nil {
		var file *os.File
		if file, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
			err = file.Close()
		}
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err // the path is said already
	}
	if err != nil {
		return wrong("cannot read the file `%s`: %s", path, err)
	}
	return nil
}
