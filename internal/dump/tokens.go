package dump

import (
	"bytes"
	"strings"
)

// tokens reads one statement token by token.
type tokens struct{ rest []byte }

// A token has a kind: w for a word or number, a double quote for a quoted name, a single one for a string, s for a
// sign, 0 at the end.
type token struct {
	kind byte
	text string // without quotes, decoded
}

func (t token) is(sign string) bool { return t.kind == 's' && t.text == sign }

func (t *tokens) next() token {
	t.rest = bytes.TrimLeft(t.rest, " \t\r\n\f\v")
	if len(t.rest) == 0 {
		return token{}
	}
	c := t.rest[0]
	switch {
	case (c == 'E' || c == 'e') && len(t.rest) > 1 && t.rest[1] == '\'':
		t.rest = t.rest[1:]
		return token{'\'', t.quoted('\'', true)}
	case c == '\'' || c == '"':
		return token{c, t.quoted(c, false)}
	case nameByte(c):
		n := 1
		for n < len(t.rest) && nameByte(t.rest[n]) {
			n++
		}
		word := string(t.rest[:n])
		t.rest = t.rest[n:]
		return token{'w', word}
	}
	t.rest = t.rest[1:]
	return token{'s', string(c)}
}

// quoted reads what the next byte, a quote, begins.
func (t *tokens) quoted(quote byte, escapes bool) string {
	var b strings.Builder
	i := 1
	for ; i < len(t.rest); i++ {
		c := t.rest[i]
		if escapes && c == '\\' && i+1 < len(t.rest) {
			i++
			c = t.rest[i]
		} else if c == quote {
			if i+1 == len(t.rest) || t.rest[i+1] != quote {
				i++
				break
			}
			i++
		}
		b.WriteByte(c)
	}
	t.rest = t.rest[min(i, len(t.rest)):]
	return b.String()
}

// word returns the next token in capitals when it is a word, else empty.
func (t *tokens) word() string {
	if token := t.next(); token.kind == 'w' {
		return strings.ToUpper(token.text)
	}
	return ""
}

// name reads a name that may have a schema before it and IF NOT EXISTS or ONLY before that, and returns it without
// the schema.
func (t *tokens) name() string {
	token := t.next()
	for token.kind == 'w' && (strings.EqualFold(token.text, "IF") || strings.EqualFold(token.text, "NOT") ||
		strings.EqualFold(token.text, "EXISTS") || strings.EqualFold(token.text, "ONLY")) {
		token = t.next()
	}
	for bytes.HasPrefix(t.rest, []byte(".")) {
		t.next()
		token = t.next()
	}
	return token.text
}

// list reads a list of names in brackets, when there is one.
func (t *tokens) list() (names []string) {
	if t.rest = bytes.TrimLeft(t.rest, " \t\r\n\f\v"); !bytes.HasPrefix(t.rest, []byte("(")) {
		return nil
	}
	for {
		switch token := t.next(); {
		case token.kind == 0, token.is(")"):
			return names
		case token.kind == 'w' || token.kind == '"':
			names = append(names, token.text)
		}
	}
}
