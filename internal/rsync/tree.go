package rsync

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
)

// clearPlace removes what is at the name if it is of another kind than what is to come there.
func clearPlace(root *os.Root, name string, kind uint16) error {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || kindOf(info.Mode()) == kind {
		return err
	}
	return root.RemoveAll(name)
}

func kindOf(mode fs.FileMode) uint16 {
	switch {
	case mode.IsRegular():
		return modeRegular
	case mode.IsDir():
		return modeDir
	}
	return 0
}

// What sweep removes.
const (
	sweepLeftovers = iota // what is neither a regular file nor a directory, and temporary files of a receiver
	sweepMisfits          // also what the list has as another kind
	sweepOthers           // also what is not in the list
)

// sweep looks at all that is below dir, and removes what does not belong there. The list is sorted, with names below
// dir.
func sweep(root *os.Root, dir string, list []entry, how int) error {
	return fs.WalkDir(root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel := name
		if dir != "." {
			rel = name[len(dir)+1:]
		}
		i, listed := slices.BinarySearchFunc(list, rel, func(e entry, name string) int {
			return strings.Compare(e.name, name)
		})
		kind := kindOf(d.Type())
		keep := kind != 0
		switch {
		case listed && how >= sweepMisfits:
			keep = kind == list[i].kind
		case !listed && how == sweepOthers:
			keep = false
		case !listed && kind == modeRegular:
			keep = !leftover(rel, list)
		}
		if keep {
			return nil
		}
		if err := root.RemoveAll(name); err != nil {
			return err
		}
		if kind == modeDir {
			return fs.SkipDir
		}
		return nil
	})
}

// leftover reports whether a file that is not in the list is the temporary one that rsync has for one in it, as of
// ".toc.dat.a1B2c3".
func leftover(name string, list []entry) bool {
	dir, base := path.Split(name)
	dot := len(base) - 7
	if dot < 2 || base[0] != '.' || base[dot] != '.' ||
		strings.ContainsFunc(base[dot+1:], func(r rune) bool {
			return !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z')
		}) {
		return false
	}
	_, listed := slices.BinarySearchFunc(list, dir+base[1:dot], func(e entry, name string) int {
		return strings.Compare(e.name, name)
	})
	return listed
}

// sweepTop removes the temporary files that the library has at the top for the files of an upload: a dot, the last
// element of the name, and a random number.
func sweepTop(root *os.Root, files iter.Seq[string]) error {
	top, err := root.Open(".")
	if err != nil {
		return err
	}
	defer top.Close()
	entries, err := top.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, d := range entries {
		temp := d.Name()
		if base := strings.TrimRight(temp, "0123456789"); !d.Type().IsRegular() || !strings.HasPrefix(base, ".") ||
			len(temp)-len(base) < minRandom {
			continue
		}
		found := false
		for name := range files {
			if name == temp {
				found = false
				break
			}
			found = found || temporaryOf(temp, path.Base(name))
		}
		if found {
			err = errors.Join(err, root.Remove(temp))
		}
	}
	return err
}

// A random number of the library has up to maxRandom digits; one in 100,000 has fewer than minRandom.
const (
	minRandom = 14
	maxRandom = 19
)

func temporaryOf(name, base string) bool {
	digits, ok := strings.CutPrefix(name, "."+base)
	return ok && len(digits) >= minRandom && len(digits) <= maxRandom && strings.Trim(digits, "0123456789") == ""
}
