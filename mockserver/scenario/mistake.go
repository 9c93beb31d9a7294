package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/upgrademock/upgrademock/internal/spelling"
)

// Mistake is one thing wrong with a script.
type Mistake struct {
	// File is the script's file as it was given to Parse; empty for a Go value.
	File string `json:"file,omitempty"`
	// Line and Column count from 1, in characters; 0 for a Go value.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Path is the place in the script, such as `faults[2].after`; empty for the script as a whole.
	Path string `json:"path,omitempty"`
	// Message says what was found and, where it is not a matter of words, what was expected.
	Message string `json:"message"`
	// Expected lists the words that are valid there; nil: not a matter of words.
	Expected []string `json:"expected,omitempty"`
	// Nearest is the valid word that was probably meant; empty: none is near.
	Nearest string `json:"nearest,omitempty"`
}

// Error returns the mistake as compilers print theirs:
//
//	flaky.yaml:3:1: unknown key `step`, did you mean `steps`? Valid here: `name`, …
func (m Mistake) Error() string {
	var b strings.Builder
	switch {
	case m.Line > 0 && m.File != "":
		fmt.Fprintf(&b, "%s:%d:%d: ", m.File, m.Line, m.Column)
	case m.Line > 0:
		fmt.Fprintf(&b, "%d:%d: ", m.Line, m.Column)
	case m.File != "":
		b.WriteString(m.File + ": ")
	}
	if m.Path != "" {
		b.WriteString(m.Path + ": ")
	}
	b.WriteString(m.Message)
	if m.Nearest != "" {
		fmt.Fprintf(&b, ", did you mean %s?", quote(m.Nearest))
	}
	switch {
	case len(m.Expected) > 0 && m.Nearest != "":
		fmt.Fprintf(&b, " Valid here: %s", oneOf(m.Expected))
	case len(m.Expected) > 0:
		fmt.Fprintf(&b, ", expected %s", oneOf(m.Expected))
	}
	return b.String()
}

// Error is every mistake of one script, in the order of the file. errors.As finds it, and errors.As with a *Mistake
// finds the first.
type Error struct {
	// Mistakes are never empty.
	Mistakes []Mistake
}

// Error returns one mistake a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the mistakes one by one.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Mistakes))
	for i, m := range e.Mistakes {
		errs[i] = m
	}
	return errs
}

// asError returns the mistakes in file order, or nil where there are none.
func asError(mistakes []Mistake) error {
	if len(mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(mistakes, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{Mistakes: mistakes}
}

// problem is a mistake before it has a place: what parsers and checks of single values return.
type problem struct {
	message  string
	expected []string
	nearest  string
}

func (p problem) Error() string {
	return Mistake{Message: p.message, Expected: p.expected, Nearest: p.nearest}.Error()
}

func wrong(format string, args ...any) error { return problem{message: fmt.Sprintf(format, args...)} }

func didYouMean(nearest, format string, args ...any) error {
	return problem{message: fmt.Sprintf(format, args...), nearest: nearest}
}

// unknown is what a word gets that is not among the valid ones; what names the kind of word.
func unknown(what, word string, valid []string) error {
	return problem{
		message:  fmt.Sprintf("unknown %s %s", what, quote(word)),
		expected: valid,
		nearest:  spelling.Nearest(word, valid...),
	}
}

// mistakeAt makes the mistake of an error that a parser or check returned.
func mistakeAt(path string, err error) Mistake {
	if p, ok := err.(problem); ok {
		return Mistake{Path: path, Message: p.message, Expected: p.expected, Nearest: p.nearest}
	}
	return Mistake{Path: path, Message: err.Error()}
}

// quote marks what stood in the script; a long text is cut, since the position says where the rest is.
func quote(text string) string {
	const most = 60
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "…"
	}
	if strconv.CanBackquote(text) {
		return "`" + text + "`"
	}
	return strconv.Quote(text)
}

// oneOf lists words for a message.
func oneOf(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quote(word)
	}
	last := len(quoted) - 1
	if last < 1 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}
