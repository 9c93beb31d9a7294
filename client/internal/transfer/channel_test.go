package transfer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/pkg/sftp"

	"github.com/upgrademock/upgrademock/internal/sftpwire"
)

// onChannel returns a channel whose server is a function: it gets the requests, without their lengths, and returns
// what to send. end hangs up, and returns what the library has read.
func onChannel(t testing.TB, serve func(request []byte) []byte) (c *Channel, end func() []byte) {
	t.Helper()
	fromServer, toClient := io.Pipe()
	fromClient, toServer := io.Pipe()
	c = &Channel{r: fromServer, w: toServer, packet: 32}
	var library bytes.Buffer
	var wg sync.WaitGroup
	wg.Go(func() {
		defer toClient.Close()
		for {
			p, err := readPacket(fromClient)
			if err != nil {
				return
			}
			answer := serve(p[4:])
			if _, err := toClient.Write(answer); err != nil || bytes.Equal(answer, hangUp) {
				return
			}
		}
	})
	wg.Go(func() {
		_, _ = io.Copy(&library, c)
		c.Close()
		fromServer.Close()
	})
	end = func() []byte {
		c.Close()
		fromClient.Close()
		wg.Wait()
		return library.Bytes()
	}
	t.Cleanup(func() { end() })
	return c, end
}

// hangUp is the beginning of a packet that is the last thing a server sends.
var hangUp = []byte{0, 0, 0}

// reply is a packet that answers a request.
func reply(typ byte, request []byte, body ...byte) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(1+4+len(body)))
	p = append(append(p, typ), request[1:5]...)
	return append(p, body...)
}

func statusReply(request []byte, code byte, message string) []byte {
	return reply(sftpwire.Status, request, append([]byte{0, 0, 0, code}, text(message)...)...)
}

func dataReply(request, data []byte) []byte {
	return reply(sftpwire.Data, request, text(string(data))...)
}

// text is a string with its length.
func text(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// wanted is what a read asks for.
func wanted(request []byte) (off, n int) {
	d := sftpwire.NewDecoder(request[5:])
	_ = d.Text() // the handle
	return int(d.Uint64()), int(d.Uint32())
}

func TestFile(t *testing.T) {
	t.Parallel()
	content := []byte(strings.Repeat("0123456789", 10))
	type serve = func(request []byte) []byte
	answer := func(typ byte, body ...byte) serve {
		return func(request []byte) []byte { return reply(typ, request, body...) }
	}
	status := func(code byte, message string) serve {
		return func(request []byte) []byte { return statusReply(request, code, message) }
	}
	data := func(p []byte) serve {
		return func(request []byte) []byte { return dataReply(request, p) }
	}
	raw := func(p []byte) serve {
		return func([]byte) []byte { return p }
	}
	opened := answer(sftpwire.Handle, text("handle")...)
	for name, tt := range map[string]struct {
		open, read serve
		openErr    error  // errors.Is
		readErr    error  // errors.Is
		says       string // part of the error's text
		n          int    // bytes read
	}{
		"all of it": {n: 100, read: func(request []byte) []byte {
			off, n := wanted(request)
			return dataReply(request, content[off:off+n])
		}},
		"byte by byte": {n: 100, read: func(request []byte) []byte {
			off, _ := wanted(request)
			return dataReply(request, content[off:off+1])
		}},
		"no such file":   {open: status(sftpwire.NoSuchFile, "no"), openErr: os.ErrNotExist},
		"not allowed":    {open: status(sftpwire.PermissionDenied, "no"), openErr: os.ErrPermission},
		"no handle":      {open: status(sftpwire.OK, "fine"), says: "should have sent something"},
		"broken handle":  {open: answer(sftpwire.Handle, 0, 0, 0, 9, 'h'), openErr: io.ErrUnexpectedEOF},
		"not asked for":  {open: raw(statusReply([]byte{0, 0x80, 0, 0, 77}, sftpwire.OK, "")), says: "never made"},
		"oversized":      {open: answer(sftpwire.Handle, make([]byte, 200<<10)...), says: "204800 bytes"},
		"hung up":        {open: raw(hangUp), openErr: io.ErrUnexpectedEOF},
		"too short":      {open: raw([]byte{0, 0, 0, 4, 1, 2, 3, 4, 5}), says: "packet of 4 bytes"},
		"read: at end":   {read: status(sftpwire.EOF, "End of file"), readErr: io.EOF},
		"read: failed":   {read: status(4, "disk\ngone"), says: `disk`},
		"read: nothing":  {read: data(nil), readErr: io.ErrNoProgress},
		"read: too much": {read: data(make([]byte, 200)), says: "200 bytes of data where"},
		"read: a lie":    {read: answer(sftpwire.Data, 0, 0, 0, 99, 'x'), says: "99 bytes of data where"},
		"read: no size":  {read: answer(sftpwire.Data, 0, 0), readErr: io.ErrUnexpectedEOF},
		"read: a handle": {read: opened, says: "packet of type 102"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := onChannel(t, func(request []byte) []byte {
				switch {
				case request[0] == sftpwire.Open && tt.open != nil:
					return tt.open(request)
				case request[0] == sftpwire.Open:
					return opened(request)
				case request[0] == sftpwire.Read:
					return tt.read(request)
				}
				return statusReply(request, sftpwire.OK, "")
			})
			f, err := c.Open("db.dump")
			if tt.open != nil {
				if err == nil || tt.openErr != nil && !errors.Is(err, tt.openErr) ||
					!strings.Contains(err.Error(), tt.says) {
					t.Errorf("opened: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(content))
			n, err := f.ReadAt(got, 0)
			if n != tt.n || n > 0 && !bytes.Equal(got, content) {
				t.Errorf("read %d bytes, %q", n, got)
			}
			good := tt.readErr == nil && tt.says == ""
			if good != (err == nil) || tt.readErr != nil && !errors.Is(err, tt.readErr) ||
				!good && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("read: %v", err)
			}
			var status *sftp.StatusError
			if name == "read: failed" && (!errors.As(err, &status) || status.Code != 4 || strings.Contains(err.Error(), "\n")) {
				t.Errorf("a status became %v", err)
			}
			if err := f.Close(); tt.n > 0 && err != nil {
				t.Errorf("closed: %v", err)
			}
		})
	}
}

// TestChannel_shared: the library's packets pass complete and in order between the answers to File, in whatever order
// those come.
func TestChannel_shared(t *testing.T) {
	t.Parallel()
	const readers = 8
	var held [][]byte
	var mu sync.Mutex
	c, end := onChannel(t, func(request []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		held = append(held, request)
		if len(held) < readers {
			return nil
		}
		var out []byte
		for i := len(held) - 1; i >= 0; i-- {
			off, n := wanted(held[i])
			out = append(out, dataReply(held[i], bytes.Repeat([]byte{byte(off)}, n))...)
			out = append(out, reply(sftpwire.Status, []byte{0, 0, 0, 0, byte(i)}, 1, 2, 3)...)
		}
		return out
	})
	f := &File{c: c, handle: "h"}
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			p := make([]byte, 10+i)
			if n, err := f.ReadAt(p, int64(i)); n != len(p) || err != nil || !bytes.Equal(p, bytes.Repeat([]byte{byte(i)}, n)) {
				t.Errorf("reader %d got %d bytes, %v, %v", i, n, p, err)
			}
		})
	}
	wg.Wait()
	got := end()
	if _, err := f.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("an answer came on a channel that has ended")
	}
	var want []byte
	for i := readers - 1; i >= 0; i-- {
		want = append(want, reply(sftpwire.Status, []byte{0, 0, 0, 0, byte(i)}, 1, 2, 3)...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the library reads %x, want %x", got, want)
	}
}

// FuzzAnswers: whatever a server answers to the opening and reading of a file, nothing panics, hangs, or reads more
// than was asked for.
func FuzzAnswers(f *testing.F) {
	first, second := []byte{0, 0x80, 0, 0, 1}, []byte{0, 0x80, 0, 0, 2}
	handle := reply(sftpwire.Handle, first, text("h")...)
	f.Add(append(handle, dataReply(second, []byte("0123456789"))...))
	f.Add(append(handle, dataReply(second, []byte("01234"))...))
	f.Add(append(handle, statusReply(second, sftpwire.EOF, "")...))
	f.Add(append(reply(sftpwire.Status, []byte{0, 0, 0, 0, 1}, 0, 0, 0, 0), handle...))
	f.Add(statusReply(first, sftpwire.NoSuchFile, "none"))
	f.Add(dataReply(first, []byte("unasked")))
	f.Add([]byte{0, 0, 0, 4, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, says []byte) {
		answers, server := io.Pipe()
		asked := make(chan struct{}, 100)
		c := &Channel{r: answers, w: notifier(asked), packet: 10}
		var wg sync.WaitGroup
		wg.Go(func() {
			<-asked // an answer comes after its question
			_, _ = server.Write(says)
			server.Close()
		})
		wg.Go(func() {
			_, _ = io.Copy(io.Discard, c)
			c.Close()
			answers.Close()
		})
		if file, err := c.Open("db.dump"); err == nil {
			p := make([]byte, 20)
			n, err := file.ReadAt(p[:10], 0)
			if n > 10 || n < 10 && err == nil || !bytes.Equal(p[10:], make([]byte, 10)) {
				t.Errorf("read %d bytes, %v: %x", n, err, p)
			}
			_ = file.Close()
		}
		wg.Wait()
	})
}

// notifier is a writer that signals each write.
type notifier chan struct{}

func (c notifier) Write(p []byte) (int, error) {
	select {
	case c <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (notifier) Close() error { return nil }
