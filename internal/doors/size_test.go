package doors

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// Bounds of what one looks at as a whole.
const (
	maxLine     = 120 // characters, a tab counts as one
	maxFile     = 400 // lines
	maxTestFile = 500
	maxFunc     = 80
)

// directive is a line of a comment that cannot be divided.
var directive = regexp.MustCompile(`^//(go:|nolint)`)

// TestSizes: files, functions and lines stay small enough to be read. A table does not count: the lines of a composite
// literal within a function are taken off its length. Nor does the text of a raw string, which cannot be divided.
func TestSizes(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		files++
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sizes, err := tooLarge(path, source)
		for _, what := range sizes {
			t.Error(strings.TrimPrefix(what, filepath.Join("..", "..")+string(filepath.Separator)))
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v", files, err)
	}
}

// tooLarge returns what exceeds a bound in a Go file.
func tooLarge(path string, source []byte) (found []string, err error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, 0)
	if err != nil {
		return nil, err
	}
	raw := rawLines(fset, file)
	lines := 0
	for scan := bufio.NewScanner(bytes.NewReader(source)); scan.Scan(); {
		lines++
		if n := utf8.RuneCount(scan.Bytes()); n > maxLine && !raw[lines] && !directive.Match(scan.Bytes()) {
			found = append(found, fmt.Sprintf("%s:%d: a line of %d characters, above %d", path, lines, n, maxLine))
		}
	}
	bound := maxFile
	if strings.HasSuffix(path, "_test.go") {
		bound = maxTestFile
	}
	if lines > bound {
		found = append(found, fmt.Sprintf("%s: %d lines, above %d: divide the file", path, lines, bound))
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		if n := height(fset, f) - tables(fset, f.Body); n > maxFunc {
			found = append(found, fmt.Sprintf("%s: %s has %d lines beside its tables, above %d",
				fset.Position(f.Pos()), f.Name.Name, n, maxFunc))
		}
	}
	return found, nil
}

// rawLines returns the lines that raw strings stand on.
func rawLines(fset *token.FileSet, file *ast.File) map[int]bool {
	lines := make(map[int]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if text, ok := n.(*ast.BasicLit); ok && strings.HasPrefix(text.Value, "`") {
			for line := fset.Position(text.Pos()).Line; line <= fset.Position(text.End()).Line; line++ {
				lines[line] = true
			}
		}
		return true
	})
	return lines
}

// tables returns how many lines of a function are those of tables: of composite literals, the outermost ones.
func tables(fset *token.FileSet, body *ast.BlockStmt) (lines int) {
	ast.Inspect(body, func(n ast.Node) bool {
		table, ok := n.(*ast.CompositeLit)
		if ok {
			lines += height(fset, table) - 1
		}
		return !ok
	})
	return lines
}

func height(fset *token.FileSet, n ast.Node) int {
	return fset.Position(n.End()).Line - fset.Position(n.Pos()).Line + 1
}
