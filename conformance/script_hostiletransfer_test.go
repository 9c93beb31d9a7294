package conformance_test

import (
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// hostile is a server of the script API that does harm from some point on.
type hostile struct {
	front   func(w http.ResponseWriter, r *http.Request, next http.Handler)
	conn    func(raw net.Conn)
	login   func(config *ssh.ServerConfig)
	request func(r *ssh.Request, ch ssh.Channel) bool
	run     func(c *refserver.Command, next func() int) int
}

// hostileCall is a server that answers a call so.
func hostileCall(call string, f http.HandlerFunc) hostile {
	return hostile{front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/"+call) {
			io.Copy(io.Discard, r.Body)
			f(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}}
}

// flood writes for ever what f gives.
func flood(w io.Writer, f func() []byte) {
	for {
		if _, err := w.Write(f()); err != nil {
			return
		}
		if flusher, is := w.(http.Flusher); is {
			flusher.Flush()
		}
	}
}

// repeated gives the same bytes.
func repeated(b []byte) func() []byte { return func() []byte { return b } }

// noise gives other bytes each time, the same in each run.
func noise() func() []byte {
	source := rand.NewChaCha8([32]byte{1})
	return func() []byte {
		b := make([]byte, 4096)
		source.Read(b)
		return b
	}
}

// rsyncSays is a server whose rsync speaks version 27 of the protocol, and says something in place of the rest, in
// frames of the multiplexed stream.
func rsyncSays(upload bool, f func(w io.Writer)) hostile {
	return hostile{run: func(c *refserver.Command, next func() int) int {
		if c.Upload != upload {
			return next()
		}
		rsyncBegins(c.Channel)
		drained := make(chan struct{})
		go func() {
			io.Copy(io.Discard, c.Channel)
			close(drained)
		}()
		f(framed{c.Channel})
		<-drained
		return 0
	}}
}

// hostiles are all of them.
func hostiles() map[string]hostile {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	// at hangs in a request of a channel.
	at := func(kind string, reply bool) hostile {
		return hostile{request: func(r *ssh.Request, ch ssh.Channel) bool {
			if r.Type != kind {
				return false
			}
			if reply {
				r.Reply(true, nil)
			}
			io.Copy(io.Discard, ch)
			return true
		}}
	}
	saying := func(text func() []byte) hostile {
		return hostile{conn: func(raw net.Conn) {
			go io.Copy(io.Discard, raw)
			flood(raw, text)
		}}
	}
	running := func(f func(c *refserver.Command)) hostile {
		return hostile{run: func(c *refserver.Command, _ func() int) int {
			f(c)
			io.Copy(io.Discard, c.Channel)
			return 0
		}}
	}
	out := map[string]hostile{
		"ssh says nothing":         {conn: func(raw net.Conn) { io.Copy(io.Discard, raw) }},
		"ssh ends at once":         {conn: func(net.Conn) {}},
		"ssh is noise":             saying(noise()),
		"ssh is lines for ever":    saying(repeated([]byte("welcome\r\n"))),
		"ssh is one line for ever": saying(repeated(bytes.Repeat([]byte("w"), 4096))),
		"ssh ends behind its version": {conn: func(raw net.Conn) {
			io.WriteString(raw, "SSH-2.0-x\r\n")
		}},
		"ssh hangs behind its version": {conn: func(raw net.Conn) {
			io.WriteString(raw, "SSH-2.0-x\r\n")
			io.Copy(io.Discard, raw)
		}},
		"ssh is noise behind its version": {conn: func(raw net.Conn) {
			io.WriteString(raw, "SSH-2.0-x\r\n")
			go io.Copy(io.Discard, raw)
			flood(raw, noise())
		}},
		"ssh has a packet of 4 GiB": {conn: func(raw net.Conn) {
			io.WriteString(raw, "SSH-2.0-x\r\n\xff\xff\xff\xff")
			go io.Copy(io.Discard, raw)
			flood(raw, repeated(make([]byte, 4096)))
		}},
		"ssh hangs in the login": {conn: hangingSSH(func(c *ssh.ServerConfig, until func()) {
			c.PublicKeyCallback = func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
				until()
				return nil, nil
			}
		})},
		"ssh hangs behind the login":   {conn: hangingSSH(func(*ssh.ServerConfig, func()) {})},
		"a banner of 1 MiB":            {login: func(c *ssh.ServerConfig) { c.BannerCallback = longBanner }},
		"exec is not answered":         at("exec", false),
		"exec is granted, and no more": at("exec", true),
		"rsync hangs":                  running(func(*refserver.Command) {}),
		"rsync is noise":               running(func(c *refserver.Command) { flood(c.Channel, noise()) }),
		"rsync is zeroes": running(func(c *refserver.Command) {
			flood(c.Channel, repeated(make([]byte, 4096)))
		}),
		"rsync complains for ever": running(func(c *refserver.Command) {
			flood(c.Channel.Stderr(), repeated(bytes.Repeat([]byte("error\n"), 700)))
		}),
		"rsync has no end": {run: func(c *refserver.Command, next func() int) int {
			next()
			flood(c.Channel, repeated(make([]byte, 4096)))
			return 0
		}},
		"rsync complains when it has ended": {run: func(c *refserver.Command, next func() int) int {
			next()
			flood(c.Channel.Stderr(), repeated([]byte("error\n")))
			return 0
		}},
		"files for ever": rsyncSays(false, func(w io.Writer) { flood(w, repeated(listed("toc.dat", 1, 0o100644))) }),
		"a name of 2 GiB": rsyncSays(false, func(w io.Writer) {
			w.Write(append([]byte{0x41}, ints(1<<31-1)...))
			flood(w, repeated(bytes.Repeat([]byte("a"), 4096)))
		}),
		"a name from outside": rsyncSays(false, func(w io.Writer) {
			w.Write(append(listed("../../outside", 1, 0o100644), 0))
			w.Write(ints(0, 0))
		}),
		"messages for ever": {run: func(c *refserver.Command, _ func() int) int {
			rsyncBegins(c.Channel)
			flood(c.Channel, repeated(append(ints(9<<24|4), "hey\n"...)))
			return 0
		}},
		"a frame of 16 MiB, again and again": {run: func(c *refserver.Command, _ func() int) int {
			rsyncBegins(c.Channel)
			flood(c.Channel, repeated(append(ints(7<<24|(1<<24-1)), make([]byte, 1<<24-1)...)))
			return 0
		}},
		"2 billion blocks": rsyncSays(true, func(w io.Writer) {
			w.Write(ints(0, 1<<31-1, 700, 16, 0))
			flood(w, repeated(make([]byte, 4096)))
		}),
		"blocks of no length": rsyncSays(true, func(w io.Writer) { w.Write(ints(0, 5, 0, 2, 0)) }),
		"negative numbers": rsyncSays(true, func(w io.Writer) {
			flood(w, repeated(ints(1<<32-2, 1<<32-5, 1<<31, 1<<31, 1<<31)))
		}),
		"the same file is wanted for ever": rsyncSays(true, func(w io.Writer) {
			flood(w, repeated(ints(0, 0, 700, 2, 0)))
		}),
		"the port of a web server": hostileCall("transfer/start", func(w http.ResponseWriter, r *http.Request) {
			_, port, _ := net.SplitHostPort(r.Host)
			rpcSays(w, map[string]any{"result": map[string]any{"ssh_port": port, "dump_name": "upgraded.dump",
				"known_hosts": "[127.0.0.1]:" + port + " " + raw.KeyLine(raw.NewKey("ed25519"))}})
		}),
	}
	for name, f := range map[string]http.HandlerFunc{
		"hangs":    hang,
		"is reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"floods":   func(w http.ResponseWriter, _ *http.Request) { flood(w, repeated(make([]byte, 1<<16))) },
		"is noise": func(w http.ResponseWriter, _ *http.Request) { w.Write(noise()()) },
		"is deep":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("[", 100_000)) },
		"has no end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			io.WriteString(w, `{"result": {`)
		},
	} {
		for _, call := range []string{"create", "transfer/start", "process", "logs", "wipe"} {
			if call == "logs" || name == "hangs" || name == "floods" {
				out[call+" "+name] = hostileCall(call, f)
			}
		}
	}
	return out
}

// longBanner is a text of 1 MiB before the login.
func longBanner(ssh.ConnMetadata) string { return strings.Repeat("banner\r\n", 1<<17) }

// hangingSSH serves a connection that lets in whoever comes, and then says nothing more. With until, set can wait in
// a callback until the client is gone.
func hangingSSH(set func(c *ssh.ServerConfig, until func())) func(net.Conn) {
	return func(conn net.Conn) {
		config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, nil
		}}
		set(config, func() { io.Copy(io.Discard, conn) })
		config.AddHostKey(raw.NewKey("ed25519"))
		c, _, requests, err := ssh.NewServerConn(conn, config)
		if err != nil {
			return
		}
		ssh.DiscardRequests(requests) // until the client is gone; no channel is answered
		c.Close()
	}
}

// harmed are checks of all that a hostile server could do harm to.
var harmed = regexp.MustCompile("^script/(create-answer|wipe-answer|login-rsa|upload-directory|upload-again|" +
	"process-answer|logs-range|download|exit-status)$")

// Whatever a server does, the suite ends by itself, in little memory, and each check has a verdict. It is no parallel
// test, since it looks at what the process has allocated.
func TestScript_hostile(t *testing.T) {
	rsync := testprog.Need(t, "rsync", "rsync")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	all, runs := hostiles(), 0
	t.Run("all", func(t *testing.T) {
		for i, name := range slices.Sorted(maps.Keys(all)) {
			if testprog.Sample() && i%8 != 0 {
				continue
			}
			runs++
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := all[name]
				s := refserver.NewScript(t, rsync)
				s.Front, s.Conn, s.Login, s.Request, s.Run = h.front, h.conn, h.login, h.request, h.run
				target, opts := scriptTarget(s)
				opts.Wait, opts.CallTimeout, opts.Run = time.Second, 400*time.Millisecond, harmed
				rep := run(t, target, opts)
				if rep.OK() || len(rep.Results) != 9 {
					t.Errorf("%d passed, %d failed, %d errors, %d skipped, of 9", rep.Passed, rep.Failed, rep.Errors,
						rep.Skipped)
				}
				for _, res := range rep.Results {
					if strings.Contains(res.Message, "the suite has a mistake") {
						t.Errorf("%s: %s", res.ID, res.Message)
					}
				}
			})
		}
	})
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > uint64(40*runs) {
		t.Errorf("%d MiB were allocated in %d runs", used, runs)
	} else {
		t.Logf("%d MiB were allocated in %d runs", used, runs)
	}
}
