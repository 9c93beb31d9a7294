//go:build !unix

package safefile_test

import (
	"io/fs"
	"testing"
)

func special(testing.TB, string) []string { return nil }

func onDisk(fs.FileInfo) int64 { return 0 }
