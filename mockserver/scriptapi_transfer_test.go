package mockserver_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// rsyncRun is rsync as the script runs it, for one request.
type rsyncRun struct {
	*wire
	dir   string // where it runs
	host  string // that was assigned
	token string
}

// rsyncFor makes a request whose key rsync has.
func (w *wire) rsyncFor() *rsyncRun {
	w.Helper()
	a := w.rpc("create", scriptParams()...)
	r := &rsyncRun{wire: w, dir: w.TempDir()}
	r.token, _ = a.Result["token"].(string)
	r.host, _ = a.Result["assigned_host_uri"].(string)
	if err := os.WriteFile(filepath.Join(r.dir, "key"), fixtures.Key("ed25519"), 0o600); err != nil {
		w.Fatal(err)
	}
	return r
}

// start starts a transfer, and returns its port and what the answer has beside it.
func (r *rsyncRun) start(kind string) (port string, result map[string]any) {
	r.Helper()
	a := r.rpc("transfer/start", "token", r.token, "transfer_type", kind)
	if a.Result == nil {
		r.Fatalf("transfer/start: %s", a.Body)
	}
	if err := os.WriteFile(
		filepath.Join(r.dir, "known_hosts"),
		[]byte(a.Result["known_hosts"].(string)),
		0o600,
	); err != nil {
		r.Fatal(err)
	}
	return fmt.Sprint(a.Result["ssh_port"]), a.Result
}

// run runs rsync, with the options of the script of 2026 (rows S5.3 and S5.10).
func (r *rsyncRun) run(port string, args ...string) (string, error) {
	r.Helper()
	testprog.Need(r, "ssh", "openssh-client")
	ssh := fmt.Sprintf(
		"ssh -F none -o BatchMode=yes -p %s -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes "+
			"-o UserKnownHostsFile=known_hosts -i key",
		port,
	)
	cmd := exec.CommandContext(
		r.Context(),
		testprog.Need(r, "rsync", "rsync"),
		append([]string{"--info=progress2", "--rsh=" + ssh}, args...)...)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *rsyncRun) upload(port, file string) (string, error) {
	return r.run(port, "--delete-after", "--recursive", "--links", "--times", file, "odoo@"+r.host+":/data/origin.sql")
}

// listening starts a server. One that has a port for all transfers gets a free one; another program may take that
// first.
func listening(t *testing.T, opts *mockserver.Options) *mockserver.Server {
	t.Helper()
	if opts.Transfer == "" {
		return newServer(t, opts)
	}
	for try := 0; ; try++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		opts.Transfer = l.Addr().String()
		l.Close()
		srv, err := mockserver.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { srv.Close() })
		if err = srv.Start(); err == nil {
			return srv
		}
		if _, taken := errors.AsType[*mockserver.ListenError](err); !taken || try == 20 {
			t.Fatal(err)
		}
	}
}

// An upgrade in the way of the script, over each engine and both ways of listening.
func TestScriptAPI_upgrade(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]mockserver.Options{
		"a port for each":    {},
		"one port for all":   {Transfer: "127.0.0.1:1"}, // stands for a free one
		"the system's rsync": {Rsync: "rsync"},
		"no SFTP":            {SFTPAddr: mockserver.Off},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if opts.Rsync != "" {
				opts.Rsync = testprog.Need(t, "rsync", "rsync")
			}
			var uploads atomic.Int64
			opts.OnUpload = func(int64) { uploads.Add(1) }
			srv := listening(t, &opts)
			w := newWire(t, srv.HTTPSURL(), srv)
			r := w.rsyncFor()
			port := r.uploadTwice()
			if opts.Transfer != "" && !strings.HasSuffix(opts.Transfer, ":"+port) {
				t.Errorf("port %s, want that of %s", port, opts.Transfer)
			}
			if n := uploads.Load(); n != 2 {
				t.Errorf("OnUpload was called %d times for two uploads", n)
			}
			if a := w.rpc("transfer/stop", "token", r.token); a.Result == nil {
				t.Error(a.Body)
			}
			if out, err := r.upload(port, "db.sql"); err == nil { // row S4.9
				t.Errorf("an upload after stop:\n%s", out)
			}
			if a := w.rpc("process", "token", r.token); a.Result["is_pg_version_compatible"] != true {
				t.Error(a.Body)
			}
			var states []string
			for range 3 {
				states = append(states, fmt.Sprint(w.rpc("status", "token", r.token).Result["status"]))
			}
			if got := strings.Join(states, " "); got != "pending progress done" {
				t.Errorf("states %s", got)
			}
			r.download()
			for on, want := range map[string]int{scenario.OnRsyncUpload: 2, scenario.OnRsyncDownload: 1} {
				if events := srv.Events(journal.Filter{On: on}); len(events) != want || events[0].Rsync == nil {
					t.Errorf("%s: %+v", on, events)
				}
			}
		})
	}
}

// uploadTwice uploads a dump, and once more, when nothing is sent; it looks at how the upload is described. It returns
// the port.
func (r *rsyncRun) uploadTwice() string {
	r.Helper()
	dump := []byte(strings.Repeat("-- a dump\n", 1000))
	if err := os.WriteFile(filepath.Join(r.dir, "db.sql"), dump, 0o600); err != nil {
		r.Fatal(err)
	}
	port, _ := r.start("upload")
	for range 2 {
		if out, err := r.upload(port, "db.sql"); err != nil {
			r.Fatalf("upload: %v\n%s", err, out)
		}
	}
	listed := r.srv.Requests()[0]
	one, err := r.srv.Request(listed.ID)
	if err != nil || listed.Upload == nil || listed.Upload.Files != nil || len(one.Upload.Sessions) != 2 {
		r.Fatalf("%+v, %v", one, err)
	}
	size, checksum := int64(len(dump)), one.Upload.Checksum
	want := &mockserver.Upload{
		Name: "origin.sql", Count: 1, Size: size, Checksum: checksum, Compressions: []string{"sql"},
		Files: []mockserver.UploadFile{
			{Name: "origin.sql", Size: size, Sent: one.Upload.Files[0].Sent, Checksum: checksum},
		},
		Sessions: []mockserver.UploadSession{
			{EndedAt: one.Upload.Sessions[0].EndedAt, OK: true, Sent: 1, BytesSent: size},
			{EndedAt: one.Upload.Sessions[1].EndedAt, OK: true, Skipped: 1, BytesSkipped: size},
		},
	}
	if diff := cmp.Diff(want, one.Upload); diff != "" || !strings.HasPrefix(checksum, "crc32c:") {
		r.Errorf("the upload (-want +got):\n%s", diff)
	}
	return port
}

// download downloads the result, and looks at it.
func (r *rsyncRun) download() {
	r.Helper()
	port, result := r.start("download")
	name, _ := result["dump_name"].(string)
	args := []string{"-a", "--ignore-missing-args"}
	for _, source := range []string{name, "filestore", "upgrade-report.html", "upgrade.log"} {
		args = append(args, "odoo@"+r.host+":/data/"+source)
	}
	if out, err := r.run(port, append(args, ".")...); err != nil {
		r.Fatalf("download: %v\n%s", err, out)
	}
	zipped, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil || name != "upgraded.zip" {
		r.Fatalf("%q: %v", name, err)
	}
	if archive, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped))); err != nil {
		r.Error(err)
	} else if _, err := archive.Open("dump.sql"); err != nil {
		r.Error(err)
	}
	log, err := os.ReadFile(filepath.Join(r.dir, "upgrade.log"))
	if _, over := r.log(r.token, ""); err != nil || string(log) != over || over == "" {
		r.Errorf("upgrade.log has %d bytes, over HTTP it has %d: %v", len(log), len(over), err)
	}
}

// A reset ends the transfers of what it forgets; the closed server has none.
func TestScriptAPI_transfersEnd(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	first, second := w.rsyncFor(), w.rsyncFor()
	if err := os.WriteFile(filepath.Join(second.dir, "db.sql"), []byte("-- a dump\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port, _ := first.start("upload")
	other, _ := second.start("upload")
	requests := w.srv.Requests()
	if err := w.srv.Reset(mockserver.Scope{Request: requests[0].ID}); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		conn.Close()
		t.Error("the transfer of a request that was reset goes on")
	}
	if out, err := second.upload(other, "db.sql"); err != nil {
		t.Errorf("another request's transfer: %v\n%s", err, out)
	}
	if err := w.srv.Close(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:"+other); err == nil {
		conn.Close()
		t.Error("a transfer of a closed server goes on")
	}
}

// A container's ports are mapped: answers have the port that clients see, where one port is for all transfers.
func TestScriptAPI_advertised(t *testing.T) {
	t.Parallel()
	srv := listening(t, &mockserver.Options{Transfer: "127.0.0.1:1"})
	w := newWire(t, srv.URL(), srv)
	if err := srv.SetAdvertise(mockserver.Advertise{
		URL: "https://upgrade.example.com:444", TransferPort: 2022,
	}); err != nil {
		t.Fatal(err)
	}
	if health := srv.Health(); !health["transfer"] {
		t.Errorf("health: %v", health)
	}
	_, token := w.scriptRequest()
	a := w.rpc("transfer/start", "token", token, "transfer_type", "upload")
	knownHosts, _ := a.Result["known_hosts"].(string)
	if a.Result["ssh_port"] != 2022.0 || !strings.Contains(knownHosts, "[upgrade.example.com]:2022") {
		t.Error(a.Body)
	}
}

// A scenario names the dump otherwise, or leaves it out: then dump_name is null, and still there (row S3.7).
func TestScriptAPI_dumpName(t *testing.T) {
	t.Parallel()
	for upgraded, want := range map[string]any{
		"same": "upgraded.zip", "{dump_name: upgrade.zip}": "upgrade.zip", "{dump_name: null}": nil,
	} {
		w := onWire(t, &mockserver.Options{
			Scenarios: scripted(t, "when: {api: script}\nsteps: [{state: done}]\nupgraded: "+upgraded+"\n"),
			Requests:  []mockserver.NewRequest{{API: mockserver.APIScript, Dump: []byte("-- a dump\n"), Process: true}},
		})
		a := w.rpc("transfer/start", "token", w.srv.Requests()[0].Key, "transfer_type", "download")
		if got, there := a.Result["dump_name"]; !there || got != want {
			t.Errorf("%s: dump_name %v, want %v: %s", upgraded, got, want, a.Body)
		}
	}
}
