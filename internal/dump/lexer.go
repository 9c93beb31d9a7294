package dump

import "bytes"

// statementSize is how much of a statement is kept. One that is longer is read to its end all the same.
const statementSize = 1 << 20

// A lexer finds the ends of statements in SQL that comes in pieces of any size: it knows strings, quoted names,
// dollar quotes and comments, in which a semicolon is none. psql's own commands (a line that begins with a
// backslash) are passed over.
type lexer struct {
	done    func(statement []byte) // a statement has ended; valid during the call; without comments
	comment func(text []byte)      // a comment "--…" has ended, its first 200 bytes; valid during the call

	escapes bool // backslashes escape in plain strings too (standard_conforming_strings off)

	state     lexState
	statement []byte
	line      []byte // text of a comment
	prev      byte   // the byte before; 0 where it does not matter
	escaping  bool   // the last string that was open knows backslashes
	tag       []byte // of the dollar quote that is open
	candidate []byte // what may become the tag, or end the quote
	depth     int    // of /* */
}

type lexState int

const (
	inSQL lexState = iota
	inString
	inEscaped // behind a backslash in a string
	inName
	inTag // behind a dollar that may begin a quote
	inDollar
	inLine  // --
	inBlock // /*
)

func (l *lexer) write(p []byte) {
	for len(p) > 0 {
		switch l.state {
		case inSQL:
			if n := plainRun(p); n > 0 {
				l.keep(p[:n]...)
				l.prev = p[n-1]
				p = p[n:]
				continue
			}
			l.sql(p[0])
			p = p[1:]
		default:
			p = p[l.inside(p):]
		}
	}
}

// special are the bytes that may begin or end something, perhaps with the byte before them.
var special = [256]bool{';': true, '\'': true, '"': true, '$': true, '-': true, '*': true, '\\': true}

// plainRun returns how many bytes at the beginning of p are not special.
func plainRun(p []byte) int {
	for i, c := range p {
		if special[c] {
			return i
		}
	}
	return len(p)
}

// keep adds to the statement what still fits.
func (l *lexer) keep(p ...byte) {
	l.statement = append(l.statement, p[:min(len(p), statementSize-len(l.statement))]...)
}

func (l *lexer) sql(c byte) {
	prev := l.prev
	l.prev = c
	switch {
	case c == ';':
		l.done(l.statement)
		l.statement, l.prev = l.statement[:0], 0
		return
	case c == '\'':
		// A string that goes on behind its own quote ('it''s') stays what it was.
		if prev != '\'' {
			l.escaping = l.escapes || prev == 'E' || prev == 'e'
		}
		l.state = inString
	case c == '"':
		l.state = inName
	case c == '$' && !nameByte(prev):
		l.state, l.candidate = inTag, l.candidate[:0]
	case c == '-' && prev == '-', c == '\\' && len(bytes.TrimSpace(l.statement)) == 0:
		if c == '-' && len(l.statement) > 0 {
			l.statement = l.statement[:len(l.statement)-1]
		}
		l.state, l.line = inLine, l.line[:0]
		return
	case c == '*' && prev == '/':
		if len(l.statement) > 0 {
			l.statement = l.statement[:len(l.statement)-1]
		}
		l.state, l.depth, l.prev = inBlock, 1, 0
		return
	}
	l.keep(c)
}

// inside reads from p what belongs to the thing that is open, at least one byte, and returns how many.
func (l *lexer) inside(p []byte) int {
	switch l.state {
	case inString:
		end := bytes.IndexByte(p, '\'')
		if l.escaping {
			end = bytes.IndexAny(p, `'\`)
		}
		if end < 0 {
			l.keep(p...)
			return len(p)
		}
		l.keep(p[:end+1]...)
		if p[end] == '\\' {
			l.state = inEscaped
		} else {
			l.state, l.prev = inSQL, '\''
		}
		return end + 1
	case inEscaped:
		l.keep(p[0])
		l.state = inString
		return 1
	case inName:
		end := bytes.IndexByte(p, '"')
		if end < 0 {
			l.keep(p...)
			return len(p)
		}
		l.keep(p[:end+1]...)
		l.state, l.prev = inSQL, '"'
		return end + 1
	case inTag:
		c := p[0]
		if c == '$' {
			l.keep(c)
			l.state, l.tag, l.candidate = inDollar, append(l.tag[:0], l.candidate...), nil
			return 1
		}
		if !nameByte(c) || len(l.candidate) == 0 && c >= '0' && c <= '9' || len(l.candidate) > 63 {
			l.state, l.prev = inSQL, 'x' // a parameter such as $1
			l.sql(c)
			return 1
		}
		l.keep(c)
		l.candidate = append(l.candidate, c)
		return 1
	case inDollar:
		return l.dollar(p)
	case inLine:
		end := bytes.IndexByte(p, '\n')
		text := p
		if end >= 0 {
			text = p[:end]
		}
		l.line = append(l.line, text[:min(len(text), 200-len(l.line))]...)
		if end < 0 {
			return len(p)
		}
		l.comment(l.line)
		l.state, l.prev = inSQL, 0
		return end + 1
	}
	return l.block(p)
}

// dollar reads inside $tag$…$tag$. A candidate is nil outside of a possible end, else what followed its first dollar.
func (l *lexer) dollar(p []byte) int {
	c := p[0]
	switch {
	case l.candidate == nil:
		start := bytes.IndexByte(p, '$')
		if start < 0 {
			l.keep(p...)
			return len(p)
		}
		l.keep(p[:start+1]...)
		l.candidate = []byte{}
		return start + 1
	case c == '$' && bytes.Equal(l.candidate, l.tag):
		l.state, l.prev, l.candidate = inSQL, '$', l.candidate[:0]
	case c == '$':
		l.candidate = l.candidate[:0]
	case len(l.candidate) < len(l.tag):
		l.candidate = append(l.candidate, c)
	default:
		l.candidate = nil
	}
	l.keep(c)
	return 1
}

// block reads inside /* … */, which nests.
func (l *lexer) block(p []byte) int {
	c := p[0]
	switch {
	case l.prev == '*' && c == '/':
		l.depth--
		c = 0
	case l.prev == '/' && c == '*':
		l.depth++
		c = 0
	}
	l.prev = c
	if l.depth == 0 {
		l.state = inSQL
		l.keep(' ')
	}
	return 1
}

func nameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
