package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// session is an SFTP session; client is nil if the login was refused.
type session struct {
	conn   *ssh.Client
	client *sftp.Client
}

// sftp plays an event of an SFTP session: a login, or all that was done with one open file.
func (p *player) sftp(events []journal.Event, i int) error {
	e := &events[i]
	s, begun := p.sessions[e.Session]
	login := e.On == scenario.OnSFTPLogin || e.On == "sftp.refused" ||
		e.On == "sftp.fault" && (e.Op == "login" || e.Op == "hostkey")
	switch {
	case login && !begun:
		p.sessions[e.Session] = p.login(p.request(events, e), e.Op == "hostkey" && !loggedIn(events, i))
	case e.On == scenario.OnSFTPOpen && s != nil && s.client != nil:
		p.open(s, p.request(events, e), e, ending(events, i))
	case e.On == "sftp.fault" && e.Op == "open" && s != nil && s.client != nil:
		p.open(s, p.request(events, e), e, nil)
	case e.On == "sftp.denied" && deniedOpen(e) && s != nil && s.client != nil:
		refused := *e
		refused.Flags = strings.TrimPrefix(e.Op, "open ")
		p.open(s, p.request(events, e), &refused, nil)
	case e.On == "sftp.disconnect" && s != nil:
		s.hangUp()
	}
	return nil
}

// deniedOpen reports whether a refused operation was that of opening a file, which is played; others are not.
func deniedOpen(e *journal.Event) bool { return strings.HasPrefix(e.Op, "open") }

// ending is the event with which the handle of an open ended; nil if there is none.
func ending(events []journal.Event, i int) *journal.Event {
	for j := i + 1; j < len(events); j++ {
		e := &events[j]
		if e.Session == events[i].Session && e.Handle == events[i].Handle &&
			(e.On == scenario.OnSFTPClose || e.On == "sftp.abort") {
			return e
		}
	}
	return nil
}

// loggedIn reports whether the session of an event went on to a login.
func loggedIn(events []journal.Event, i int) bool {
	return slices.ContainsFunc(events[i:], func(e journal.Event) bool {
		return e.Session == events[i].Session && e.On == scenario.OnSFTPLogin
	})
}

// errHostKey ends a login as a client does that checks the host key.
var errHostKey = errors.New("another host key than before")

// login logs in. wary is whether the client refused the host key then.
func (p *player) login(r *played, wary bool) *session {
	conn, err := ssh.Dial("tcp", p.srv.SFTPAddr(), &ssh.ClientConfig{User: r.user, Timeout: time.Minute,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(p.signer)},
		HostKeyCallback: func(string, net.Addr, ssh.PublicKey) error {
			if wary {
				return errHostKey
			}
			return nil
		}})
	if err != nil {
		return &session{}
	}
	c, err := sftp.NewClient(conn)
	if err != nil {
		conn.Close()
		return &session{}
	}
	return &session{conn, c}
}

// open does with a file what was done then. Where a fault ended it, it goes on until the fault is there.
func (p *player) open(s *session, r *played, e, end *journal.Event) {
	flags := os.O_RDONLY
	if strings.Contains(e.Flags, "write") {
		flags = os.O_WRONLY | os.O_CREATE
	}
	if strings.Contains(e.Flags, "truncate") {
		flags |= os.O_TRUNC
	}
	file, err := s.client.OpenFile(path.Join("/", e.Path), flags)
	if err != nil || end == nil {
		return
	}
	faulted := end.Fault != ""
	buf := make([]byte, 32<<10)
	if flags == os.O_RDONLY {
		to := int64(0)
		for _, part := range end.Read {
			to = max(to, part.To)
		}
		if faulted {
			to = 1 << 40
		}
		for at := int64(0); at < to && err == nil; {
			var n int
			n, err = file.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			at += int64(n)
		}
	} else {
		for i, part := range end.Written {
			if faulted && i == len(end.Written)-1 {
				part.To = max(part.To, r.dump)
			}
			for at := part.From; at < part.To && err == nil; {
				piece := buf[:min(int64(len(buf)), part.To-at)]
				dump{}.at(piece, at)
				_, err = file.WriteAt(piece, at)
				at += int64(len(piece))
			}
		}
		if faulted && len(end.Written) == 0 {
			dump{}.at(buf[:1], end.Offset)
			_, err = file.WriteAt(buf[:1], end.Offset)
		}
	}
	if (err == nil || err == io.EOF) && end.On == scenario.OnSFTPClose {
		file.Close()
	}
}

func (s *session) hangUp() {
	if s.client != nil {
		s.client.Close()
		s.conn.Close()
		s.client, s.conn = nil, nil
	}
}

func (p *player) hangUp() {
	for _, s := range p.sessions {
		s.hangUp()
	}
}

// transfer plays a transfer of the script API with all that belongs to it: transfer/start, rsync, and, after one that
// went well, transfer/stop.
func (p *player) transfer(events []journal.Event, i int) error {
	e := &events[i]
	r := p.request(events, e)
	p.skip = i + 1
	for ; p.skip < len(events); p.skip++ {
		on := events[p.skip].On
		if !strings.HasPrefix(on, "rsync.") && on != scenario.OnScriptTransferStop {
			break
		}
	}
	c, err := client.New(p.srv.HTTPSURL(), &client.Options{RootCAs: p.srv.CertPool()})
	if err != nil {
		return err
	}
	defer c.Close()
	api, err := c.Script()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	opts := &client.ScriptTransferOptions{Signers: []ssh.Signer{p.signer}, Retry: &client.RetryOptions{
		Min: time.Millisecond, Max: time.Millisecond, OnRetry: func(error, time.Duration) { cancel() }}}
	ref := client.ScriptRef{ID: strconv.FormatInt(r.id, 10), Token: client.Key(r.key)}
	if e.Params["transfer_type"] == "download" {
		into, err := os.MkdirTemp(p.dir, "download-")
		if err != nil {
			return err
		}
		_, _ = api.Download(ctx, ref, into, opts) // what goes wrong is in the journal
		return nil
	}
	name, err := p.files(r)
	if err != nil {
		return err
	}
	dump, err := client.OpenScriptDump(name)
	if err != nil {
		return err
	}
	_, _ = api.Upload(ctx, ref, dump, opts)
	return nil
}

// files makes the dump of a request up: a file, or a directory if there were several.
func (p *player) files(r *played) (string, error) {
	base := filepath.Join(p.dir, fmt.Sprintf("upload-%d", r.id))
	if len(r.names) < 2 {
		return base + ".dump", writeDump(base+".dump", max(r.dump, 1))
	}
	toc := false
	for _, f := range r.names {
		_, name, ok := strings.Cut(f.Name, "/")
		if !ok || !filepath.IsLocal(name) {
			return "", errors.New("the journal has a file outside of the dump: " + f.Name)
		}
		toc = toc || name == "toc.dat"
		full := filepath.Join(base, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			return "", err
		}
		if err := writeDump(full, f.Size); err != nil {
			return "", err
		}
	}
	if !toc {
		if err := writeDump(filepath.Join(base, "toc.dat"), 100); err != nil {
			return "", err
		}
	}
	return base, nil
}
