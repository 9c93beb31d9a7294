package sftpserver_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"
)

// raw speaks SFTP message by message, for what no well-behaved client says.
type raw struct {
	tb     testing.TB
	stream io.ReadWriter // the channel's, where there is one

	conn *gossh.Client
	ch   gossh.Channel
	reqs <-chan *gossh.Request
	id   uint32
}

// raw logs in, begins the subsystem and shakes hands.
func (h *host) raw() *raw {
	h.tb.Helper()
	return newRaw(h.tb, h.dial())
}

// newRaw begins the subsystem in a channel of its own and shakes hands.
func newRaw(tb testing.TB, conn *gossh.Client) *raw {
	tb.Helper()
	ch, reqs, err := conn.OpenChannel("session", nil)
	if err != nil {
		tb.Fatal(err)
	}
	r := &raw{tb: tb, stream: ch, conn: conn, ch: ch, reqs: reqs}
	if ok, err := ch.SendRequest("subsystem", true, gossh.Marshal(struct{ Name string }{"sftp"})); !ok || err != nil {
		tb.Fatalf("subsystem sftp: %v, %v", ok, err)
	}
	r.version()
	return r
}

func (r *raw) version() {
	r.tb.Helper()
	r.write(message(1, 3))
	if kind, _, _ := r.receive(); kind != 2 {
		r.tb.Fatalf("INIT was answered with type %d", kind)
	}
}

// message builds a message from uint32, uint64, string and []byte (as it is) fields.
func message(kind byte, fields ...any) []byte {
	b := []byte{0, 0, 0, 0, kind}
	for _, f := range fields {
		switch f := f.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(f))
		case uint32:
			b = binary.BigEndian.AppendUint32(b, f)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, f)
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
			b = append(b, f...)
		case []byte:
			b = append(b, f...)
		default:
			panic(fmt.Sprintf("a field of type %T", f))
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (r *raw) write(b []byte) {
	r.tb.Helper()
	if _, err := r.stream.Write(b); err != nil {
		r.tb.Fatalf("writing to the channel: %v", err)
	}
}

// send sends a request without waiting, and returns its id.
func (r *raw) send(kind byte, fields ...any) uint32 {
	r.tb.Helper()
	r.id++
	r.write(message(kind, append([]any{r.id}, fields...)...))
	return r.id
}

// tryReceive returns the type, the id (of INIT's answer: the version) and the rest of the next answer.
func (r *raw) tryReceive() (kind byte, id uint32, rest []byte, err error) {
	head := make([]byte, 9)
	if _, err := io.ReadFull(r.stream, head); err != nil {
		return 0, 0, nil, err
	}
	rest = make([]byte, binary.BigEndian.Uint32(head)-5)
	_, err = io.ReadFull(r.stream, rest)
	return head[4], binary.BigEndian.Uint32(head[5:]), rest, err
}

func (r *raw) receive() (kind byte, id uint32, rest []byte) {
	r.tb.Helper()
	kind, id, rest, err := r.tryReceive()
	if err != nil {
		r.tb.Fatalf("waiting for an answer: %v", err)
	}
	return kind, id, rest
}

// ask sends a request and returns its answer.
func (r *raw) ask(kind byte, fields ...any) (byte, []byte) {
	r.tb.Helper()
	id := r.send(kind, fields...)
	answer, got, rest := r.receive()
	if got != id {
		r.tb.Fatalf("request %d was answered with id %d", id, got)
	}
	return answer, rest
}

// status is a STATUS answer as "code text".
func (r *raw) status(kind byte, fields ...any) string {
	r.tb.Helper()
	answer, rest := r.ask(kind, fields...)
	if answer != 101 {
		r.tb.Fatalf("type %d was answered with type %d, not with a status", kind, answer)
	}
	return statusText(rest)
}

func statusText(rest []byte) string {
	code, n := binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:])
	return fmt.Sprintf("%d %s", code, rest[8:8+n])
}

// Open flags.
const (
	fRead, fWrite, fAppend, fCreate, fTrunc, fExcl = 1, 2, 4, 8, 16, 32
)

// open opens the path and returns the handle.
func (r *raw) open(path string, flags int) string {
	r.tb.Helper()
	answer, rest := r.ask(3, path, flags, 0)
	if answer != 102 {
		r.tb.Fatalf("open %q: %s", path, statusText(rest))
	}
	return string(rest[4:])
}

func (r *raw) writeAt(handle string, offset int, data []byte) {
	r.tb.Helper()
	if s := r.status(6, handle, uint64(offset), string(data)); s != "0 " {
		r.tb.Fatalf("write at %d: %s", offset, s)
	}
}

func (r *raw) close(handle string) {
	r.tb.Helper()
	if s := r.status(4, handle); !strings.HasPrefix(s, "0 ") { // OpenSSH's server says "Success"
		r.tb.Fatalf("close: %s", s)
	}
}
