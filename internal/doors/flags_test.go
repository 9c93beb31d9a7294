package doors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// libraries are packages for programs that may have other flags than this project's commands, or none.
var libraries = []string{"client", "conformance", "fixtures", "mockserver", "sftpserver"}

// otherFlags are those of curl, rclone and wget, about whose use the texts say something, and of rsync.
var otherFlags = []string{"--continue", "--data", "--data-binary", "--data-urlencode", "--inplace",
	"--server", "--sender", "--delete-after", "--ignore-missing-args", "--munge-links",
	"--append", "--bwlimit", "--daemon", "--log-format", "--partial", "--stats"}

// TestLibraries_noFlags: no text of a library names a flag of a command.
func TestLibraries_noFlags(t *testing.T) {
	t.Parallel()
	flag := regexp.MustCompile(`(?:^|[ (])(--[a-z][a-z-]+)`)
	for _, dir := range libraries {
		files := 0
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
					for _, found := range flag.FindAllStringSubmatch(strings.Trim(text.Value, "\"`"), -1) {
						if !slices.Contains(otherFlags, found[1]) {
							t.Errorf("%s: the text %s names the flag %s", fset.Position(text.Pos()), text.Value, found[1])
						}
					}
				}
				return true
			})
			return nil
		})
		if err != nil || files == 0 {
			t.Errorf("%s: %d files, %v", dir, files, err)
		}
	}
}
