//go:build !unix

package safefile

// privateModes is true where a file's mode keeps others out.
const privateModes = false
