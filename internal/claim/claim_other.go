//go:build !unix

package claim

import "os"

const noFollow = 0

// lock does nothing here: two programs are not kept apart.
func lock(*os.File) error { return nil }

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
