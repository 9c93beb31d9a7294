package client_test

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
)

// sshd is a small SFTP server of one file, written for these tests from the wire contract (section 5) and apart
// from the emulator's, so that a misreading shared by client and emulator shows.
type sshd struct {
	t        testing.TB
	listener net.Listener
	hostKey  ssh.Signer
	moreKeys []ssh.Signer

	mu         sync.Mutex
	name       string
	data       []byte
	mtime      time.Time
	written    []span // as they came
	opens      []sftp.FileOpenFlags
	logins     int
	refuse     int   // so many logins are refused
	cutAt      int64 // the connection breaks when this offset is written or read, once; -1 never
	failAt     int64 // writing this offset fails with a status, once; -1 never
	unreadable bool
	forgetful  bool // what a broken connection brought is dropped, and every connection breaks at cutAt
	appends    bool // bytes appear that nobody sent
	stats      int
	// stat returns what the nth STAT of the file is answered with; nil is the truth.
	stat    func(n int, size int64, mtime time.Time) (int64, time.Time)
	read    func(p []byte, off int64) (int, error) // nil reads data
	allowed ssh.PublicKey
	program []string // speaks SFTP instead of us
	conns   map[net.Conn]bool
	wg      sync.WaitGroup
}

type span struct{ From, To int64 }

func newSSHD(t testing.TB, allowed ssh.PublicKey) *sshd {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := client.GenerateSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	d := &sshd{t: t, listener: l, hostKey: key, name: "db.dump", cutAt: -1, failAt: -1, allowed: allowed,
		mtime: time.Unix(1_700_000_000, 0), conns: map[net.Conn]bool{}}
	d.wg.Go(d.accept)
	t.Cleanup(func() {
		l.Close()
		d.hangUp()
		d.wg.Wait()
	})
	return d
}

func (d *sshd) hangUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		c.Close()
	}
}

func (d *sshd) accept() {
	for {
		c, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		d.conns[c] = true
		d.mu.Unlock()
		d.wg.Go(func() {
			d.serve(c)
			c.Close()
			d.mu.Lock()
			delete(d.conns, c)
			d.mu.Unlock()
		})
	}
}

func (d *sshd) serve(c net.Conn) {
	d.mu.Lock()
	cfg := &ssh.ServerConfig{PublicKeyCallback: d.login}
	cfg.AddHostKey(d.hostKey)
	for _, k := range d.moreKeys {
		cfg.AddHostKey(k)
	}
	d.mu.Unlock()
	conn, chans, reqs, err := ssh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	defer conn.Close()
	d.wg.Go(func() { ssh.DiscardRequests(reqs) })
	for nc := range chans {
		ch, requests, err := nc.Accept()
		if err != nil {
			return
		}
		d.wg.Go(func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem", nil)
			}
		})
		if d.program != nil {
			cmd := exec.Command(d.program[0], d.program[1:]...)
			cmd.Stdin, cmd.Stdout = ch, ch
			_ = cmd.Run()
			ch.Close()
			continue
		}
		h := &fileOf{d, c}
		srv := sftp.NewRequestServer(ch, sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h})
		_ = srv.Serve()
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
		ch.Close()
	}
}

func (d *sshd) login(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.logins++
	if d.refuse > 0 {
		d.refuse--
		return nil, errors.New("refused")
	}
	if !bytes.Equal(key.Marshal(), d.allowed.Marshal()) {
		return nil, errors.New("unknown key")
	}
	return nil, nil
}

func (d *sshd) access() *client.SFTPAccess {
	addr := d.listener.Addr().(*net.TCPAddr)
	return &client.SFTPAccess{Hostname: "127.0.0.1", Port: addr.Port, User: "user_1", SharedFile: "db.dump", RequestID: 1}
}

func (d *sshd) content() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.data)
}

// lastOpen returns with what the file was opened last.
func (d *sshd) lastOpen() sftp.FileOpenFlags {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.opens) == 0 {
		return sftp.FileOpenFlags{}
	}
	return d.opens[len(d.opens)-1]
}

// rewritten returns how many bytes came more than once.
func (d *sshd) rewritten() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	spans := slices.Clone(d.written)
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.From, b.From) })
	var top, twice int64
	for _, s := range spans {
		twice += max(0, min(top, s.To)-s.From)
		top = max(top, s.To)
	}
	return twice
}

type fileOf struct {
	*sshd
	conn net.Conn
}

func (f *fileOf) known(p string) bool { return filepath.Base(p) == f.name }

func (f *fileOf) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens = append(f.opens, r.Pflags())
	if !f.known(r.Filepath) {
		return nil, os.ErrNotExist
	}
	if f.unreadable {
		return nil, sftp.ErrSSHFxPermissionDenied
	}
	return f, nil
}

func (f *fileOf) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known(r.Filepath) {
		return nil, sftp.ErrSSHFxPermissionDenied
	}
	f.opens = append(f.opens, r.Pflags())
	if r.Pflags().Trunc {
		f.data = nil
	}
	return f, nil
}

func (f *fileOf) Filecmd(*sftp.Request) error { return sftp.ErrSSHFxPermissionDenied }

func (f *fileOf) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == "Stat" && !f.known(r.Filepath) {
		return nil, os.ErrNotExist
	}
	size, mtime := int64(len(f.data)), f.mtime
	if r.Method == "Stat" && f.stat != nil {
		f.stats++
		size, mtime = f.stat(f.stats, size, mtime)
	}
	return lister{info{f.name, size, mtime}}, nil
}

func (f *fileOf) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cutAt >= 0 && off+int64(len(p)) > f.cutAt {
		f.cutAt = -1
		f.conn.Close()
		return 0, errors.New("cut")
	}
	if f.read != nil {
		return f.read(p, off)
	}
	return bytes.NewReader(f.data).ReadAt(p, off)
}

func (f *fileOf) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := off + int64(len(p))
	if f.forgetful && end > f.cutAt {
		f.data = nil
		f.conn.Close()
		return 0, errors.New("cut")
	}
	if f.cutAt >= 0 && end > f.cutAt {
		// A hole below and bytes beyond are what a careless server is left with.
		f.cutAt = -1
		f.conn.Close()
		return 0, errors.New("cut")
	}
	if f.failAt >= 0 && end > f.failAt {
		f.failAt = -1
		return 0, errors.New("no space left on device")
	}
	if grow := end - int64(len(f.data)); grow > 0 {
		f.data = append(f.data, make([]byte, grow)...)
	}
	copy(f.data[off:], p)
	if f.appends {
		f.data = append(f.data, 0)
	}
	f.written = append(f.written, span{off, end})
	return len(p), nil
}

type lister []os.FileInfo

func (l lister) ListAt(out []os.FileInfo, off int64) (int, error) {
	n := copy(out, l[min(off, int64(len(l))):])
	if n < len(out) {
		return n, io.EOF
	}
	return n, nil
}

type info struct {
	name  string
	size  int64
	mtime time.Time
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() os.FileMode  { return 0o666 }
func (i info) ModTime() time.Time { return i.mtime }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
