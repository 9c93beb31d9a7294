package scenario

import (
	"errors"
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
		path := *files[key]
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		path, err := filepath.Abs(path)
		if err == nil {
			*files[key] = path
			err = readable(path)
		}
		c.at("upgraded."+key, err)
	}
	return c.mistakes
}

// readable reports why the file at path cannot be handed out. It asks what it is before opening, and waits for no
// pipe that is there just then.
func readable(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
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
