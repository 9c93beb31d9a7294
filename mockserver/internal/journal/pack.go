package journal

import (
	"encoding/binary"
	"time"
)

// packed is an event as it is remembered. Events come as fast as calls are answered, and there are thousands of them: as structures, each with a dozen
// strings, they would be most of what the garbage collector looks through.
//
// It begins with Request and On. Then comes which of the other fields are there, most of them meaning nothing for the event, and those in their order. Seq
// is beside it.
type packed []byte

// usualSize is what most events fit into.
const usualSize = 1 << 10

// texts are the fields that are strings, but for On.
func (e *Event) texts() [18]*string {
	return [...]*string{
		&e.Contract, &e.Scenario, &e.Method, &e.Path, &e.Agent, &e.Checksum, &e.State, &e.User, &e.Client, &e.Auth, &e.PubKey, &e.Op, &e.Flags,
		&e.From, &e.To, &e.Fault, &e.Why, &e.KeyIn,
	}
}

// numbers are the fields that are numbers, but for Seq and Request.
func (e *Event) numbers() [11]int64 {
	return [...]int64{
		e.At.Unix(), int64(e.At.Nanosecond()), int64(e.Status), e.Received, e.Sent, int64(e.Duration), int64(e.Session), int64(e.Handle), e.Size, e.Offset,
		int64(e.RetryAfter),
	}
}

func (e *Event) setNumbers(n [11]int64) {
	e.At, e.Status, e.Received, e.Sent, e.Duration = time.Unix(n[0], n[1]).UTC(), int(n[2]), n[3], n[4], time.Duration(n[5])
	e.Session, e.Handle, e.Size, e.Offset = uint64(n[6]), uint64(n[7]), n[8], n[9]
	e.RetryAfter = time.Duration(n[10])
}

// lists and fired are the bits behind those of numbers and texts.
const (
	lists = 1 << (11 + 18 + iota)
	fired
)

// pack appends e, with what params say instead of its Params.
func pack(b []byte, e *Event, params []Param) packed {
	b = appendNumber(b, e.Request)
	b = appendText(b, e.On)
	b = append(b, 0, 0, 0, 0)
	there, present, bit := len(b)-4, uint32(0), uint32(1)
	numbers := e.numbers()
	for _, n := range numbers {
		if n != 0 {
			present |= bit
			b = appendNumber(b, n)
		}
		bit <<= 1
	}
	for _, s := range e.texts() {
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
	binary.LittleEndian.PutUint32(b[there:], present)
	return b
}

func appendLists(b []byte, e *Event, params []Param) []byte {
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

func appendRanges(b []byte, ranges []Range) []byte {
	b = appendNumber(b, int64(len(ranges)))
	for _, r := range ranges {
		b = appendNumber(appendNumber(b, r.From), r.To)
	}
	return b
}

func appendNumber(b []byte, n int64) []byte { return binary.AppendVarint(b, n) }

func appendText(b []byte, s string) []byte { return append(appendNumber(b, int64(len(s))), s...) }

// head is what an event begins with. The bytes are the packed event's own.
func (p packed) head() (request int64, on []byte) {
	u := unpacker(p)
	return u.number(), u.bytes()
}

// event is what was packed.
func (p packed) event(seq uint64) Event {
	u := unpacker(p)
	e := Event{Seq: seq, Request: u.number(), On: u.text()}
	all := binary.LittleEndian.Uint32(u)
	present := all
	u = u[4:]
	var numbers [11]int64
	for i := range numbers {
		if present&1 != 0 {
			numbers[i] = u.number()
		}
		present >>= 1
	}
	e.setNumbers(numbers)
	for _, s := range e.texts() {
		if present&1 != 0 {
			*s = u.text()
		}
		present >>= 1
	}
	if all&lists != 0 {
		u.lists(&e)
	}
	if all&fired != 0 {
		e.Fired = &Fired{At: u.number(), Received: u.number(), Sent: u.number()}
	}
	return e
}

func (u *unpacker) lists(e *Event) {
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

// unpacker takes apart what pack made; nothing else ever comes to it.
type unpacker []byte

func (u *unpacker) number() int64 {
	v, n := binary.Varint(*u)
	*u = (*u)[n:]
	return v
}

func (u *unpacker) bytes() []byte {
	n := u.number()
	b := (*u)[:n]
	*u = (*u)[n:]
	return b
}

func (u *unpacker) text() string { return string(u.bytes()) }

func (u *unpacker) ranges() (list []Range) {
	for range u.number() {
		list = append(list, Range{u.number(), u.number()})
	}
	return list
}
