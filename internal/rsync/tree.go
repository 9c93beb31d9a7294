package rsync

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
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
		i, listed := search(list, rel)
		kind := kindOf(d.Type())
		keep := kind != 0
		switch {
		case listed && how >= sweepMisfits:
			keep = kind == list[i].kind
		case !listed && how == sweepOthers:
			keep = false
		case !listed && kind == modeRegular:
			keep = !isTemp(d.Name()) && !leftover(rel, list)
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
	_, listed := search(list, dir+base[1:dot])
	return listed
}

// search returns where the name is in a sorted list.
func search(list []entry, name string) (i int, found bool) {
	return slices.BinarySearchFunc(list, name, func(e entry, name string) int { return strings.Compare(e.name, name) })
}

// sweepTemps removes from a directory the temporary files of a receiver that was killed.
func sweepTemps(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	for _, e := range entries {
		if e.Type().IsRegular() && isTemp(e.Name()) {
			err = errors.Join(err, root.Remove(path.Join(dir, e.Name())))
		}
	}
	return err
}

// Files under way are called tempPrefix and tempDigits hexadecimal digits.
const (
	tempPrefix = ".rsync-"
	tempDigits = 16
)

func tempName() string { return fmt.Sprintf("%s%0*x", tempPrefix, tempDigits, rand.Uint64()) }

func isTemp(base string) bool {
	digits, ok := strings.CutPrefix(base, tempPrefix)
	return ok && len(digits) == tempDigits && strings.Trim(digits, "0123456789abcdef") == ""
}
