//go:build !unix

package safefile

import "io/fs"

// privateModes is true where a file's mode keeps others out.
const privateModes = false

// Linked reports whether a file has more than one name (hard links), as far as the system reports it.
func Linked(fs.FileInfo) bool { return false }
