package journal

import (
	"encoding/binary"
	"time"
)

// entry is an event as it is remembered: packed, in memory that the next event in its place uses again. Events come as fast as calls are answered,
// and there are thousands of them: as structures, each with a dozen strings, they would be most of what the garbage collector looks through.
type entry struct {
	seq     uint64
	request int64
	on      string
	rest    []byte
}

const usualSize = 4 << 10

// texts and numbers are the fields that are packed in one way each, in their order.
func (e *Event) texts() [17]*string {
	return [...]*string{
		&e.Contract, &e.Scenario, &e.Method, &e.Path, &e.Agent, &e.Checksum, &e.State, &e.User, &e.Client, &e.Auth, &e.PubKey, &e.Op, &e.Flags,
		&e.From, &e.To, &e.Fault, &e.Why,
	}
}

func (e *Event) numbers() [5]*int64 {
	return [...]*int64{&e.Received, &e.Sent, (*int64)(&e.Duration), &e.Size, &e.Offset}
}

// set remembers e, with what params say instead of its Params. What was remembered before is overwritten.
func (en *entry) set(e *Event, params []Param) {
	en.seq, en.request, en.on = e.Seq, e.Request, e.On
	if cap(en.rest) > usualSize { // one large event must not keep its memory for all that follow
		en.rest = nil
	}
	b := en.rest[:0]
	b = binary.AppendVarint(b, e.At.Unix())
	b = binary.AppendUvarint(b, uint64(e.At.Nanosecond()))
	b = binary.AppendVarint(b, int64(e.Status))
	b = binary.AppendUvarint(b, e.Session)
	b = binary.AppendUvarint(b, e.Handle)
	b = append(b, 0, 0, 0, 0)
	there, present := len(b)-4, uint32(0) // which fields are: most of them mean nothing for the event
	numbers, texts := e.numbers(), e.texts()
	for i := range numbers {
		if n := *numbers[i]; n != 0 {
			present |= 1 << i
			b = binary.AppendVarint(b, n)
		}
	}
	for i := range texts {
		if s := *texts[i]; s != "" {
			present |= 1 << (len(numbers) + i)
			b = appendText(b, s)
		}
	}
	binary.LittleEndian.PutUint32(b[there:], present)
	b = binary.AppendUvarint(b, uint64(len(e.Failures)))
	for _, s := range e.Failures {
		b = appendText(b, s)
	}
	b = appendRanges(appendRanges(b, e.Written), e.Read)
	b = binary.AppendUvarint(b, uint64(len(params)))
	for _, p := range params {
		b = appendText(appendText(b, p.Name), p.Value)
	}
	en.rest = b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendRanges(b []byte, ranges []Range) []byte {
	b = binary.AppendUvarint(b, uint64(len(ranges)))
	for _, r := range ranges {
		b = binary.AppendVarint(binary.AppendVarint(b, r.From), r.To)
	}
	return b
}

// event is what was remembered.
func (en *entry) event() Event {
	e := Event{Seq: en.seq, Request: en.request, On: en.on}
	u := unpacker(en.rest)
	e.At = time.Unix(u.varint(), int64(u.uvarint())).UTC()
	e.Status = int(u.varint())
	e.Session, e.Handle = u.uvarint(), u.uvarint()
	present := binary.LittleEndian.Uint32(u)
	u = u[4:]
	numbers := e.numbers()
	for i, n := range numbers {
		if present&(1<<i) != 0 {
			*n = u.varint()
		}
	}
	for i, s := range e.texts() {
		if present&(1<<(len(numbers)+i)) != 0 {
			*s = u.text()
		}
	}
	for range u.uvarint() {
		e.Failures = append(e.Failures, u.text())
	}
	e.Written, e.Read = u.ranges(), u.ranges()
	if n := u.uvarint(); n > 0 {
		e.Params = make(map[string]string, n)
		for range n {
			name := u.text()
			e.Params[name] = u.text()
		}
	}
	return e
}

// unpacker takes apart what set made; nothing else ever comes to it.
type unpacker []byte

func (u *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(*u)
	*u = (*u)[n:]
	return v
}

func (u *unpacker) varint() int64 {
	v, n := binary.Varint(*u)
	*u = (*u)[n:]
	return v
}

func (u *unpacker) text() string {
	n := u.uvarint()
	s := string((*u)[:n])
	*u = (*u)[n:]
	return s
}

func (u *unpacker) ranges() (list []Range) {
	for range u.uvarint() {
		list = append(list, Range{u.varint(), u.varint()})
	}
	return list
}
