package sshhost_test

import (
	"bufio"
	"net"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

// begun is a connection on which the client has sent its version line already.
type begun struct {
	net.Conn
	in   *bufio.Reader
	sent string
}

func (b *begun) Read(p []byte) (int, error) { return b.in.Read(p) }

func (b *begun) Write(p []byte) (int, error) {
	if string(p) == b.sent {
		b.sent = ""
		return len(p), nil
	}
	return b.Conn.Write(p)
}

// TestKexPeek_clientThatWaits lets in a client that sends its algorithms only after the server's.
func TestKexPeek_clientThatWaits(t *testing.T) {
	t.Parallel()
	h := start(t)
	tcp, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	b := &begun{Conn: tcp, in: bufio.NewReaderSize(tcp, 64<<10), sent: "SSH-2.0-Go\r\n"}
	if _, err := tcp.Write([]byte(b.sent)); err != nil {
		t.Fatal(err)
	}
	const line = "SSH-2.0-upgrademock\r\n"
	if got, err := b.in.Peek(len(line) + 6); err != nil || string(got[:len(line)]) != line || got[len(line)+5] != 20 {
		t.Fatalf("the server began with %q, %v", got, err)
	}
	conn, chans, reqs, err := gossh.NewClientConn(b, h.addr, h.config())
	if err != nil {
		t.Fatal(err)
	}
	gossh.NewClient(conn, chans, reqs).Close()
}

// TestKexPeek_nonsense ends the connection, with a reason.
func TestKexPeek_nonsense(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff", "SSH-1.5-old\r\n",
		strings.Repeat("x", 100_000), "\r\n\r\n",
	} {
		h := start(t)
		tcp, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		tcp.Write([]byte(sent))
		tcp.(*net.TCPConn).CloseWrite()
		if e := h.events.await(t, 1, sshhost.EventDisconnect)[0]; e.Reason == "" {
			t.Errorf("%.20q: reported %+v", sent, e)
		}
		tcp.Close()
	}
}

// TestKexPeek_cipher holds that OpenSSH, which asks for ChaCha20 first, gets the cheaper cipher, and that old clients
// get theirs.
func TestKexPeek_cipher(t *testing.T) {
	t.Parallel()
	h := start(t)
	const gcm, chacha = "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"
	for _, test := range []struct {
		knows []string
		gets  string
	}{
		{[]string{chacha, "aes128-ctr", "aes192-ctr", "aes256-ctr", gcm, "aes256-gcm@openssh.com"}, gcm},
		{[]string{"aes256-ctr", "aes256-gcm@openssh.com"}, "aes256-gcm@openssh.com"},
		{[]string{"aes128-ctr", "aes256-ctr"}, "aes128-ctr"},
		{[]string{chacha, "aes128-ctr"}, chacha},
	} {
		config := h.config()
		config.Ciphers = test.knows
		c, err := gossh.Dial("tcp", h.addr, config)
		if err != nil {
			t.Fatal(err)
		}
		got := c.Conn.(gossh.AlgorithmsConnMetadata).Algorithms()
		if got.Read.Cipher != test.gets || got.Write.Cipher != test.gets {
			t.Errorf("a client that knows %q got %s and %s, want %s", test.knows, got.Read.Cipher, got.Write.Cipher, test.gets)
		}
		c.Close()
	}
}
