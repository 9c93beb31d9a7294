// Package recording reads what other programs have recorded of calls to the platform, and writes and reads a form of
// its own.
//
// Read knows four forms, and finds out itself which one it is given: its own, HAR as browsers and proxies export it,
// the recordings of the conformance suite, and the emulator's journal. It reads in one pass, and holds one entry at a
// time.
package recording

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// maxEntry is how many bytes one entry may have: a dump in the middle of a HAR file is too much.
const maxEntry = 64 << 20

// The forms of a recording.
const (
	Own         = "recording"
	HAR         = "HAR file"
	Conformance = "recording of the conformance suite"
	Journal     = "journal"
)

// A Sink takes what is read, such as a *retrace.Collector.
type Sink interface {
	// Exchange reports whether the exchange is a call of the platform.
	Exchange(*retrace.Exchange) bool
	Event(*journal.Event)
}

// A Summary says what was read.
type Summary struct {
	Form    string
	Entries int      // events, or HTTP exchanges
	Calls   int      // of them, calls of the platform; 0 for a journal
	Hosts   []string // of the other calls, the first ones
	Cut     string   // where the file breaks off, first; "": it is whole
}

// ErrForm is the error for a file that is none of the forms.
var ErrForm = errors.New("wanted a recording, a HAR file, a recording of the conformance suite, or a journal")

// Read reads a file. One that breaks off is no error: what is whole is read, and Summary.Cut says where.
// The error says in which entry, and at which byte, something is wrong; [ErrForm] if it is none of the forms.
func Read(r io.Reader, into Sink) (Summary, error) {
	in := asUTF8(bufio.NewReaderSize(r, 64<<10))
	form, err := recognize(in)
	if err != nil {
		return Summary{}, err
	}
	s := &reader{Summary: Summary{Form: form}, into: into, limit: &limited{r: in, left: maxEntry}}
	s.dec = json.NewDecoder(s.limit)
	s.dec.UseNumber()
	switch form {
	case HAR:
		err = s.har()
	case Journal:
		err = s.journal()
	case Conformance:
		err = s.conformance()
	default:
		err = s.own()
	}
	return s.Summary, s.placed(err)
}

// asUTF8 decodes what is in UTF-16, as some shells redirect output, and takes a mark of the byte order away.
func asUTF8(in *bufio.Reader) *bufio.Reader {
	head, _ := in.Peek(2)
	coding := unicode.BOMOverride(encoding.Nop.NewDecoder())
	switch string(head) {
	case "{\x00", "[\x00":
		coding = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder()
	case "\x00{", "\x00[":
		coding = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder()
	}
	return bufio.NewReaderSize(transform.NewReader(in, coding), 64<<10)
}

// Form returns which form a file has, by how it begins; [ErrForm] if it has none of them.
func Form(r io.Reader) (string, error) { return recognize(asUTF8(bufio.NewReaderSize(r, 64<<10))) }

// recognize finds out the form by how a file begins.
func recognize(in *bufio.Reader) (string, error) {
	head, err := in.Peek(64 << 10)
	if err != nil && err != io.EOF {
		return "", err
	}
	head = bytes.TrimLeft(head, " \t\r\n")
	switch {
	case len(head) == 0:
		return "", fmt.Errorf("the file is empty: %w", ErrForm)
	case head[0] == '[':
		return Journal, nil
	case head[0] >= '0' && head[0] <= '9' && bytes.IndexByte(head[:min(12, len(head))], ':') > 0:
		return "", fmt.Errorf("this looks like flows in mitmproxy's own form: export them as a HAR file: %w", ErrForm)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")), bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "", fmt.Errorf("the file is packed: unpack it first: %w", ErrForm)
	case head[0] != '{':
		return "", fmt.Errorf("the file is not JSON: %w", ErrForm)
	}
	dec := json.NewDecoder(bytes.NewReader(head))
	dec.Token()
	first, err := dec.Token()
	key, _ := first.(string)
	switch {
	case key == "log":
		return HAR, nil
	case key == "events", key == "dropped":
		return Journal, nil
	case key == "upgrademock_recording":
		return Conformance, nil
	case key == headingKey:
		return Own, nil
	case err == nil && bytes.Contains(head, []byte(`"on"`)):
		return Journal, nil
	case err == nil && bytes.Contains(head, []byte(`"log"`)) && bytes.Contains(head, []byte(`"entries"`)):
		return HAR, nil
	}
	return "", fmt.Errorf("the file is JSON, and its first key is %.40q: %w", key, ErrForm)
}

// reader reads one file.
type reader struct {
	Summary
	into  Sink
	limit *limited
	dec   *json.Decoder
}

var errTooLong = fmt.Errorf("it is longer than %d MiB; export the file without the bodies of large calls",
	maxEntry>>20)

// limited bounds what is read for one entry.
type limited struct {
	r    io.Reader
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLong
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// next reads one entry.
func (r *reader) next(entry any) error {
	r.limit.left = maxEntry
	err := r.dec.Decode(entry)
	if err == nil {
		r.Entries++
	}
	return err
}

// placed says where an error is. The end of the file in the middle is none.
func (r *reader) placed(err error) error {
	what := "entry"
	if r.Form == Journal {
		what = "event"
	}
	place := fmt.Sprintf("%s %d, at byte %d", what, r.Entries+1, r.dec.InputOffset())
	if _, known := errors.AsType[lineError](err); known {
		return err
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		r.Cut = place
		return nil
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && strings.Contains(syntax.Error(), "unexpected end") {
		r.Cut = place
		return nil
	}
	return fmt.Errorf("the %s is wrong in %s: %w", r.Form, place, err)
}

// exchange hands an exchange on.
func (r *reader) exchange(e *retrace.Exchange) {
	if r.into.Exchange(e) {
		r.Calls++
		return
	}
	r.other(e.URL)
}

// journal reads events: JSON lines, or what the control API answers, which is a list in an object.
func (r *reader) journal() error {
	in := r.limit.r.(*bufio.Reader)
	head, _ := in.Peek(64)
	head = bytes.Join(bytes.Fields(head), nil)
	list := len(head) > 0 && head[0] == '['
	if bytes.HasPrefix(head, []byte(`{"events"`)) || bytes.HasPrefix(head, []byte(`{"dropped"`)) {
		if err := r.enter("events"); err != nil {
			return err
		}
		list = true
	} else if list {
		if _, err := r.dec.Token(); err != nil {
			return err
		}
	} else if line, err := in.Peek(maxLine); len(line) > 0 {
		line, _, more := bytes.Cut(bytes.TrimLeft(line, "\r\n"), []byte("\n"))
		if more && json.Valid(line) || err == nil && !more {
			return r.lines(in)
		}
	}
	for !list || r.dec.More() {
		var e journal.Event
		err := r.next(&e)
		switch {
		case err == io.EOF && !list:
			return nil
		case err != nil:
			return err
		case e.On == "":
			r.Entries--
			return errors.New("it is no event: it has no \"on\"")
		}
		r.into.Event(&e)
	}
	_, err := r.dec.Token()
	return err
}

// maxLine is how long the lines of a journal are at most, which holds bounded texts.
const maxLine = 64 << 10

// lines reads events of which each has a line. One that broke off, as when the emulator was killed, is passed over:
// another run may have gone on behind it.
func (r *reader) lines(in *bufio.Reader) error {
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if len(line) == 0 && err == io.EOF {
			return nil
		}
		var e journal.Event
		wrong := json.Unmarshal(line, &e)
		_, broken := errors.AsType[*json.SyntaxError](wrong)
		switch {
		case err == bufio.ErrBufferFull:
			return lineError{n, errors.New("it is too long for an event")}
		case len(bytes.TrimSpace(line)) == 0:
			continue
		case broken:
			r.Cut = cmp.Or(r.Cut, fmt.Sprintf("line %d", n))
			continue
		case wrong != nil:
			return lineError{n, wrong}
		case e.On == "":
			return lineError{n, errors.New("it is no event: it has no \"on\"")}
		}
		r.Entries++
		r.into.Event(&e)
	}
}

// lineError is an error that has its place.
type lineError struct {
	line int
	err  error
}

func (e lineError) Error() string {
	return fmt.Sprintf("the journal is wrong in line %d: %v", e.line, e.err)
}
func (e lineError) Unwrap() error { return e.err }
