//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"syscall"
)

// inode is the number by which a file system knows a file.
func inode(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf(" %d", st.Ino)
	}
	return ""
}
