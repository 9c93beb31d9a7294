package doors

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestArchitecture checks that docs/architecture.md has a line for each package, and for no other.
func TestArchitecture(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Where a line belongs\n")
	section, _, ended := strings.Cut(section, "\n## ")
	if !found || !ended {
		t.Fatal("docs/architecture.md has no section of the packages")
	}
	packages := list(t)
	packages[module+"/internal/doors"] = pkg{} // which has tests only
	for line := range strings.Lines(section) {
		name, isRow := strings.CutPrefix(line, "| `")
		if !isRow {
			continue
		}
		name, _, _ = strings.Cut(name, "`")
		if _, known := packages[module+"/"+name]; !known {
			t.Errorf("docs/architecture.md has a line for %s, which is no package", name)
		}
		delete(packages, module+"/"+name)
	}
	for path := range packages {
		t.Errorf("docs/architecture.md has no line for the package %s", strings.TrimPrefix(path, module+"/"))
	}
}
