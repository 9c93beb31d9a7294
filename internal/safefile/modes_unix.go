//go:build unix

package safefile

import (
	"io/fs"
	"syscall"
)

// privateModes is true where a file's mode keeps others out.
const privateModes = true

// Linked reports whether a file has more than one name (hard links), as far as the system reports it.
func Linked(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}
