package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

const scriptToken = "SeCrEt-ToKeN_of-58-characters-0123456789abcdefghijklmnopqr"

// scriptPlatform is a small platform of the script API, written for these tests from the wire contract and apart from
// the emulator, so that a misreading shared by client and emulator shows. It serves one request, and runs rsync.
type scriptPlatform struct {
	*httptest.Server
	t       testing.TB
	data    string // what the paths /data lead to
	hostKey ssh.Signer

	mu       sync.Mutex
	calls    []string                  // in their order
	params   map[string]map[string]any // of the latest call of each name
	allowed  ssh.PublicKey
	listener net.Listener
	states   []string // one a poll; the last stays
	log      string
	execs    []string

	// answer may answer in place of the platform; it returns whether it did. n counts the calls of a name from 0.
	answer func(call string, n int, w http.ResponseWriter, r *http.Request) bool
	// change may change a result before it is sent.
	change func(call string, result map[string]any)
	// wrap may come between the channel and rsync.
	wrap func(n int, ch ssh.Channel) io.ReadWriter
	// program may replace what an exec request runs.
	program func(command string) *exec.Cmd

	wg sync.WaitGroup
}

func newScriptPlatform(t testing.TB) *scriptPlatform {
	t.Helper()
	testprog.Need(t, "rsync", "rsync")
	key, _, err := client.GenerateSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	p := &scriptPlatform{t: t, data: t.TempDir(), hostKey: key, params: map[string]map[string]any{},
		states: []string{"new"}}
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = quiet
	p.StartTLS()
	t.Cleanup(func() { p.Close(); p.stop(); p.wg.Wait() })
	return p
}

// script returns a client of the platform.
func (p *scriptPlatform) script(opts ...func(*client.Options)) *client.Script {
	p.t.Helper()
	o := &client.Options{RootCAs: p.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	for _, f := range opts {
		f(o)
	}
	c, err := client.New(p.URL, o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	s, err := c.Script()
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// create makes the request, and returns what names it and how to log in.
func (p *scriptPlatform) create(s *client.Script) (client.ScriptRef, *client.ScriptTransferOptions) {
	p.t.Helper()
	key, _, err := client.GenerateSSHKey()
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := s.Create(p.t.Context(), client.ScriptParams{Contract: "M1-a", Target: "18.0", Aim: "test",
		SSHKey: key.PublicKey()}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return r.Ref(), &client.ScriptTransferOptions{Signers: []ssh.Signer{key},
		Retry: &client.RetryOptions{Min: time.Millisecond, Max: 2 * time.Millisecond}}
}

func (p *scriptPlatform) count(call string) (n int) {
	for _, c := range p.calls {
		if c == call {
			n++
		}
	}
	return n
}

func (p *scriptPlatform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, ok := strings.CutPrefix(r.URL.Path, "/upgrade/request/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	p.mu.Lock()
	n := p.count(call)
	p.calls = append(p.calls, call)
	p.mu.Unlock()
	if p.answer != nil && p.answer(call, n, w, r) {
		return
	}
	if call == "logs" {
		p.serveLog(w, r)
		return
	}
	var in struct {
		JSONRPC, Method, ID string
		Params              map[string]any
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" ||
		json.NewDecoder(r.Body).Decode(&in) != nil || in.JSONRPC != "2.0" || in.Method != "not_used" {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.params[call] = in.Params
	result := p.result(call, in.Params)
	if p.change != nil {
		p.change(call, result)
	}
	raw, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": in.ID, "result": result})
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(raw)
}

func (p *scriptPlatform) result(call string, params map[string]any) map[string]any {
	if call == "create" {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(fmt.Sprint(params["ssh_key"])))
		if err != nil {
			return map[string]any{"error": "the key cannot be used"}
		}
		p.allowed = key
		return map[string]any{"request_id": 4711, "token": scriptToken, "assigned_host_uri": p.Listener.Addr().String(),
			"info": ""}
	}
	if params["token"] != scriptToken {
		return map[string]any{"error": "no such request"}
	}
	switch call {
	case "transfer/start":
		port := p.listenLocked()
		return map[string]any{"ssh_port": port, "dump_name": "upgraded.dump",
			"known_hosts": knownhosts.Line([]string{"[127.0.0.1]:" + strconv.Itoa(port)}, p.hostKey.PublicKey()) + "\n"}
	case "transfer/stop":
		p.stopLocked()
		return map[string]any{}
	case "process":
		return map[string]any{"is_pg_version_compatible": true}
	case "status":
		state := p.states[0]
		if len(p.states) > 1 {
			p.states = p.states[1:]
		}
		return map[string]any{"status": state, "host_uri": p.Listener.Addr().String(), "reason": nil, "archived": false}
	case "wipe":
		return map[string]any{"wiped": []int{4711}, "failed": []int{}}
	}
	return map[string]any{"error": "what?"}
}

func (p *scriptPlatform) serveLog(w http.ResponseWriter, r *http.Request) {
	var from int
	_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
	p.mu.Lock()
	log := p.log
	p.mu.Unlock()
	switch {
	case r.URL.Query().Get("token") != scriptToken:
		http.NotFound(w, r)
	case from < len(log):
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(log)-1, len(log)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, log[from:])
	}
}

func (p *scriptPlatform) listenLocked() int {
	p.stopLocked()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Error(err)
		return 0
	}
	p.listener = l
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serveSSH(c) })
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

func (p *scriptPlatform) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopLocked()
}

func (p *scriptPlatform) stopLocked() {
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

func (p *scriptPlatform) serveSSH(c net.Conn) {
	defer c.Close()
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if meta.User() != "odoo" || p.allowed == nil || string(key.Marshal()) != string(p.allowed.Marshal()) {
			return nil, fmt.Errorf("not this one")
		}
		return nil, nil
	}}
	p.mu.Lock()
	cfg.AddHostKey(p.hostKey)
	p.mu.Unlock()
	conn, chans, reqs, err := ssh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	defer conn.Close()
	p.wg.Go(func() { ssh.DiscardRequests(reqs) })
	for nc := range chans {
		ch, requests, err := nc.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() {
			defer ch.Close()
			for r := range requests {
				if r.Type != "exec" {
					_ = r.Reply(false, nil)
					continue
				}
				var payload struct{ Command string }
				_ = ssh.Unmarshal(r.Payload, &payload)
				_ = r.Reply(true, nil)
				p.exec(ch, payload.Command, conn)
				return
			}
		})
	}
}

// exec runs rsync with the paths below /data in the platform's folder.
func (p *scriptPlatform) exec(ch ssh.Channel, command string, conn ssh.Conn) {
	p.mu.Lock()
	n := len(p.execs)
	p.execs = append(p.execs, command)
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", strings.ReplaceAll(command, " /data/", " "+p.data+"/"))
	if p.program != nil {
		cmd = p.program(command)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return
	}
	var stream io.ReadWriter = ch
	if p.wrap != nil {
		stream = p.wrap(n, ch)
	}
	cmd.Stdout, cmd.Stderr = stream, ch.Stderr()
	p.wg.Go(func() { _ = conn.Wait(); cancel() })
	if err := cmd.Start(); err != nil {
		return
	}
	p.wg.Go(func() { _, _ = io.Copy(in, stream); _ = in.Close() })
	_ = cmd.Wait()
	status := struct{ Status uint32 }{uint32(max(cmd.ProcessState.ExitCode(), 0))}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(status))
}

// plantDump makes a dump in the directory format.
func plantDump(t testing.TB, files map[string]int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "db.dump")
	for name, n := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, noise(n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
