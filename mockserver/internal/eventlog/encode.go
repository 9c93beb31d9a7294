package eventlog

import (
	"encoding/binary"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// encoded is an event in memory. There are thousands of events: as structures, each with a dozen strings and what
// those are parts of, they would take 50 MiB more, and a tenth to a seventh of a poll's CPU time, in the garbage
// collector; see bench/README.md.
//
// It begins with On. Then come a bit set of the other fields that are not zero, and those fields in order. Seq and
// Request are kept beside it.
type encoded []byte

// usualSize is a size that most encoded events do not exceed.
const usualSize = 256

// texts returns the fields that are strings, except On.
func texts(e *journal.Event) [18]*string {
	return [...]*string{
		&e.Contract, &e.Scenario, &e.Method, &e.Path, &e.Agent, &e.Checksum, &e.State, &e.User, &e.Client, &e.Auth,
		&e.PubKey, &e.Op, &e.Flags, &e.From, &e.To, &e.Fault, &e.Why, &e.KeyIn,
	}
}

// numbers returns the fields that are numbers, except Seq and Request.
func numbers(e *journal.Event) [11]int64 {
	return [...]int64{
		e.At.Unix(), int64(e.At.Nanosecond()), int64(e.Status), e.Received, e.Sent, int64(e.Duration), int64(e.Session),
		int64(e.Handle), e.Size, e.Offset, int64(e.RetryAfter),
	}
}

func setNumbers(e *journal.Event, n [11]int64) {
	e.At = time.Unix(n[0], n[1]).UTC()
	e.Status, e.Received, e.Sent, e.Duration = int(n[2]), n[3], n[4], time.Duration(n[5])
	e.Session, e.Handle, e.Size, e.Offset = uint64(n[6]), uint64(n[7]), n[8], n[9]
	e.RetryAfter = time.Duration(n[10])
}

// The bits of the set that follow those of numbers and texts.
const (
	lists = 1 << (11 + 18 + iota)
	fired
	rsync
)

// encode appends e to b, with params in place of its Params.
func encode(b []byte, e *journal.Event, params []Param) encoded {
	b = appendText(b, e.On)
	b = append(b, 0, 0, 0, 0)
	set, present, bit := len(b)-4, uint32(0), uint32(1)
	for _, n := range numbers(e) {
		if n != 0 {
			present |= bit
			b = appendNumber(b, n)
		}
		bit <<= 1
	}
	for _, s := range texts(e) {
		if *s != "" {
			present |= bit
			b = appendText(b, *s)
		}
		bit <<= 1
	}
	if len(e.Failures)+len(e.Written)+len(e.Read)+len(params) > 0 {
		present |= lists
		b = appendLists(b, e, params)
	}
	if f := e.Fired; f != nil {
		present |= fired
		b = appendNumber(appendNumber(appendNumber(b, f.At), f.Received), f.Sent)
	}
	if r := e.Rsync; r != nil {
		present |= rsync
		b = appendRsync(b, r)
	}
	binary.LittleEndian.PutUint32(b[set:], present)
	return b
}

func appendLists(b []byte, e *journal.Event, params []Param) []byte {
	b = appendNumber(b, int64(len(params)))
	for _, p := range params {
		b = appendText(appendText(b, p.Name), p.Value)
	}
	b = appendNumber(b, int64(len(e.Failures)))
	for _, s := range e.Failures {
		b = appendText(b, s)
	}
	return appendRanges(appendRanges(b, e.Written), e.Read)
}

func appendRanges(b []byte, ranges []journal.Range) []byte {
	b = appendNumber(b, int64(len(ranges)))
	for _, r := range ranges {
		b = appendNumber(appendNumber(b, r.From), r.To)
	}
	return b
}

func appendRsync(b []byte, r *journal.Rsync) []byte {
	b = appendText(b, r.Command)
	for _, n := range []int64{int64(r.Exit), int64(r.Count), int64(r.Skipped), r.Saved, int64(len(r.Files))} {
		b = appendNumber(b, n)
	}
	for _, f := range r.Files {
		skipped := int64(0)
		if f.Skipped {
			skipped = 1
		}
		b = appendNumber(appendNumber(appendNumber(appendText(b, f.Name), f.Size), f.Sent), skipped)
		b = appendText(b, f.Checksum)
	}
	return b
}

func appendNumber(b []byte, n int64) []byte { return binary.AppendVarint(b, n) }

func appendText(b []byte, s string) []byte { return append(appendNumber(b, int64(len(s))), s...) }

// on is the field On. It shares the memory of p.
func (p encoded) on() []byte {
	u := decoder(p)
	return u.bytes()
}

// event decodes the event.
func (p *entry) event() journal.Event {
	u := decoder(p.encoded)
	e := journal.Event{Seq: p.seq, Request: p.request, On: u.text()}
	all := binary.LittleEndian.Uint32(u)
	present := all
	u = u[4:]
	var n [11]int64
	for i := range n {
		if present&1 != 0 {
			n[i] = u.number()
		}
		present >>= 1
	}
	setNumbers(&e, n)
	for _, s := range texts(&e) {
		if present&1 != 0 {
			*s = u.text()
		}
		present >>= 1
	}
	if all&lists != 0 {
		u.lists(&e)
	}
	if all&fired != 0 {
		e.Fired = &journal.Fired{At: u.number(), Received: u.number(), Sent: u.number()}
	}
	if all&rsync != 0 {
		e.Rsync = u.rsync()
	}
	return e
}

func (u *decoder) lists(e *journal.Event) {
	if n := u.number(); n > 0 {
		e.Params = make(map[string]string, n)
		for range n {
			name := u.text()
			e.Params[name] = u.text()
		}
	}
	for range u.number() {
		e.Failures = append(e.Failures, u.text())
	}
	e.Written, e.Read = u.ranges(), u.ranges()
}

func (u *decoder) rsync() *journal.Rsync {
	r := &journal.Rsync{
		Command: u.text(), Exit: int(u.number()), Count: int(u.number()), Skipped: int(u.number()), Saved: u.number(),
	}
	for range u.number() {
		r.Files = append(r.Files, journal.File{
			Name: u.text(), Size: u.number(), Sent: u.number(), Skipped: u.number() != 0, Checksum: u.text(),
		})
	}
	return r
}

// decoder reads what encode wrote; it does not check for anything else.
type decoder []byte

func (u *decoder) number() int64 {
	v, n := binary.Varint(*u)
	*u = (*u)[n:]
	return v
}

func (u *decoder) bytes() []byte {
	n := u.number()
	b := (*u)[:n]
	*u = (*u)[n:]
	return b
}

func (u *decoder) text() string { return string(u.bytes()) }

func (u *decoder) ranges() (list []journal.Range) {
	for range u.number() {
		list = append(list, journal.Range{From: u.number(), To: u.number()})
	}
	return list
}
