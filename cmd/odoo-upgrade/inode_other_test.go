//go:build !unix

package main

import "io/fs"

func inode(fs.FileInfo) string { return "" }
