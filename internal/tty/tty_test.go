package tty_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/creack/pty"

	"github.com/upgrademock/upgrademock/internal/tty"
)

func TestLine(t *testing.T) {
	t.Parallel()
	parts := []tty.Part{{Text: "ab "}, {Colour: "31", Text: "cde"}, {Text: " f\x1b[2J"}}
	for name, tc := range map[string]struct {
		paint tty.Paint
		width int
		want  string
	}{
		"as wide as it needs":      {false, 0, "ab cde f [2J"},
		"in colours":               {true, 0, "ab \x1b[31mcde\x1b[0m f [2J"},
		"just wide enough":         {false, 12, "ab cde f [2J"},
		"one too narrow":           {false, 11, "ab cde f [… "[:len("ab cde f […")]},
		"cut in a colour":          {true, 5, "ab \x1b[31mc…\x1b[0m"},
		"cut at the end of a part": {true, 7, "ab \x1b[31mcde\x1b[0m…"},
		"no room for anything":     {false, 1, "…"},
	} {
		if got := tc.paint.Line(tc.width, parts...); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	if got, want := tty.Paint(false).Line(6, tty.Part{Text: "日本語日本語"}), "日本…"; got != want {
		t.Errorf("letters of two columns: %q, want %q", got, want)
	}
}

// A terminal is known as one, with its width; NO_COLOR and TERM=dumb are respected.
func TestColours(t *testing.T) {
	t.Parallel()
	master, slave, err := pty.Open()
	if errors.Is(err, pty.ErrUnsupported) {
		t.Skip("this system has no pseudo-terminals")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	if err := pty.Setsize(slave, &pty.Winsize{Rows: 24, Cols: 77}); err != nil {
		t.Fatal(err)
	}
	if got := tty.Width(slave); got != 77 {
		t.Errorf("the width is %d, want 77", got)
	}
	if _, ok := tty.File(slave); !ok {
		t.Error("a terminal is not known as one")
	}
	for _, tc := range []struct {
		env            map[string]string
		moves, colours bool
	}{
		{nil, true, true},
		{map[string]string{"NO_COLOR": "1"}, true, false},
		{map[string]string{"TERM": "dumb"}, false, false},
	} {
		getenv := func(name string) string { return tc.env[name] }
		if moves, colours := tty.Moves(slave, getenv), tty.Colours(slave, getenv); moves != tc.moves ||
			bool(colours) != tc.colours {
			t.Errorf("%v: moves %t, colours %t", tc.env, moves, colours)
		}
	}
	none := func(string) string { return "" }
	if w := new(bytes.Buffer); tty.Width(w) != 0 || tty.Moves(w, none) || bool(tty.Colours(w, none)) {
		t.Error("a buffer is taken for a terminal")
	}
}
