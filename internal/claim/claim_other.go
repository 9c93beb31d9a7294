//go:build !unix

package claim

import "os"

const noFollow = 0

// lock does nothing here: two programs are not kept apart.
func lock(*os.File) error { return nil }

// removeHeld removes a file and closes it. Windows removes no file that is open, so it is closed first; there is no
// lock that this would give away.
func removeHeld(f *os.File, name string) {
	_ = f.Close()
	_ = os.Remove(name)
}

func openRegular(name string, flags int) (*os.File, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, unfit("%s is no regular file", name)
	}
	return os.OpenFile(name, flags, 0)
}

// identity is not known here.
func identity(*os.File) string { return "" }
