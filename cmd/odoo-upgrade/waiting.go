package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/upgrademock/upgrademock/internal/tty"
)

// waiting is one line on a terminal that says what is waited for: the state, how long it has lasted, when the platform
// is asked again, and the latest line of the log. Nothing else may be written to the terminal between show and hide.
type waiting struct {
	w       io.Writer // the terminal
	paint   tty.Paint
	secrets *redactor

	mu    sync.Mutex // of what follows
	state string
	since time.Time // when the state was seen first
	next  time.Time // when the platform is asked again
	log   string    // the latest line
	drawn int       // the columns of the line that is there

	stop, done chan struct{} // nil: it is not shown
}

// newWaiting returns nil where there is no such line: without a terminal on which a line can be written again, for
// programs, and where a log of each call would break it.
func (a *app) newWaiting() *waiting {
	w := behind(a.stderr)
	if a.json || a.verbose || !tty.Moves(w, a.getenv) {
		return nil
	}
	return &waiting{w: w, paint: tty.Colours(w, a.getenv), secrets: a.secrets}
}

// show shows the line, and keeps it current until hide.
func (l *waiting) show(state string, pause time.Duration) {
	now := time.Now()
	if state != l.state {
		l.state, l.since = state, now
	}
	l.next = now.Add(pause)
	l.stop, l.done = make(chan struct{}), make(chan struct{})
	l.draw()
	go func() {
		defer close(l.done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				l.draw()
			case <-l.stop:
				return
			}
		}
	}()
}

// logged notes the last one of the lines that were shown.
func (l *waiting) logged(lines string) {
	lines = strings.TrimRight(lines, "\r\n")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = logPrefix.ReplaceAllString(lines[strings.LastIndexByte(lines, '\n')+1:], "")
}

// logPrefix is what Odoo writes before a message: the time and the process, and where nothing is wrong also level,
// database and logger.
var logPrefix = regexp.MustCompile(`^[0-9-]+ [0-9:,]+ [0-9]+ (INFO \S+ [\w.]+: )?`)

// hide removes the line.
func (l *waiting) hide() {
	if l.stop == nil {
		return
	}
	close(l.stop)
	<-l.done
	l.stop = nil
	io.WriteString(l.w, l.erase())
	l.drawn = 0
}

// erase removes the line that is there. A terminal that has become narrower has broken it into rows.
func (l *waiting) erase() string {
	var up string
	if width := tty.Width(l.w); width > 0 && l.drawn > width {
		up = fmt.Sprintf("\x1b[%dA", (l.drawn-1)/width)
	}
	return up + "\r\x1b[J"
}

// draw writes the line anew. What is secret is taken out before the line is cut, which could leave a part of it.
func (l *waiting) draw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	next := "asking now"
	if left := l.next.Sub(now).Round(time.Second); left > 0 {
		next = "next poll in " + left.String()
	}
	parts := []tty.Part{
		{Colour: "1", Text: l.secrets.clean(l.state)},
		{Text: " for " + now.Sub(l.since).Round(time.Second).String()},
		{Colour: "2", Text: ", " + next},
	}
	if l.log != "" {
		parts = append(parts, tty.Part{Colour: "2", Text: "  " + l.secrets.clean(l.log)})
	}
	width := max(cmp.Or(tty.Width(l.w), 80)-len("^C")-1, 1) // the cursor stays in the row, also after an interrupt
	line := l.erase() + l.paint.Line(width, parts...)
	l.drawn = runewidth.StringWidth(tty.Paint(false).Line(width, parts...))
	io.WriteString(l.w, line)
}
