package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/upgrademock/upgrademock/client"
)

// terminalOf makes a terminal with so many columns. read returns what was written to it, up to and with a text.
func terminalOf(t *testing.T, columns uint16) (slave *os.File, read func(until string) string) {
	t.Helper()
	master, slave, err := pty.Open()
	if errors.Is(err, pty.ErrUnsupported) {
		t.Skip("this system has no pseudo-terminals")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		slave.Close()
		master.Close()
	})
	resize(t, slave, columns)
	guard := time.AfterFunc(2*time.Minute, func() { master.Close() })
	t.Cleanup(func() { guard.Stop() })
	in := bufio.NewReader(master)
	return slave, func(until string) string {
		t.Helper()
		var text strings.Builder
		for !strings.HasSuffix(text.String(), until) {
			b, err := in.ReadByte()
			if err != nil {
				t.Fatalf("%v after %q", err, text.String())
			}
			text.WriteByte(b)
		}
		return text.String()
	}
}

func resize(t *testing.T, slave *os.File, columns uint16) {
	t.Helper()
	if err := pty.Setsize(slave, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
}

// The line fits the terminal, has no key even where it is cut, and is gone before anything follows.
func TestWaiting(t *testing.T) {
	t.Parallel()
	const token = "HOk5Ea9Q2vZ1xR7bN3mC8dL6tY4uW0pKsJfGhIqAoXeTrUyVcBnMzDlSw"
	slave, read := terminalOf(t, 80)
	a := newApp(environment{stdout: io.Discard, stderr: slave, getenv: func(string) string { return "" }})
	a.secrets.add(client.Key(token))
	r := &reporter{a: a, bars: a.newBars()}
	r.log("2026-11-28 09:04:03,431 14 INFO db odoo.modules: the token is " + token + "\n")
	read("[key]\r\n")
	r.Waiting("progress", time.Hour)
	line := read("[key]")
	want := "\x1b[1mprogress\x1b[0m for 0s\x1b[2m, next poll in 1h0m0s\x1b[0m\x1b[2m  the token is [key]"
	if !strings.HasSuffix(line, want) {
		t.Errorf("the line is %q, want %q", line, want)
	}
	r.log("another\n")
	if got, want := read("another\r\n"), "\x1b[0m\r\x1b[Janother\r\n"; !strings.HasSuffix(got, want) {
		t.Errorf("before the next line came %q, want %q", got, want)
	}
	r.log(strings.Repeat("long ", 50) + "\n")
	read("long \r\n")
	r.Waiting("progress", time.Hour)
	plain := regexp.MustCompile("\x1b\\[[0-9;]*[a-zA-Z]|\r").ReplaceAllString(read("…"), "")
	if n := len([]rune(plain)); n != 77 {
		t.Errorf("%d columns, on a terminal with 80: %q", n, plain)
	}
	resize(t, slave, 40) // which has broken the line into two rows
	r.bars.end()
	if got, want := read("\x1b[1A\r\x1b[J"), "\x1b[0m\x1b[1A\r\x1b[J"; !strings.HasSuffix(got, want) {
		t.Errorf("at the end came %q, want %q", got, want)
	}
}

// Without a terminal on which a line can be written again there are lines as ever.
func TestWaiting_plain(t *testing.T) {
	t.Parallel()
	slave, _ := terminalOf(t, 80)
	for name, tc := range map[string]struct {
		stderr io.Writer
		env    map[string]string
		set    func(*app)
		want   bool
	}{
		"a terminal": {slave, nil, func(*app) {}, true},
		"NO_COLOR":   {slave, map[string]string{"NO_COLOR": "1"}, func(*app) {}, true},
		"dumb":       {slave, map[string]string{"TERM": "dumb"}, func(*app) {}, false},
		"JSON":       {slave, nil, func(a *app) { a.json = true }, false},
		"verbose":    {slave, nil, func(a *app) { a.verbose = true }, false},
		"a pipe":     {new(bytes.Buffer), nil, func(*app) {}, false},
	} {
		a := newApp(environment{stderr: tc.stderr, getenv: func(name string) string { return tc.env[name] }})
		tc.set(a)
		w := a.newWaiting()
		if (w != nil) != tc.want {
			t.Errorf("%s: a line %t, want %t", name, w != nil, tc.want)
		}
		if w != nil && bool(w.paint) == (name == "NO_COLOR") {
			t.Errorf("%s: colours %t", name, w.paint)
		}
	}
}
