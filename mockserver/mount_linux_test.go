package mockserver_test

import (
	"strconv"
	"syscall"
)

// mountSmall makes dir a file system of its own of so many bytes.
func mountSmall(dir string, size int) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(size))
}
