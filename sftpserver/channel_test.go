package sftpserver_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/sftpserver"
)

// exits drains a channel's requests and returns the exit statuses among them, when the channel has ended.
func exits(reqs <-chan *gossh.Request) []uint32 {
	var list []uint32
	for req := range reqs {
		if req.Type == "exit-status" {
			var p struct{ Status uint32 }
			if err := gossh.Unmarshal(req.Payload, &p); err != nil {
				panic(err)
			}
			list = append(list, p.Status)
		}
	}
	return list
}

func TestExitStatus_onceAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(*raw)
		want uint32
	}{
		{"end of input", func(r *raw) { r.ch.CloseWrite() }, 0},
		{"end of input after a request without waiting", func(r *raw) { r.send(16, "."); r.ch.CloseWrite() }, 0},
		{"end of input with a handle open", func(r *raw) { r.open(name, fRead); r.ch.CloseWrite() }, 0},
		{"a message of no length", func(r *raw) { r.write(make([]byte, 8)) }, 1},
		{"a message longer than anything", func(r *raw) { r.write(bytes.Repeat([]byte{0xff}, 64)) }, 1},
		{"a message that is too short for its type", func(r *raw) { r.write([]byte{0, 0, 0, 5, 3, 0, 0, 0, 1}) }, 1},
		{"end of input within a message", func(r *raw) { r.write([]byte{0, 0, 0, 9, 16, 0}); r.ch.CloseWrite() }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			r := h.raw()
			test.end(r)
			go io.Copy(io.Discard, r.ch)
			if got := exits(r.reqs); !slices.Equal(got, []uint32{test.want}) {
				t.Errorf("exit statuses %v, want %d once", got, test.want)
			}
			// The connection goes on: a client may begin another session.
			s, err := r.conn.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
		})
	}
}

// TestLastAnswers holds that a client which ends its input right after its requests gets all the answers, whatever the
// end looks like.
func TestLastAnswers(t *testing.T) {
	t.Parallel()
	h := start(t)
	for name, last := range map[string][]byte{
		"nothing more":       nil,
		"no message":         bytes.Repeat([]byte{0xff}, 64),
		"half a message":     message(16, 99, "/path")[:12],
		"half of a write":    message(6, 99, "1", uint64(0), "data")[:20],
		"a length, no more":  {0, 0, 0, 99},
		"a message too long": {0, 4, 0, 1, 16, 0, 0, 0, 99},
	} {
		for range 5 {
			r := h.raw()
			for range 10 {
				r.send(16, ".")
			}
			r.write(last)
			r.ch.CloseWrite()
			for i := range 10 {
				if _, _, _, err := r.tryReceive(); err != nil {
					t.Fatalf("%s: answer %d: %v", name, i, err)
				}
			}
			r.conn.Close()
		}
	}
}

func TestShellAndExec_refused(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.dial()
	for _, run := range []func(*gossh.Session) error{
		func(s *gossh.Session) error { return s.Run("scp -t /") },
		func(s *gossh.Session) error {
			if err := s.Shell(); err != nil {
				return err
			}
			return s.Wait()
		},
	} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		s.Stderr = &errs
		err = run(s)
		exit, ok := err.(*gossh.ExitError)
		if !ok || exit.ExitStatus() != 1 || !strings.Contains(errs.String(), "sftp") {
			t.Errorf("ended with %v, stderr %q", err, errs.String())
		}
	}
	// Clients that try exec first go on with the subsystem.
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestSubsystem("sftp"); err != nil {
		t.Error(err)
	}
	s.Close()
	var ops []string
	for _, e := range h.events.all(sftpserver.EventDenied) {
		ops = append(ops, e.Op+" "+e.Path)
	}
	if want := []string{"exec scp -t /", "shell "}; !slices.Equal(ops, want) {
		t.Errorf("journalled %q, want %q", ops, want)
	}
}

func TestRequests_refused(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.dial()
	for _, kind := range []string{"direct-tcpip", "direct-streamlocal@openssh.com", "x11", "auth-agent@openssh.com",
		"tun@openssh.com", "nonsense"} {
		payload := gossh.Marshal(struct {
			Host  string
			Port  uint32
			From  string
			FPort uint32
		}{"127.0.0.1", 22, "127.0.0.1", 1})
		if _, _, err := c.OpenChannel(kind, payload); err == nil {
			t.Errorf("a channel %s was opened", kind)
		}
	}
	for _, kind := range []string{"tcpip-forward", "streamlocal-forward@openssh.com", "keepalive@openssh.com",
		"nonsense"} {
		if ok, _, err := c.SendRequest(kind, true, gossh.Marshal(struct {
			Host string
			Port uint32
		}{"", 0})); ok || err != nil {
			t.Errorf("global request %s: %v, %v", kind, ok, err)
		}
	}
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go gossh.DiscardRequests(reqs)
	for _, kind := range []string{"pty-req", "x11-req", "auth-agent-req@openssh.com", "env", "window-change", "break",
		"signal", "nonsense", "subsystem"} {
		if ok, err := ch.SendRequest(kind, true, []byte{0, 0, 0, 3, 'x', 'y', 'z'}); ok || err != nil {
			t.Errorf("request %s: %v, %v", kind, ok, err)
		}
		if ok, err := ch.SendRequest(kind, true, nil); ok || err != nil {
			t.Errorf("request %s with nothing in it: %v, %v", kind, ok, err)
		}
	}
	// And still the subsystem works, once.
	for _, want := range []bool{true, false} {
		if ok, err := ch.SendRequest("subsystem", true, gossh.Marshal(struct{ Name string }{"sftp"})); ok != want ||
			err != nil {
			t.Errorf("subsystem sftp: %v, %v, want %v", ok, err, want)
		}
	}
	if ok, err := ch.SendRequest("exec", true, gossh.Marshal(struct{ Command string }{"id"})); ok || err != nil {
		t.Errorf("exec beside sftp: %v, %v", ok, err)
	}
	got := make(map[string]int)
	for _, e := range h.events.all(sftpserver.EventDenied) {
		got[e.Op]++
	}
	for _, op := range []string{"direct-tcpip", "x11", "auth-agent@openssh.com", "tcpip-forward",
		"streamlocal-forward@openssh.com", "pty-req", "x11-req", "auth-agent-req@openssh.com", "exec"} {
		if got[op] == 0 {
			t.Errorf("%s is not in the journal: %v", op, got)
		}
	}
}

func TestChannels_areBounded(t *testing.T) {
	t.Parallel()
	c := start(t).dial()
	var open []gossh.Channel
	for {
		ch, reqs, err := c.OpenChannel("session", nil)
		if err != nil {
			break
		}
		go gossh.DiscardRequests(reqs)
		if open = append(open, ch); len(open) > 1000 {
			t.Fatal("no bound")
		}
	}
	if len(open) < 5 {
		t.Errorf("only %d sessions at a time", len(open))
	}
}

// TestSessions_twoOverOneConnection share the login and nothing else.
func TestSessions_twoOverOneConnection(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set([]byte("dump"))
	first := h.raw()
	handle := first.open(name, fRead)
	second := newRaw(t, first.conn)
	if got := second.status(5, handle, uint64(0), 10); got[0] == '0' {
		t.Error("a handle of another session could be read")
	}
	second.ch.CloseWrite()
	go io.Copy(io.Discard, second.ch)
	if got := exits(second.reqs); !slices.Equal(got, []uint32{0}) {
		t.Errorf("exit statuses %v", got)
	}
	if kind, _ := first.ask(5, handle, uint64(0), 10); kind != 103 {
		t.Errorf("the first session ended with the second: type %d", kind)
	}
}
