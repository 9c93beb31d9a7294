package testbed_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/mockserver"
)

// buffer may be written and read concurrently.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// front starts an emulator and a proxy before it, and returns the proxy's address and the log.
func front(t *testing.T, addr string, opts mockserver.Options) (string, *buffer) {
	t.Helper()
	log := new(buffer)
	opts.Logger = slog.New(slog.NewTextHandler(log, nil))
	srv, err := mockserver.New(&opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := testbed.StartProxy(addr, srv, testbed.Options{}, opts.Logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	_, port, err := net.SplitHostPort(strings.TrimPrefix(p.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + port, log
}

// tunnel opens a connection to the emulator through the proxy; nil: it was closed.
func tunnel(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(conn, "CONNECT upgrade.odoo.com:80 HTTP/1.1\r\nHost: h\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, nil
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("CONNECT: %s", resp.Status)
	}
	return conn, in
}

// A proxy that other machines can reach is warned of as every listener.
func TestStartProxy_warnsOfExposure(t *testing.T) {
	t.Parallel()
	for addr, warned := range map[string]bool{"127.0.0.1:0": false, "0.0.0.0:0": true} {
		_, log := front(t, addr, mockserver.Options{})
		if got := strings.Contains(log.String(), "listener=proxy "); got != warned {
			t.Errorf("%s: warned: %v, want %v; the log:\n%s", addr, got, warned, log)
		}
	}
}

// The bound on connections holds for those through the proxy, and a connection that has ended makes room for another.
func TestStartProxy_maxConnections(t *testing.T) {
	t.Parallel()
	addr, log := front(t, "127.0.0.1:0", mockserver.Options{MaxConnections: 2})
	var held []net.Conn
	for range 2 {
		conn, in := tunnel(t, addr)
		if conn == nil {
			t.Fatal("a connection within the bound was closed")
		}
		fmt.Fprint(conn, "GET /database/v1/status HTTP/1.1\r\nHost: h\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		held = append(held, conn)
	}
	if conn, _ := tunnel(t, addr); conn != nil {
		t.Error("a third connection was served")
	}
	if !strings.Contains(log.String(), "too many HTTP connections") || !strings.Contains(log.String(), "listener=proxy") {
		t.Errorf("the log does not report it:\n%s", log)
	}
	held[0].Close()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if conn, _ := tunnel(t, addr); conn != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("still refused after a connection has ended")
		}
	}
}

// A client that asks the proxy for https without CONNECT gets URLs with https.
func TestStartProxy_schemeOfTheTarget(t *testing.T) {
	t.Parallel()
	addr, _ := front(t, "127.0.0.1:0", mockserver.Options{})
	for _, scheme := range []string{"http", "https"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn,
			"GET %s://upgrade.odoo.com/database/v1/create?contract=M123456-abcdef&email=a@example.com&target=8.0&"+
				"aim=test&filename=a HTTP/1.1\r\n"+
				"Host: upgrade.odoo.com\r\nConnection: close\r\n\r\n", scheme)
		answer, err := io.ReadAll(conn)
		if want := `"status_url":"` + scheme + `://upgrade.odoo.com/database/eu1/`; err != nil ||
			!strings.Contains(string(answer), want) {
			t.Errorf("%s: %s, %v, want %s", scheme, answer, err, want)
		}
	}
}
