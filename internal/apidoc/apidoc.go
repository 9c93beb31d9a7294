// Package apidoc holds the exported API of a package against a golden file, for tests.
//
// A test of each public package calls [Check], so that its API cannot change unseen:
//
//	func TestAPI(t *testing.T) { apidoc.Check(t) }
package apidoc

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Update is the flag -update of the test binaries that import this package: golden files are rewritten.
var Update = flag.Bool("update", false, "rewrite the golden files")

// golden is the file, below the directory of the package, that its API is compared with.
var golden = filepath.Join("testdata", "api.txt")

// Check compares the exported API of the package in the current directory, which is that of the package under test,
// with testdata/api.txt. With -update it writes that file instead.
//
// It also fails for an exported name without a comment, and for a signature or a field that has a named result,
// an unexported type, or a type of an internal package. A field needs no comment of its own if the comment
// of its struct or of another field mentions it, and a constant or variable needs none if its group has one.
func Check(t *testing.T) {
	t.Helper()
	p, err := load(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range p.problems() {
		t.Error(problem)
	}
	got, err := p.render()
	if err != nil {
		t.Fatal(err)
	}
	Golden(t, golden, got)
}

// Golden compares a file with what was made anew. With -update it writes the file instead, and its directory.
func Golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *Update {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -run %s -update writes it", err, t.Name())
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what the code says; if it should change, go test -run %s -update rewrites the file (-file "+
			"+code):\n%s", path, t.Name(), diff)
	}
}

// A pkg is a package's files and documentation.
type pkg struct {
	fset *token.FileSet
	doc  *doc.Package
	// internal are the names under which a file imports internal packages, by the file's name.
	internal map[string]map[string]string
	// hidden are the unexported types that the package declares.
	hidden map[string]bool
}

// load parses the package in dir as it is built for Linux, whatever the tests run on.
func load(dir string) (*pkg, error) {
	context := build.Default
	context.GOOS, context.GOARCH = "linux", "amd64"
	built, err := context.ImportDir(dir, 0)
	if err != nil {
		return nil, err
	}
	p := &pkg{fset: token.NewFileSet(), internal: map[string]map[string]string{}, hidden: map[string]bool{}}
	var files []*ast.File
	for _, name := range built.GoFiles {
		file, err := parser.ParseFile(p.fset, filepath.Join(dir, name), nil,
			parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
		p.internal[filepath.Join(dir, name)] = internalImports(file)
		for _, decl := range file.Decls {
			if types, ok := decl.(*ast.GenDecl); ok && types.Tok == token.TYPE {
				for _, spec := range types.Specs {
					if name := spec.(*ast.TypeSpec).Name; !name.IsExported() {
						p.hidden[name.Name] = true
					}
				}
			}
		}
	}
	p.doc, err = doc.NewFromFiles(p.fset, files, built.Name)
	return p, err
}

// render returns the package's documentation, much as go doc -all prints it.
func (p *pkg) render() ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "package %s\n\n", p.doc.Name)
	out.Write(p.doc.Text(p.doc.Doc))
	var failed error
	decl := func(node ast.Decl, comment string) {
		out.WriteString("\n")
		if f, ok := node.(*ast.FuncDecl); ok {
			node = &ast.FuncDecl{Recv: f.Recv, Name: f.Name, Type: f.Type} // without the comment, which follows
		}
		if g, ok := node.(*ast.GenDecl); ok {
			node = &ast.GenDecl{TokPos: g.TokPos, Tok: g.Tok, Lparen: g.Lparen, Specs: g.Specs, Rparen: g.Rparen}
		}
		config := printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}
		if err := config.Fprint(&out, p.fset, node); err != nil {
			failed = err
		}
		out.WriteString("\n")
		for line := range bytes.Lines(p.doc.Text(comment)) {
			if len(line) > 1 {
				out.WriteString("    ")
			}
			out.Write(line)
		}
	}
	values := func(list []*doc.Value) {
		for _, v := range list {
			decl(v.Decl, v.Doc)
		}
	}
	funcs := func(list []*doc.Func) {
		for _, f := range list {
			decl(f.Decl, f.Doc)
		}
	}
	values(p.doc.Consts)
	values(p.doc.Vars)
	funcs(p.doc.Funcs)
	for _, typ := range p.doc.Types {
		decl(typ.Decl, typ.Doc)
		values(typ.Consts)
		values(typ.Vars)
		funcs(typ.Funcs)
		funcs(typ.Methods)
	}
	return out.Bytes(), failed
}
