// Package tty says what a terminal can show, and fits texts to it.
package tty

import (
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// File returns v as the file of a terminal, if it is one.
func File(v any) (*os.File, bool) {
	f, ok := v.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// Width returns how many columns the terminal behind w has now; 0 if w is no terminal, or one that does not say.
func Width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			return columns
		}
	}
	return 0
}

// Moves reports whether w is a terminal on which a line can be written again. getenv is [os.Getenv].
func Moves(w io.Writer, getenv func(string) string) bool {
	_, ok := File(w)
	return ok && getenv("TERM") != "dumb"
}

// Colours returns colours if w is a terminal that is to show them: NO_COLOR, and TERM=dumb, say otherwise. getenv is
// [os.Getenv].
func Colours(w io.Writer, getenv func(string) string) Paint {
	return Paint(Moves(w, getenv) && getenv("NO_COLOR") == "")
}

// Paint is colours, or none.
type Paint bool

// As returns text in the colour with that code, such as "32", or the text alone.
func (p Paint) As(code, text string) string {
	if !p || code == "" || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Plain returns a text in which nothing moves the cursor, begins a line or turns the direction of letters.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// A Part is a stretch of a line in one colour.
type Part struct {
	Colour string // as [Paint.As] has it; "" is none
	Text   string
}

// Line returns the parts as one line of at most width columns, with an ellipsis where it is cut; width 0 is as wide as
// it needs.
func (p Paint) Line(width int, parts ...Part) string {
	all := 0
	for i := range parts {
		parts[i].Text = Plain(parts[i].Text)
		all += runewidth.StringWidth(parts[i].Text)
	}
	var line strings.Builder
	left := width - runewidth.StringWidth(ellipsis)
	for _, part := range parts {
		used := runewidth.StringWidth(part.Text)
		if width > 0 && all > width && used > left {
			line.WriteString(p.As(part.Colour, runewidth.Truncate(part.Text, max(left, 0), "")+ellipsis))
			break
		}
		left -= used
		line.WriteString(p.As(part.Colour, part.Text))
	}
	return line.String()
}

const ellipsis = "…"
