package retrace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// node is a value of JSON, to be written as YAML.
type node struct {
	scalar string // as it stands in YAML, if it is neither a text, a list nor an object
	text   string
	isText bool
	keys   []string // of an object; nil: it is none
	items  []*node  // of an object or a list
	isList bool
}

func readNode(dec *json.Decoder) (*node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case string:
		return &node{text: t, isText: true}, nil
	case nil:
		return &node{scalar: "null"}, nil
	case json.Delim:
		n := &node{isList: t == '['}
		if !n.isList {
			n.keys = []string{}
		}
		for dec.More() {
			if !n.isList {
				key, err := dec.Token()
				if err != nil {
					return nil, err
				}
				n.keys = append(n.keys, key.(string))
			}
			item, err := readNode(dec)
			if err != nil {
				return nil, err
			}
			if i := len(n.keys) - 1; i >= 0 && slices.Contains([]string{"for", "delay", "within"}, n.keys[i]) {
				item.text = shortTime(item.text)
			}
			n.items = append(n.items, item)
		}
		_, err = dec.Token()
		n.arrange()
		return n, err
	}
	return &node{scalar: fmt.Sprint(token)}, nil
}

// shortTime leaves out of 1h0m0s what says nothing.
func shortTime(text string) string {
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// firstKeys are the keys that an object begins with.
var firstKeys = []string{"on", "state", "skip", "times", "every", "after", "file", "for", "delay", "rate", "status",
	"headers", "content_type", "reason", "message"}

// arrange puts the keys of an object in the order in which people write them.
func (n *node) arrange() {
	order := make([]int, len(n.keys))
	for i := range order {
		order[i] = i
	}
	place := func(i int) int {
		if at := slices.Index(firstKeys, n.keys[i]); at >= 0 {
			return at
		}
		return len(firstKeys)
	}
	slices.SortStableFunc(order, func(a, b int) int { return place(a) - place(b) })
	keys, items := make([]string, len(order)), make([]*node, len(order))
	for to, from := range order {
		keys[to], items[to] = n.keys[from], n.items[from]
	}
	if n.keys != nil {
		n.keys, n.items = keys, items
	}
}

// flow writes the value in one line.
func (n *node) flow() string {
	switch {
	case n.isText:
		return quote(n.text)
	case n.keys != nil:
		parts := make([]string, len(n.keys))
		for i, key := range n.keys {
			parts[i] = quote(key) + ": " + n.items[i].flow()
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case n.isList:
		parts := make([]string, len(n.items))
		for i, item := range n.items {
			parts[i] = item.flow()
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return n.scalar
}

var (
	plainWord = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z][A-Za-z0-9_./-]*)*$`)
	plainTime = regexp.MustCompile(`^(([0-9]+(\.[0-9]+)?(h|m|s|ms|µs|ns))+|[0-9]+ polls?|[0-9]+[KMGT]iB(/s)?)$`)
	// words that readers of YAML take for something else
	special = regexp.MustCompile(`(?i)^(true|false|null|yes|no|off|y|n)$`)
)

// quote writes a text so that every reader of YAML takes it for the same text.
func quote(text string) string {
	if plainTime.MatchString(text) || plainWord.MatchString(text) && !special.MatchString(text) {
		return text
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return `""` // a text is always JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// literal reports whether the text can be written line by line, as it stands.
func (n *node) literal() bool {
	text, _ := strings.CutSuffix(n.text, "\n")
	if !n.isText || !strings.Contains(text, "\n") || strings.HasSuffix(text, "\n") || strings.HasPrefix(text, "\n") {
		return false
	}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.TrimRight(line, " \t") != line {
			return false
		}
	}
	return text[0] != ' ' && strings.IndexFunc(text, func(r rune) bool {
		return r != '\n' && (!unicode.IsPrint(r) || r == '\ufeff')
	}) < 0
}
