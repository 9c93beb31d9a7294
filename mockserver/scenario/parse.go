package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxSource is far more than a script needs, and little enough to parse in no time.
const maxSource = 256 << 10

// Parse reads a script. name is its file, for messages, and gives a script without `name` its name; it may be empty
// for a script from elsewhere. Files that the script names are not looked for: [Load] and [Scenario.Resolve] do that.
// All mistakes are reported at once, as an [*Error].
func Parse(name string, src []byte) (*Scenario, error) {
	s, d := parse(name, src)
	if err := asError(d.mistakes); err != nil {
		return nil, err
	}
	return s, nil
}

// parse returns what could be read, and the decoder that knows where it stood and what was wrong.
func parse(name string, src []byte) (*Scenario, *decoder) {
	d := &decoder{file: name, places: map[string]*token.Position{}}
	s := &Scenario{}
	root, ok := d.document(src)
	if !ok {
		return s, d
	}
	d.scenario(value{root, "", begin(root)}, s)
	if s.Name == "" {
		base := filepath.Base(name)
		s.Name = strings.TrimSuffix(base, filepath.Ext(base))
		if name == "" {
			s.Name = "unnamed"
		}
	}
	d.add(check(s))
	return s, d
}

// add notes the mistakes of later checks, but for those that only follow from one of the shape.
func (d *decoder) add(mistakes []Mistake) {
	shape := d.mistakes
	for _, m := range mistakes {
		if !slices.ContainsFunc(shape, func(s Mistake) bool { return follows(m, s) }) {
			d.wrongAt(d.find(m.Path), m.Path, problem{m.Message, m.Expected, m.Nearest})
		}
	}
}

// follows reports whether m is nothing new once shape is known: something at, around or in its place could not be
// read, or the key that it misses is there, misspelt.
func follows(m, shape Mistake) bool {
	return within(shape.Path, m.Path) || within(m.Path, shape.Path) ||
		shape.Nearest != "" && parent(shape.Path) == parent(m.Path) && m.Path == join(parent(m.Path), shape.Nearest)
}

// within reports whether path is outer or a place in it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// parent returns the path of what path is a key or an item of.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// join returns the path of a key.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// find returns where path stands, or where the nearest thing around it does.
func (d *decoder) find(path string) *token.Position {
	for {
		if at := d.places[path]; at != nil {
			return at
		}
		if path == "" {
			return nil
		}
		path = parent(path)
	}
}

// document returns the one object that a script is.
func (d *decoder) document(src []byte) (ast.Node, bool) {
	refuse := func(at *token.Position, format string, args ...any) (ast.Node, bool) {
		d.wrongAt(at, "", wrong(format, args...))
		return nil, false
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	switch {
	case len(src) > maxSource:
		return refuse(nil, "a script has at most %d bytes, this has %d", maxSource, len(src))
	case !utf8.Valid(src):
		return refuse(invalidAt(src), "a script is UTF-8 text, this byte is not")
	case json.Valid(src):
		// In JSON a tab is a blank, in YAML often a mistake. Inside JSON's strings there is none.
		src = bytes.ReplaceAll(src, []byte("\t"), []byte(" "))
	}
	file, err := parseYAML(src)
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.Token != nil {
			return refuse(syntax.Token.Position, "not YAML: %s", notYAML(syntax.Message))
		}
		return refuse(nil, "not YAML: %s", notYAML(""))
	}
	var root ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			return refuse(begin(doc.Body), "a file holds one script, here a second one begins")
		default:
			root = doc.Body
		}
	}
	if root == nil {
		return refuse(nil, "the script is empty: an empty object `{}` is one on which nothing goes wrong")
	}
	return root, true
}

// parseYAML is parser.ParseBytes, but that its panics on some malformed inputs become errors, and that what would take
// it minutes is refused.
func parseYAML(src []byte) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("scenario: the reader of YAML gave up: %v", p)
		}
	}()
	tokens := lexer.Tokenize(string(src))
	if t := tooDeep(tokens); t != nil {
		return nil, &yaml.SyntaxError{Message: "nested too deeply", Token: t}
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// tooDeep returns the token at which objects and lists are nested deeper than any script's, or nil.
func tooDeep(tokens token.Tokens) *token.Token {
	const most = 100
	flow, block, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			block, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			block++ // on one line, each inside the one before
		case token.CollectEntryType:
			block = 0
		}
		if flow > most || block > most {
			return t
		}
	}
	return nil
}

func invalidAt(src []byte) *token.Position {
	at := &token.Position{Line: 1, Column: 1}
	for {
		r, n := utf8.DecodeRune(src)
		switch {
		case r == utf8.RuneError && n <= 1:
			return at
		case r == '\n':
			at.Line, at.Column = at.Line+1, 1
		default:
			at.Column++
		}
		src = src[n:]
	}
}
