package client_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
)

// FuzzStatus: whatever a platform answers, the outcome is a request with an id and a key or an *Error without the key.
func FuzzStatus(f *testing.F) {
	for _, body := range []string{
		ok(sampleRequest), `{"failures": [{"reason": "TARGET:INVALID", "expected": ["6.0"]}]}`, `{"failures": "x"}`,
		`{"failures": {}}`, "<html>", "", "null", "[",
		`{"request": {"id": 1e99}}`, `{"request": {"id": "` + string(sampleKey) + `"}}`,
		`{"failures": [1, null, {"reason": 1, "expected": {"a": 1}}]}`,
		`{"failures": [{"message": "\u001b[31m` + string(sampleKey) + `"}]}`,
	} {
		f.Add(200, body)
		f.Add(502, body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			status = 200
		}
		c, _ := inMemory(t, func(int, *http.Request) (*http.Response, error) {
			return reply(status, body, "Location", body, "Retry-After", body)
		})
		r, err := c.Status(t.Context(), sampleRef)
		if err == nil {
			if r.ID == 0 || r.Key == "" {
				t.Errorf("got %+v", r)
			}
			_ = r.Rejection()
			return
		}
		var e *client.Error
		if !errors.As(err, &e) {
			t.Fatalf("got %T", err)
		}
		if strings.Contains(err.Error(), string(sampleKey)) {
			t.Errorf("%q holds the key", err)
		}
		for _, is := range []error{client.ErrTransient, client.ErrUncertain, client.ErrNotFound} {
			_ = errors.Is(err, is)
		}
	})
}

// FuzzDownload: whatever a server says of ranges, a file that is there in the end is what the server's last answer
// holds from the beginning or continues the part.
func FuzzDownload(f *testing.F) {
	f.Add(206, "bytes 4-7/8", `"a"`, "4567")
	f.Add(206, "bytes 0-7/8", `"a"`, "01234567")
	f.Add(206, "bytes 5-7/8", `"a"`, "567")
	f.Add(206, "bytes 4-7/*", `"a"`, "4567")
	f.Add(206, "bytes */8", `"a"`, "")
	f.Add(200, "", `"b"`, "other")
	f.Add(416, "bytes */4", `"a"`, "")
	f.Add(416, "bytes */8", `"a"`, "")
	f.Add(204, "", "", "")
	f.Fuzz(func(t *testing.T, status int, contentRange, etag, body string) {
		if status < 200 || status > 599 {
			status = 206
		}
		out := filepath.Join(t.TempDir(), "out")
		c, _ := inMemory(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 0 { // half of a file
				resp, err := reply(200, "0123", "ETag", `"a"`)
				resp.ContentLength = 8
				return resp, err
			}
			return reply(status, body, "Content-Range", contentRange, "ETag", etag)
		})
		_, err := c.Download(t.Context(), "http://platform.test/x", out, &client.DownloadOptions{
			Retry: &client.RetryOptions{Min: time.Nanosecond, Max: time.Nanosecond, Limit: time.Millisecond}})
		got, rerr := os.ReadFile(out)
		switch {
		case err != nil && rerr == nil:
			t.Errorf("there is a file after %v", err)
		case err == nil && rerr != nil:
			t.Errorf("there is no file: %v", rerr)
		case err == nil && string(got) != body && string(got) != "0123"+body:
			t.Errorf("the file has %q, the server sent %q", got, body)
		}
	})
}

// FuzzSFTPServer: whatever a server says once SSH stands, the client neither panics nor hangs.
func FuzzSFTPServer(f *testing.F) {
	version := "\x00\x00\x00\x05\x02\x00\x00\x00\x03"
	limits := "\x00\x00\x00\x1c\x02\x00\x00\x00\x03\x00\x00\x00\x12limits@openssh.com\x00\x00\x00\x011"
	f.Add([]byte(version))
	f.Add([]byte(limits))
	f.Add([]byte(limits + "\x00\x00\x00\x25\xc9\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x00\x00\x00\x04\x00\x00", 4)))
	f.Add([]byte(limits + "\x00\x00\x00\x05\x65\x00\x00\x00\x00"))
	f.Add([]byte(limits + "\x00\x00\x00\x25\xc9\x00\x00\x00\x00" + strings.Repeat("\xff", 32)))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff\x02"))
	f.Add([]byte("This account is currently not available.\n"))
	f.Add([]byte(version + "\x00\x00\x00\x09\x69\x00\x00\x00\x01\x00\x00\x00\x01\x00"))
	key, _, err := client.GenerateSSHKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Skip(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			cfg := &ssh.ServerConfig{NoClientAuth: true}
			cfg.AddHostKey(key)
			conn, chans, reqs, err := ssh.NewServerConn(c, cfg)
			if err != nil {
				return
			}
			defer conn.Close()
			go ssh.DiscardRequests(reqs)
			for nc := range chans {
				ch, requests, err := nc.Accept()
				if err != nil {
					return
				}
				for r := range requests {
					_ = r.Reply(true, nil)
					_, _ = ch.Write(says)
					_ = ch.Close()
					_ = conn.Close()
				}
				_, _ = io.Copy(io.Discard, ch)
			}
		}()
		addr := l.Addr().(*net.TCPAddr)
		o := sftpOptions(t, key)
		o.Retry = &client.RetryOptions{Min: time.Second, Limit: time.Millisecond}
		_, err = newClient(t, "http://unused.invalid").UploadSFTP(t.Context(),
			&client.SFTPAccess{Hostname: "127.0.0.1", Port: addr.Port, User: "u", SharedFile: "f"}, strings.NewReader("dump"),
			4, o)
		if err == nil {
			t.Error("a server that hung up took the dump")
		}
		l.Close()
		<-done
	})
}
