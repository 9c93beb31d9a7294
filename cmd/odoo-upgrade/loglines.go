package main

import (
	"bytes"
)

// logLines shows what is written to it by whole lines, so that no character and no secret is cut in two.
type logLines struct {
	show func(lines string)
	rest []byte
}

// maxLogLine is how long a line may be before a part of it is shown.
const maxLogLine = 256 << 10

func (l *logLines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	if end := bytes.LastIndexByte(l.rest, '\n') + 1; end > 0 {
		l.show(string(l.rest[:end]))
		l.rest = append(l.rest[:0], l.rest[end:]...)
	}
	if len(l.rest) > maxLogLine {
		l.end()
	}
	return len(p), nil
}

// Pending returns how many bytes are not shown yet.
func (l *logLines) Pending() int64 { return int64(len(l.rest)) }

// end shows what is left.
func (l *logLines) end() {
	if len(l.rest) > 0 {
		l.show(string(l.rest) + "\n")
		l.rest = l.rest[:0]
	}
}
