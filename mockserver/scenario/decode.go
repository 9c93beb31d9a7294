package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// decoder reads syntax trees into Go values and notes every mistake on the way. It checks the shape only, keys and
// types; what the values mean together is the checker's, which also judges scripts written in Go.
type decoder struct {
	file     string
	mistakes []Mistake
	places   map[string]*token.Position // path → where it stands
}

// value is one node, its path, and where it stands.
type value struct {
	node ast.Node
	path string
	at   *token.Position
}

// fields are the keys of an object and what reads each.
type fields map[string]func(value)

// wrong notes a mistake in v.
func (d *decoder) wrong(v value, err error) {
	d.wrongAt(v.at, v.path, err)
}

func (d *decoder) wrongAt(at *token.Position, path string, err error) {
	m := mistakeAt(path, err)
	m.File, m.Line, m.Column = d.file, 1, 1
	if at != nil {
		m.Line, m.Column = at.Line, at.Column
	}
	d.mistakes = append(d.mistakes, m)
}

// begin returns where a node starts: for an object in block style that is its first key, not its first colon.
func begin(node ast.Node) *token.Position {
	if m, ok := node.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken().Position
	}
	if node == nil || node.GetToken() == nil {
		return nil
	}
	return node.GetToken().Position
}

// object reads the keys of v. It reports false where v is no object.
func (d *decoder) object(v value, what string, known fields) bool {
	return d.entries(v, what, func(key string, at *token.Position, item value) {
		read, ok := known[key]
		if _, has := known["at"]; !ok && has && key == "true" {
			d.wrongAt(at, item.path, didYouMean("on", "another reader of YAML has made `true` of `on`: `at` is the same word, "+
				"and left alone"))
			return
		}
		if !ok {
			d.wrongAt(at, item.path, unknown("key", key, slices.Sorted(maps.Keys(known))))
			return
		}
		read(item)
	})
}

// entries reads an object whose keys are not known beforehand.
func (d *decoder) entries(v value, what string, each func(key string, at *token.Position, item value)) bool {
	mapping, ok := v.node.(ast.MapNode)
	if !ok {
		d.wrong(v, wrong("wanted %s, found %s", what, describeNode(v.node)))
		return false
	}
	seen := map[string]bool{}
	for entries := mapping.MapRange(); entries.Next(); {
		at := entries.Key().GetToken().Position
		key, ok := keyText(entries.Key())
		path := join(v.path, key)
		switch {
		case !ok:
			d.wrongAt(at, v.path, wrong("wanted a plain key, found %s", describeNode(entries.Key())))
			continue
		case seen[key]:
			d.wrongAt(at, path, wrong("the key %s stands here twice", quote(key)))
			continue
		}
		seen[key] = true
		item := value{entries.Value(), path, begin(entries.Value())}
		if item.node.GetToken().Type == token.ImplicitNullType {
			item.at = at // what is not there stands nowhere
		}
		d.places[path] = item.at
		each(key, at, item)
	}
	return true
}

func keyText(node ast.MapKeyNode) (string, bool) {
	switch key := node.(type) {
	case *ast.StringNode:
		return key.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return node.GetToken().Value, true
	}
	return "", false // anchors, merge keys, tagged and composed keys
}

// list reads the items of v. It reports false where v is no list.
func (d *decoder) list(v value, what string, each func(i int, item value)) bool {
	sequence, ok := v.node.(*ast.SequenceNode)
	if !ok {
		d.wrong(v, wrong("wanted %s, found %s", what, describeNode(v.node)))
		return false
	}
	for i, node := range sequence.Values {
		path := fmt.Sprintf("%s[%d]", v.path, i)
		d.places[path] = begin(node)
		each(i, value{node, path, begin(node)})
	}
	return true
}

// scalar is what text, numbers and truth values have in common: v's plain value, or a mistake.
func scalar[T any](d *decoder, v value, want kind) (t T, ok bool) {
	found, err := plainScalar(v.node)
	t, ok = found.(T)
	if err != nil || !ok {
		hint := ""
		if _, number := v.node.(ast.ScalarNode); number && want == kindText && found != nil {
			hint = ": in quotes it is text"
		}
		d.wrong(v, wrong("wanted %s, found %s%s", want, describeNode(v.node), hint))
		return t, false
	}
	return t, true
}

// text reads text that is not empty.
func (d *decoder) text(into *string) func(value) {
	return func(v value) {
		if s, ok := scalar[string](d, v, kindText); ok {
			if s == "" {
				d.wrong(v, wrong("wanted %s, found an empty one", kindText))
			}
			*into = s
		}
	}
}

// anyText reads text that may be empty.
func (d *decoder) anyText(into *string) func(value) {
	return func(v value) {
		if s, ok := scalar[string](d, v, kindText); ok {
			*into = s
		}
	}
}

func (d *decoder) truth(into *bool) func(value) {
	return func(v value) {
		if b, ok := scalar[bool](d, v, kindBool); ok {
			*into = b
		}
	}
}

// count reads an integer of at least least; why says what a smaller one would mean.
func (d *decoder) count(into *int, least int64, why string) func(value) {
	return func(v value) {
		n, ok := scalar[int64](d, v, kindInteger)
		switch {
		case !ok:
		case n < least:
			d.wrong(v, wrong("wanted at least %d, found %d: %s", least, n, why))
		case n > math.MaxInt32:
			d.wrong(v, wrong("wanted at most %d, found %d", math.MaxInt32, n))
		default:
			*into = int(n)
		}
	}
}

// parsed reads a value that has a little language of its own, and takes numbers in their written form.
func parsed[T any](d *decoder, into *T, parse func(string) (T, error)) func(value) {
	return func(v value) {
		text := ""
		switch node := v.node.(type) {
		case *ast.IntegerNode:
			text = node.GetToken().Value
		case *ast.FloatNode:
			text = node.GetToken().Value
		default:
			var ok bool
			if text, ok = scalar[string](d, v, kindText); !ok {
				return
			}
		}
		t, err := parse(text)
		if err != nil {
			d.wrong(v, err)
			return
		}
		*into = t
	}
}

// any reads whatever JSON could say: nil, bool, string, int64, uint64, float64, []any, map[string]any. Whole floats
// become integers, as JSON doesn't tell them apart.
func (d *decoder) any(v value) any {
	switch v.node.(type) {
	case ast.MapNode:
		object := map[string]any{}
		d.entries(v, "", func(key string, _ *token.Position, item value) { object[key] = d.any(item) })
		return object
	case *ast.SequenceNode:
		list := []any{}
		d.list(v, "", func(_ int, item value) { list = append(list, d.any(item)) })
		return list
	}
	scalar, err := plainScalar(v.node)
	if err != nil {
		d.wrong(v, err)
	}
	return scalar
}

// plainScalar returns the Go value of a scalar.
func plainScalar(node ast.Node) (any, error) {
	switch n := node.(type) {
	case *ast.NullNode:
		return nil, nil
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.StringNode:
		// The YAML reader takes JSON's 1e3 and very long integers for text.
		if n.Token.Type == token.StringType && json.Valid([]byte(n.Value)) {
			var f float64
			if err := json.Unmarshal([]byte(n.Value), &f); err == nil {
				return whole(f), nil
			}
		}
		return n.Value, nil
	case *ast.IntegerNode:
		switch i := n.Value.(type) {
		case int64:
			return i, nil
		case uint64:
			if i <= math.MaxInt64 {
				return int64(i), nil
			}
			return whole(float64(i)), nil
		}
	case *ast.FloatNode:
		if !math.IsInf(n.Value, 0) && !math.IsNaN(n.Value) {
			return whole(n.Value), nil
		}
	}
	return nil, wrong("wanted a value that JSON has, found %s", describeNode(node))
}

// whole makes an integer of what JSON would write as one.
func whole(f float64) any {
	if i, err := strconv.ParseInt(strconv.FormatFloat(f, 'f', -1, 64), 10, 64); err == nil {
		return i
	}
	return f
}

func describeNode(node ast.Node) string {
	switch n := node.(type) {
	case nil:
		return "nothing"
	case *ast.NullNode, *ast.BoolNode, *ast.LiteralNode, *ast.StringNode:
		plain, _ := plainScalar(node)
		return describe(plain)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + quote(node.GetToken().Value)
	case ast.MapNode:
		return "an object"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode:
		return "an anchor, which scripts don't have"
	case *ast.AliasNode, *ast.MergeKeyNode:
		return "an alias, which scripts don't have"
	case *ast.TagNode:
		return "the tag " + quote(n.GetToken().Value) + ", which scripts don't have"
	}
	return "something that scripts don't have"
}

func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		if v == "" {
			return "an empty text"
		}
		return "the text " + quote(v)
	case bool:
		return fmt.Sprintf("`%t`", v)
	case []any, []string:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("the number `%v`", v)
}

// printable reports what is wrong with a name that people read and type.
func printable(name string) error {
	for _, r := range name {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return wrong("a name has no control characters, found %s", quote(name))
		}
	}
	return nil
}
