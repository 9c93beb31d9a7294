package apidoc

import (
	"fmt"
	"go/ast"
	"go/doc"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// internalImports returns the names under which a file imports internal packages, with their paths.
func internalImports(file *ast.File) map[string]string {
	found := map[string]string{}
	for _, spec := range file.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !strings.Contains("/"+importPath+"/", "/internal/") {
			continue
		}
		name := path.Base(importPath)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		found[name] = importPath
	}
	return found
}

// problems lists what is wrong with the exported API, in the order of the documentation.
func (p *pkg) problems() []string {
	c := &critic{pkg: p}
	if p.doc.Doc == "" {
		c.list = append(c.list, "package "+p.doc.Name+" has no comment")
	}
	c.values("", p.doc.Consts)
	c.values("", p.doc.Vars)
	c.funcs("", p.doc.Funcs)
	for _, t := range p.doc.Types {
		c.typ(t)
		c.values(t.Doc, t.Consts)
		c.values(t.Doc, t.Vars)
		c.funcs("", t.Funcs)
		c.funcs(t.Name+".", t.Methods)
	}
	return c.list
}

// A critic collects problems.
type critic struct {
	*pkg
	list []string
}

// add adds a problem with what is declared at the node.
func (c *critic) add(node ast.Node, format string, args ...any) {
	c.list = append(c.list, fmt.Sprintf("%s: %s", c.fset.Position(node.Pos()), fmt.Sprintf(format, args...)))
}

// values looks at constants or variables; typeDoc is the comment of the type that they belong to.
func (c *critic) values(typeDoc string, list []*doc.Value) {
	for _, v := range list {
		for _, spec := range v.Decl.Specs {
			spec := spec.(*ast.ValueSpec)
			commented := v.Doc != "" || spec.Doc != nil || spec.Comment != nil
			for _, name := range spec.Names {
				if name.IsExported() && !commented && !mentions(typeDoc, name.Name) {
					c.add(name, "%s has no comment", name.Name)
				}
			}
			c.signature(spec.Names[0].Name, spec.Type)
		}
	}
}

// funcs looks at functions or methods, whose names follow the prefix.
func (c *critic) funcs(prefix string, list []*doc.Func) {
	for _, f := range list {
		if f.Doc == "" {
			c.add(f.Decl, "%s%s has no comment", prefix, f.Name)
		}
		if results := f.Decl.Type.Results; results != nil && len(results.List[0].Names) > 0 {
			c.add(f.Decl, "%s%s has named results", prefix, f.Name)
		}
		c.signature(prefix+f.Name, f.Decl.Type)
	}
}

// typ looks at a type, its fields and the methods of an interface.
func (c *critic) typ(t *doc.Type) {
	if t.Doc == "" {
		c.add(t.Decl, "%s has no comment", t.Name)
	}
	for _, spec := range t.Decl.Specs {
		spec := spec.(*ast.TypeSpec)
		c.signature(t.Name, spec.Type)
		var members *ast.FieldList
		switch def := spec.Type.(type) {
		case *ast.StructType:
			members = def.Fields
		case *ast.InterfaceType:
			members = def.Methods
		default:
			continue
		}
		text := t.Doc
		for _, m := range members.List {
			text += m.Doc.Text()
		}
		for _, m := range members.List {
			for _, name := range m.Names {
				if name.IsExported() && m.Doc == nil && m.Comment == nil && !mentions(text, name.Name) {
					c.add(name, "%s.%s has no comment", t.Name, name.Name)
				}
			}
		}
	}
}

// mentions reports whether the text has the name as a word of its own.
func mentions(text, name string) bool {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(text)
}

// signature looks for types that a reader of the documentation cannot look up.
func (c *critic) signature(name string, typ ast.Expr) {
	if typ == nil {
		return
	}
	imports := c.internal[c.fset.Position(typ.Pos()).Filename]
	ast.Inspect(typ, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			c.signature(name, n.Type) // not the field's name
			return false
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && imports[x.Name] != "" {
				c.add(n, "%s names %s.%s of the internal package %s", name, x.Name, n.Sel.Name, imports[x.Name])
			}
			return false
		case *ast.Ident:
			if c.hidden[n.Name] {
				c.add(n, "%s names the unexported type %s", name, n.Name)
			}
		}
		return true
	})
}
