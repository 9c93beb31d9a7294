//go:build linux

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme: each file that the table of tricks names is there, and a comment in it, or beside it for the routes, says
// where the figures are.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, m := range regexp.MustCompile("`([a-z_0-9/]+\\.go)`").FindAllStringSubmatch(string(text), -1) {
		named[m[1]] = true
	}
	if len(named) < 10 {
		t.Errorf("only %d files are named", len(named))
	}
	for name := range named {
		source, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
		if err != nil {
			t.Errorf("README.md names a file: %v", err)
		} else if !strings.Contains(string(source), "bench/README.md") {
			t.Errorf("%s: no comment leads to bench/README.md", name)
		}
	}
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if name := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator))); err == nil &&
			strings.Contains(string(source), "bench/README.md") && !named[name] {
			t.Errorf("%s leads to bench/README.md, which does not name it", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
