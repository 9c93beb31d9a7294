//go:build linux

package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Build compiles a command of the module, such as cmd/upgrademock, into dir and returns its path. It must be called
// within the module.
func Build(ctx context.Context, dir, command string) (string, error) {
	path := filepath.Join(dir, filepath.Base(command))
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/upgrademock/upgrademock/"+
		command).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// Emulator is a running emulator.
type Emulator struct {
	*Process
	URL        string `json:"url"`
	HTTPSURL   string `json:"https_url"`
	SFTPHost   string `json:"sftp_host"`
	SFTPPort   int    `json:"sftp_port"`
	CAFile     string `json:"ca_file"`
	KnownHosts string `json:"known_hosts_file"`
}

// startTimeout is how long a server may take until it serves.
const startTimeout = 20 * time.Second

// StartEmulator starts binary with all listeners on free loopback ports and waits until they accept. Its temporary
// files are below dir.
func StartEmulator(binary, dir string, flags ...string) (*Emulator, error) {
	ready, err := os.CreateTemp(dir, "ready-*")
	if err != nil {
		return nil, err
	}
	ready.Close()
	os.Remove(ready.Name())
	cmd := exec.Command(binary, append([]string{
		"serve", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--sftp", "127.0.0.1:0", "--ready-file", ready.Name(),
	}, flags...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "XDG_CACHE_HOME="+dir)
	p, err := Start(cmd)
	if err != nil {
		return nil, err
	}
	e := &Emulator{Process: p}
	err = Await(p, func() bool {
		data, err := os.ReadFile(ready.Name())
		return err == nil && json.Unmarshal(data, e) == nil
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Await waits until a server that was started serves, and stops it if it does not.
func Await(p *Process, serves func() bool) error {
	deadline := time.After(startTimeout)
	for !serves() {
		select {
		case <-p.Done():
			return fmt.Errorf("%w; its last words:\n%s", ErrEnded, p.Output())
		case <-deadline:
			p.Kill()
			return fmt.Errorf("the server does not serve after %v; its last words:\n%s", startTimeout, p.Output())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// Request is an upgrade request as its client knows it.
type Request struct {
	ID  int64  `json:"id"`
	Key string `json:"key"`
}

// Query names the request in a call.
func (r Request) Query() string {
	return "request=" + strconv.FormatInt(r.ID, 10) + "&key=" + url.QueryEscape(r.Key)
}

// User is the request's name on the SFTP server.
func (r Request) User() string { return "user_" + strconv.FormatInt(r.ID, 10) }

// Filename is the name of every dump here.
const Filename = "db_name.dump"

// Call calls a method and decodes the answer into value, unless that is nil. A failure in the answer is an error.
func (e *Emulator) Call(ctx context.Context, method, query, contentType string, body io.Reader, value any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL+"/database/v1/"+method+"?"+query, body)
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	var failed struct{ Failures []json.RawMessage }
	if err := json.Unmarshal(data, &failed); err != nil {
		return fmt.Errorf("%s: %s: %w", method, resp.Status, err)
	}
	if len(failed.Failures) > 0 {
		return fmt.Errorf("%s: %s", method, failed.Failures)
	}
	if value == nil {
		return nil
	}
	return json.Unmarshal(data, value)
}

// Create makes a request.
func (e *Emulator) Create(ctx context.Context) (Request, error) {
	var answer struct{ Request Request }
	err := e.Call(ctx, "create", "contract=M123456-abcdef&email=john.doe@example.com&target=8.0&aim=test&filename="+
		Filename, "", nil, &answer)
	return answer.Request, err
}

// Share makes a request whose SFTP access the public key opens.
func (e *Emulator) Share(ctx context.Context, publicKey []byte) (Request, error) {
	r, err := e.Create(ctx)
	if err != nil {
		return r, err
	}
	form := "ssh_keys=" + url.QueryEscape(string(publicKey))
	return r, e.Call(ctx, "request_sftp_access", r.Query(), "application/x-www-form-urlencoded",
		bytes.NewBufferString(form), nil)
}
