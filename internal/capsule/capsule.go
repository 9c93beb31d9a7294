// Package capsule keeps in one small file what is needed to have a run of a client happen again: the scenarios with the
// files that they name, how the emulator was set up, the client's command and task, and the journal, which says what
// happened. There is no dump in a capsule, and no key: where there was a dump, its size and its checksum are kept, and
// a made-up file of that size takes its place.
//
// It is data: a server makes a capsule of itself, and package replay has the same happen again.
package capsule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// format changes when capsules can't be read any more as they were before.
const format = 1

// The bounds of what a capsule holds. What is beyond them is left out, and LeftOut says so.
const (
	MaxEvents  = 10_000
	maxJournal = 8 << 20   // bytes of events
	maxContent = 256 << 10 // bytes of one file of a scenario
	maxFiles   = 1 << 20   // bytes of all of them
	maxNotes   = 50        // lines of LeftOut
	maxEvent   = 256 << 10 // bytes of one event
	maxScripts = 1000      // scenarios
	maxEntries = 10_000    // entries of Files
	maxFile    = 32 << 20  // bytes of a capsule
)

// The values of Stage.Clock.
const (
	ClockReal    = "real"
	ClockVirtual = "virtual"
	ClockSkip    = "skip"
)

// A Capsule is what happened on an emulator, and all that it depended on.
type Capsule struct {
	Format  int       `json:"upgrademock_capsule"`
	Version string    `json:"version"` // of the emulator
	Made    time.Time `json:"made"`
	Request int64     `json:"request,omitempty"` // the request that it is of; 0: all of them
	LeftOut []string  `json:"left_out,omitempty"`

	Stage
	// Scenarios name their files by the names in Files, until Unpack has made these.
	Scenarios Scenarios `json:"scenarios"`
	Files     Files     `json:"files,omitempty"`

	Client  *Client  `json:"client,omitempty"` // nil: it is not known who made the calls
	Failed  []string `json:"failed,omitempty"` // the expectations that were not met, as "SCENARIO: EXPECT"
	Journal Journal  `json:"journal"`
}

// The lists of a capsule. Longer ones than New makes are not read.
type (
	Scenarios []*scenario.Scenario
	Files     []File
	Journal   []journal.Event
)

// UnmarshalJSON reads scenarios, and checks each.
func (l *Scenarios) UnmarshalJSON(text []byte) error {
	return few("scenarios", l, text, maxScripts, maxFile)
}

// UnmarshalJSON reads files.
func (l *Files) UnmarshalJSON(text []byte) error { return few("files", l, text, maxEntries, maxFile) }

// UnmarshalJSON reads events.
func (l *Journal) UnmarshalJSON(text []byte) error {
	return few("journal", l, text, MaxEvents, maxEvent)
}

// few reads a list of at most so many elements, each of at most so many bytes.
func few[L ~[]E, E any](name string, into *L, text []byte, most, large int) error {
	var raw json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(text))
	if token, err := dec.Token(); err != nil || token != json.Delim('[') {
		return fmt.Errorf("%s: wanted a list, found %.20q", name, text)
	}
	var list L
	for dec.More() {
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		if len(list) == most || len(raw) > large {
			return fmt.Errorf("%s[%d]: it is too long: wanted at most %d entries of %d bytes", name, len(list), most, large)
		}
		var one E
		err := json.Unmarshal(raw, &one)
		if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok { // whose offset is one in raw
			err = fmt.Errorf("%s: wanted %v, found %s", kind.Field, kind.Type, kind.Value)
		}
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", name, len(list), err)
		}
		list = append(list, one)
	}
	*into = list
	return nil
}

// Stage is how the emulator was set up, beside its scenarios. The fields are those of mockserver.Options.
type Stage struct {
	Clock           string        `json:"clock"`
	Seed            uint64        `json:"seed,omitempty"`
	Edition         string        `json:"edition,omitempty"`
	Targets         []string      `json:"targets,omitempty"`
	Contracts       []string      `json:"contracts,omitempty"`
	Region          string        `json:"region,omitempty"`
	FailureStatus   int           `json:"failure_status,omitempty"`
	MaxDump         int64         `json:"max_dump,omitempty"`
	SFTPAccessTTL   time.Duration `json:"sftp_access_ttl_ns,omitempty"`
	TransferTimeout time.Duration `json:"transfer_timeout_ns,omitempty"`
}

// Client is the program that made the calls.
type Client struct {
	Command []string `json:"command"`
	Exit    int      `json:"exit"` // its exit status, as a shell has it
	// Its task: the dump to send, what to give to create, and the name of the file to write. Empty: not known.
	Dump   *Dump             `json:"dump,omitempty"`
	Params map[string]string `json:"params,omitempty"`
	Out    string            `json:"out,omitempty"`
}

// New makes a capsule. The events are those of a whole run, oldest first; lost is how many there were before them.
// Errors are those of reading the files that the scenarios name, and of ctx.
func New(ctx context.Context, stage Stage, scripts []*scenario.Scenario, events []journal.Event,
	lost uint64) (*Capsule, error) {
	c := &Capsule{Format: format, Version: version.String(), Made: time.Now().UTC().Truncate(time.Second), Stage: stage}
	if lost > 0 {
		c.leaveOut("the first %d events, which the emulator does not remember", lost)
	}
	c.keep(c.begun(events))
	return c, c.pack(ctx, scripts)
}

// leaveOut notes what is not in the capsule.
func (c *Capsule) leaveOut(format string, args ...any) {
	switch n := len(c.LeftOut); {
	case n < maxNotes:
		c.LeftOut = append(c.LeftOut, fmt.Sprintf(format, args...))
	case n == maxNotes:
		c.LeftOut = append(c.LeftOut, "more of the same")
	}
}

// LeaveOut notes what is not in the capsule, in words that complete "Left out: …".
func (c *Capsule) LeaveOut(what string) { c.leaveOut("%s", what) }

// begun are the events without those of requests that were made before them: their calls can't be made again.
func (c *Capsule) begun(events []journal.Event) []journal.Event {
	begun := map[int64]bool{}
	early := map[int64]bool{}
	for i := range events {
		e := &events[i]
		if e.Request == 0 || begun[e.Request] || early[e.Request] {
			continue
		}
		switch e.On {
		case scenario.OnCreate, scenario.OnUpgrade, scenario.OnScriptCreate:
			begun[e.Request] = true
		default:
			early[e.Request] = true
		}
	}
	if len(early) == 0 {
		return events
	}
	ids := make([]string, 0, len(early))
	for id := range early {
		ids = append(ids, fmt.Sprint(id))
	}
	slices.Sort(ids)
	if more := len(ids) - 10; more > 0 {
		ids = append(ids[:10], fmt.Sprintf("and %d more", more))
	}
	c.leaveOut("what happened to requests that were made before the journal begins: %s", strings.Join(ids, ", "))
	return slices.DeleteFunc(slices.Clone(events), func(e journal.Event) bool { return early[e.Request] })
}

// keep takes as many events as there is room for.
func (c *Capsule) keep(events []journal.Event) {
	room := maxJournal
	for i := range events {
		text, err := json.Marshal(&events[i])
		if room -= len(text); err != nil || room < 0 || i == MaxEvents || len(text) > maxEvent {
			c.leaveOut("the last %d of %d events", len(events)-i, len(events))
			events = events[:i]
			break
		}
	}
	c.Journal = events
}

// Write writes the capsule, with a line for each event.
func (c *Capsule) Write(w io.Writer) error {
	head := *c
	head.Journal = nil
	if head.Scenarios == nil {
		head.Scenarios = Scenarios{}
	}
	text, err := marshal(&head)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", " "); err != nil {
		return err
	}
	b.Truncate(bytes.LastIndex(b.Bytes(), []byte("null"))) // the journal, which is last
	b.WriteByte('[')
	for i := range c.Journal {
		if i > 0 {
			b.WriteByte(',')
		}
		text, err := marshal(&c.Journal[i])
		if err != nil {
			return err
		}
		b.WriteString("\n  ")
		b.Write(text)
	}
	b.WriteString("\n ]\n}\n")
	if b.Len() > maxFile {
		return fmt.Errorf("the capsule would have %d bytes, and may have %d: its scenarios are too large", b.Len(), maxFile)
	}
	_, err = w.Write(b.Bytes())
	return err
}

func marshal(value any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// ErrFormat is the error of Read for what is no capsule, or one of another version.
var ErrFormat = errors.New("wanted a capsule, as 'upgrademock exec --capsule' and GET /_mock/capsule write them")

// Read reads a capsule. Its scenarios name files that are not there before Unpack.
func Read(r io.Reader) (*Capsule, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	var head struct {
		Format  *int   `json:"upgrademock_capsule"`
		Version string `json:"version"`
	}
	err = json.NewDecoder(bytes.NewReader(text)).Decode(&head)
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return nil, fmt.Errorf("it is empty: %w", ErrFormat)
	case len(text) > maxFile:
		return nil, fmt.Errorf("it has more than %d MiB, and no capsule has: %w", maxFile>>20, ErrFormat)
	case errors.Is(err, io.ErrUnexpectedEOF) && bytes.Contains(text[:min(len(text), 200)], []byte("upgrademock_capsule")):
		return nil, fmt.Errorf("%w: it is not whole; copy it again", located(text, err))
	case err != nil:
		return nil, fmt.Errorf("%w: %w", located(text, err), ErrFormat)
	case head.Format == nil:
		return nil, ErrFormat
	case *head.Format != format:
		return nil, fmt.Errorf("it has format %d, of upgrademock %.40q, and format %d is read here: %w", *head.Format,
			head.Version, format, ErrFormat)
	}
	c := &Capsule{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", located(text, err))
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	return c, nil
}

// located says of a mistake in JSON where it is.
func located(text []byte, err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%s: %w", place(text, syntax.Offset), err)
	}
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: %s: wanted %v, found %s", place(text, kind.Offset), kind.Field, kind.Type, kind.Value)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it breaks off %s", place(text, int64(len(text))))
	}
	return err
}

// place is an offset as people count.
func place(text []byte, offset int64) string {
	before := text[:min(max(offset, 0), int64(len(text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("in line %d, byte %d", line, len(before)-bytes.LastIndexByte(before, '\n')-1)
}

// check reports what no capsule has that New makes.
func (c *Capsule) check() error {
	if known := []string{ClockReal, ClockVirtual, ClockSkip}; !slices.Contains(known, c.Clock) {
		return fmt.Errorf("clock: wanted one of %s, found %.40q", strings.Join(known, ", "), c.Clock)
	}
	for i, s := range c.Scenarios {
		if s == nil {
			return fmt.Errorf("scenarios[%d]: wanted a scenario, found null", i)
		}
	}
	files := slices.Clone(c.Files)
	if c.Client != nil {
		if len(c.Client.Command) == 0 {
			return errors.New("client: wanted a command, found none")
		}
		if d := c.Client.Dump; d != nil {
			files = append(files, d.Files...)
		}
	}
	for i := range files {
		if err := files[i].check(); err != nil {
			return err
		}
	}
	return nil
}
