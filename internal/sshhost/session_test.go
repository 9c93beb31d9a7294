package sshhost_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/sshhost"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// ssh runs OpenSSH's client with a command and returns what it wrote, and its exit status.
func (h *host) ssh(stdin string, args ...string) (stdout, stderr string, status int) {
	h.tb.Helper()
	program := testprog.Need(h.tb, "ssh", "openssh-client")
	_, port, err := net.SplitHostPort(h.addr)
	if err != nil {
		h.tb.Fatal(err)
	}
	cmd := exec.CommandContext(h.tb.Context(), program, append([]string{
		"-F", "/dev/null", "-i", h.id, "-p", port, "-l", user, "-oBatchMode=yes", "-oStrictHostKeyChecking=no",
		"-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR",
	}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		h.tb.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestExec_openSSH runs commands with OpenSSH's client: stdin, stdout, stderr and the exit status arrive.
func TestExec_openSSH(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "ssh", "openssh-client")
	h := start(t)
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for _, test := range []struct {
		name, stdin    string
		args           []string
		stdout, stderr string
		status         int
	}{
		{"status 0", "hello", []string{"127.0.0.1", "echo", "0"}, "hello", "in order: true\n", 0},
		{"status 42", "", []string{"127.0.0.1", "echo 42"}, "", "in order: true\n", 42},
		{"much", big, []string{"127.0.0.1", "echo 3"}, big, "in order: true\n", 3},
		{"refused by the handler", "", []string{"127.0.0.1", "echo refuse"}, "", "cannot echo refuse\n", 1},
		{"another command", "x", []string{"127.0.0.1", "id"}, "",
			"exec refused: this is a temporary echo server, it serves only echo\r\n", 1},
		{"a shell", "id\n", []string{"127.0.0.1"}, "",
			"shell refused: this is a temporary echo server, it serves only echo\r\n", 1},
		{"a terminal", "hello", []string{"-tt", "127.0.0.1", "echo 0"}, "", "PTY allocation request failed", 255},
		{"a subsystem", "", []string{"-s", "127.0.0.1", "sftp"}, "", "subsystem request failed", 255},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := h.ssh(test.stdin, test.args...)
			if stdout != test.stdout || !strings.Contains(stderr, test.stderr) || status != test.status {
				t.Errorf("status %d, stdout %.100q, stderr %q; want %d, %.100q, %q",
					status, stdout, stderr, test.status, test.stdout, test.stderr)
			}
		})
	}
}

// TestRequests_refused asks for everything that is not a command.
func TestRequests_refused(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.dial()
	for _, kind := range []string{"direct-tcpip", "direct-streamlocal@openssh.com", "x11", "auth-agent@openssh.com"} {
		var refused *gossh.OpenChannelError
		if _, _, err := c.OpenChannel(kind, nil); !errors.As(err, &refused) || refused.Message != "only echo is served" {
			t.Errorf("channel %s: %v", kind, err)
		}
	}
	for _, kind := range []string{"tcpip-forward", "streamlocal-forward@openssh.com", "keepalive@openssh.com"} {
		if ok, _, err := c.SendRequest(kind, true, nil); ok || err != nil {
			t.Errorf("global request %s: %v, %v", kind, ok, err)
		}
	}
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"pty-req", "x11-req", "auth-agent-req@openssh.com", "env", "signal", "subsystem"} {
		if ok, err := ch.SendRequest(kind, true, nil); ok || err != nil {
			t.Errorf("request %s: %v, %v", kind, ok, err)
		}
	}
	run := func(command string) (bool, error) {
		return ch.SendRequest("exec", true, gossh.Marshal(struct{ Command string }{command}))
	}
	if ok, err := run("echo 7"); !ok || err != nil {
		t.Errorf("exec after what was refused: %v, %v", ok, err)
	}
	for _, command := range []string{"echo 8", "id"} {
		if ok, err := run(command); ok || err != nil {
			t.Errorf("exec of %q beside another one: %v, %v", command, ok, err)
		}
	}
	ch.CloseWrite()
	go io.Copy(io.Discard, ch)
	if got := exits(reqs); !slices.Equal(got, []uint32{7}) {
		t.Errorf("exit statuses %v, want 7 once", got)
	}
	var got []string
	for _, e := range h.events.await(t, 12, sshhost.EventDenied) {
		got = append(got, strings.TrimSpace(e.Op+" "+e.Command))
	}
	want := []string{
		"direct-tcpip", "direct-streamlocal@openssh.com", "x11", "auth-agent@openssh.com", "tcpip-forward",
		"streamlocal-forward@openssh.com", "pty-req", "x11-req", "auth-agent-req@openssh.com", "subsystem",
		"exec echo 8", "exec id",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("denied (-want +got):\n%s", diff)
	}
}

// exits returns the exit statuses among a channel's requests, when the channel has ended.
func exits(reqs <-chan *gossh.Request) []uint32 {
	var list []uint32
	for req := range reqs {
		var p struct{ Status uint32 }
		if req.Type == "exit-status" && gossh.Unmarshal(req.Payload, &p) == nil {
			list = append(list, p.Status)
		}
	}
	return list
}

// exec starts a command over a TCP connection that the test can end as it likes.
func (h *host) exec(command string) (*gossh.Client, gossh.Channel, *net.TCPConn) {
	h.tb.Helper()
	tcp, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(func() { tcp.Close() })
	conn, chans, reqs, err := gossh.NewClientConn(tcp, h.addr, h.config())
	if err != nil {
		h.tb.Fatal(err)
	}
	c := gossh.NewClient(conn, chans, reqs)
	h.tb.Cleanup(func() { c.Close() })
	ch, chReqs, err := c.OpenChannel("session", nil)
	if err != nil {
		h.tb.Fatal(err)
	}
	go gossh.DiscardRequests(chReqs)
	if ok, err := ch.SendRequest("exec", true, gossh.Marshal(struct{ Command string }{command})); !ok || err != nil {
		h.tb.Fatal(ok, err)
	}
	return c, ch, tcp.(*net.TCPConn)
}

// TestSession_end ends the input of a command in every way. The handler knows an orderly end from a broken connection.
func TestSession_end(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end     func(*host, gossh.Channel, *net.TCPConn)
		orderly bool
		reason  string
	}{
		"end of input": {func(_ *host, ch gossh.Channel, _ *net.TCPConn) { ch.CloseWrite() }, true, ""},
		"end of input, and at once of the connection": {func(_ *host, ch gossh.Channel, tcp *net.TCPConn) {
			ch.CloseWrite()
			tcp.Close()
		}, true, ""},
		"close of the channel": {func(_ *host, ch gossh.Channel, _ *net.TCPConn) { ch.Close() }, true, ""},
		"FIN": {func(_ *host, _ gossh.Channel, tcp *net.TCPConn) { tcp.CloseWrite() }, false,
			"without ending the session"},
		"RST": {func(_ *host, _ gossh.Channel, tcp *net.TCPConn) {
			tcp.SetLinger(0)
			tcp.Close()
		}, false, "reset"},
		"Disconnect": {func(h *host, _ gossh.Channel, _ *net.TCPConn) { h.srv.Disconnect(user, errStopped) }, false,
			"stopped"},
		"Close": {func(h *host, _ gossh.Channel, _ *net.TCPConn) { h.srv.Close(errStopped) }, false, "stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			type end struct {
				data    string
				orderly bool
				broken  error
			}
			ended := make(chan end, 1)
			h := start(t, func(o *sshhost.Options) {
				o.Login = func(sshhost.Peer, string, gossh.PublicKey) (sshhost.Grant, error) {
					return sshhost.Grant{Serve: func(s *sshhost.Session) uint32 {
						s.Write([]byte("go"))
						data, _ := io.ReadAll(s)
						ended <- end{string(data), s.EndedInOrder(), s.Broken()}
						return 0
					}}, nil
				}
			})
			c, ch, tcp := h.exec("echo 0")
			if _, err := io.ReadFull(ch, make([]byte, 2)); err != nil { // the handler runs
				t.Fatal(err)
			}
			if _, err := ch.Write([]byte("data")); err != nil {
				t.Fatal(err)
			}
			test.end(h, ch, tcp)
			got := <-ended
			if got.orderly != test.orderly || test.orderly && got.data != "data" {
				t.Errorf("the handler read %q, orderly %v, broken by %v", got.data, got.orderly, got.broken)
			}
			if !test.orderly && (got.broken == nil || !strings.Contains(got.broken.Error(), test.reason)) {
				t.Errorf("broken by %v, want %q", got.broken, test.reason)
			}
			c.Close()
			e := h.events.await(t, 1, sshhost.EventDisconnect)[0]
			if !strings.Contains(e.Reason, test.reason) || test.reason == "" && e.Reason != "" {
				t.Errorf("the last event says %q, want %q", e.Reason, test.reason)
			}
		})
	}
}

// TestSession_outputIsLost closes the connection after the end of the input, while a command still writes: that is no
// end in order.
func TestSession_outputIsLost(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *sshhost.Options) {
		o.Login = func(sshhost.Peer, string, gossh.PublicKey) (sshhost.Grant, error) {
			return sshhost.Grant{Serve: func(s *sshhost.Session) uint32 {
				io.Copy(io.Discard, s)
				io.Copy(s, endless{})
				return 0
			}}, nil
		}
	})
	_, ch, tcp := h.exec("echo 0")
	ch.CloseWrite()
	if _, err := io.ReadFull(ch, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	tcp.Close()
	if e := h.events.await(t, 1, sshhost.EventDisconnect)[0]; e.Reason == "" {
		t.Error("the connection ended in order")
	}
}

// TestSession_leavesInOrder ends sessions while the client still sends: stdout and stderr arrive before the exit
// status, which comes once, and the connection goes on.
func TestSession_leavesInOrder(t *testing.T) {
	t.Parallel()
	answer := bytes.Repeat([]byte("answer "), 10_000)
	h := start(t, func(o *sshhost.Options) {
		o.Login = func(sshhost.Peer, string, gossh.PublicKey) (sshhost.Grant, error) {
			return sshhost.Grant{Serve: func(s *sshhost.Session) uint32 {
				s.Write(answer)
				fmt.Fprintf(s.Stderr(), "no more")
				return 12
			}}, nil
		}
	})
	c := h.dial()
	for range 20 {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		s.Stdin, s.Stdout, s.Stderr = endless{}, &out, &errs
		var exit *gossh.ExitError
		if err := s.Run("echo x"); !errors.As(err, &exit) || exit.ExitStatus() != 12 {
			t.Fatalf("ended with %v", err)
		}
		if !bytes.Equal(out.Bytes(), answer) || errs.String() != "no more" {
			t.Fatalf("%d bytes of stdout, stderr %q", out.Len(), errs.String())
		}
	}
}

// endless is a stdin that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestLimits holds a command's connection up, and sets its rate. Only lower bounds of the time are certain.
func TestLimits(t *testing.T) {
	t.Parallel()
	const stall = 200 * time.Millisecond
	h := start(t, func(o *sshhost.Options) {
		o.Login = func(sshhost.Peer, string, gossh.PublicKey) (sshhost.Grant, error) {
			return sshhost.Grant{Serve: func(s *sshhost.Session) uint32 {
				s.Stall(stall)
				s.Limit(nil, 1<<20)
				io.Copy(s, s)
				s.Limit(nil, 0)
				return 0
			}}, nil
		}
	})
	s, err := h.dial().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdin = strings.NewReader(strings.Repeat("x", 400<<10))
	began := time.Now()
	if err := s.Run("echo x"); err != nil {
		t.Fatal(err)
	}
	if took, atLeast := time.Since(began), stall+200*time.Millisecond; took < atLeast {
		t.Errorf("took %v, want at least %v", took, atLeast)
	}
}
