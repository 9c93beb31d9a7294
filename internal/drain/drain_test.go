package drain_test

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/upgrademock/upgrademock/internal/drain"
)

// TestWait holds that a reset after it takes nothing of what was written.
func TestWait(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	sent := bytes.Repeat([]byte("upgrade "), 4<<10)
	if _, err := server.Write(sent); err != nil {
		t.Fatal(err)
	}
	drain.Wait(t.Context(), server)
	server.(*net.TCPConn).SetLinger(0)
	server.Close()
	got := make([]byte, len(sent))
	if n, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes arrived before the reset: %v", n, len(sent), err)
	}
	if _, err := client.Read(got); err == nil || err == io.EOF {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
}

// TestWait_otherConnections holds that what is no connection of the system's is not waited for.
func TestWait_otherConnections(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	drain.Wait(t.Context(), here)
}
