package mockserver

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/scripts"
	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
	"github.com/upgrademock/upgrademock/sftpserver"
	gossh "golang.org/x/crypto/ssh"
)

// newSFTP makes the temporary SFTP host, which asks the platform for everything.
func (s *Server) newSFTP() (*sftpserver.Server, error) {
	host := &sftpHost{
		platform: s.platform, observer: &s.observer, log: s.log, uploaded: s.database.Uploaded,
		otherKeys: sync.OnceValues(func() ([]gossh.Signer, error) { return othersLike(s.trust.hostKeys) }),
	}
	s.shared = host
	return sftpserver.New(&sftpserver.Options{
		Shares:   host,
		HostKeys: s.trust.hostKeys,
		Logger:   s.log,
		Observe:  host.observe,
		Fault:    host.fault,
		Now:      s.opts.Clock.Now,

		MaxSessions: s.opts.MaxSessions,

		// Programs written for the platform in its time sign with RSA keys and SHA-1, and must be able to come in
		// unmodified.
		AllowSHA1: true,
	})
}

// sftpHost answers sftpserver from the platform.
type sftpHost struct {
	platform  *platform.Platform
	observer  *observer
	log       *slog.Logger
	uploaded  func(id int64)
	files     atomic.Int64                   // that are open
	otherKeys func() ([]gossh.Signer, error) // makes, once, what a scenario shows in place of the host keys
}

// Share is sftpserver.Shares'.
func (h *sftpHost) Share(user string, key gossh.PublicKey) (sftpserver.Share, error) {
	p, err := h.platform.Share(user, sshkeys.Wire(key))
	if err != nil {
		return nil, err
	}
	return share{host: h, Share: p}, nil
}

// share puts platform's errors into sftpserver's words.
type share struct {
	host *sftpHost
	*platform.Share
}

func (sh share) Stat() (sftpserver.Info, error) {
	info, err := sh.Share.Stat()
	return sftpserver.Info{Name: info.Name, Size: info.Size, ModTime: info.ModTime,
		ReadOnly: info.ReadOnly}, inSFTPWords(err)
}

func (sh share) Open(flag int) (sftpserver.File, error) {
	f, err := sh.Share.Open(flag)
	if err != nil {
		return nil, inSFTPWords(err)
	}
	return &file{ShareFile: f, host: sh.host, id: sh.ID()}, nil
}

func (sh share) Truncate(size int64) error { return inSFTPWords(sh.Share.Truncate(size)) }

// worded is an error of the platform that sftpserver knows by another one.
type worded struct {
	error
	as error
}

func (w worded) Unwrap() []error { return []error{w.error, w.as} }

func inSFTPWords(err error) error {
	switch {
	case errors.Is(err, platform.ErrAccessEnded):
		return worded{err, sftpserver.ErrRevoked}
	case errors.Is(err, platform.ErrUnreadable):
		return worded{err, sftpserver.ErrUnreadable}
	case errors.Is(err, platform.ErrReadOnly):
		return worded{err, sftpserver.ErrDenied}
	}
	return err
}

// file is a shared file that reports when its dump is complete.
type file struct {
	platform.ShareFile
	host      *sftpHost
	id        int64
	completed *platform.Completed // by Close; nil: nothing was
}

func (f *file) Close() error {
	completed, err := f.Finish()
	if completed != nil && err == nil {
		f.completed = completed
		f.host.uploaded(f.id)
	}
	return err
}

// sftpPlaces are the scenarios' names for the moments at which sftpserver asks.
var sftpPlaces = map[sftpserver.OpKind]string{
	sftpserver.OpLogin: scenario.OnSFTPLogin,
	sftpserver.OpOpen:  scenario.OnSFTPOpen,
	sftpserver.OpRead:  scenario.OnSFTPRead,
	sftpserver.OpWrite: scenario.OnSFTPWrite,
	sftpserver.OpClose: scenario.OnSFTPClose,
}

// fault asks the scenario of the user's request what shall go wrong.
func (h *sftpHost) fault(op sftpserver.Op) *sftpserver.Fault {
	if op.Kind == sftpserver.OpHostKey {
		return h.hostKeyFault()
	}
	on, ok := sftpPlaces[op.Kind]
	id, known := platform.UserID(op.User)
	if !ok || !known {
		return nil
	}
	r, there := h.platform.Get(id)
	if !there {
		return nil
	}
	f := r.Pick(on)
	if f == nil || f.HostKey != "" { // that one was asked for when the connection began: hostKeyFault
		return nil
	}
	fault := &sftpserver.Fault{
		Name: scripts.Describe(f), Refuse: f.Refuse, Error: f.Error, Disconnect: f.Disconnect ||
			f.Cut, Reset: f.Reset, Revoke: f.Revoke,
		After: f.After, Delay: f.Delay, Rate: f.Rate,
	}
	if f.Revoke {
		fault.Fired = r.Revoke
	}
	return fault
}

// hostKeyFault is the fault by which a connection that begins sees other host keys than before.
func (h *sftpHost) hostKeyFault() *sftpserver.Fault {
	f, r := h.platform.PickHostKey()
	if f == nil {
		return nil
	}
	keys, err := h.otherKeys()
	if err != nil {
		h.log.Error("no other host keys can be made; the usual ones are shown", "err", err)
		return nil
	}
	return &sftpserver.Fault{Name: scripts.Describe(f), HostKeys: keys, User: platform.SFTPUser(r.ID())}
}

// observe journals what sftpserver reports. A file that was written, or read, and closed in order is an event of its
// own.
func (h *sftpHost) observe(e sftpserver.Event) {
	switch e.Kind {
	case sftpserver.EventOpen:
		h.files.Add(1)
	case sftpserver.EventClose, sftpserver.EventAbort:
		defer h.files.Add(-1)
	}
	event := journal.Event{
		At: e.Time, On: sftpPrefix + string(e.Kind),
		Session: e.Session, User: shortUser(e.User), Client: e.Client, Auth: e.Method, PubKey: e.Key,
		Handle: e.Handle, Op: e.Op, Path: e.Path, Flags: e.Flags.String(), Size: e.Size, Offset: e.Offset,
		Written: ranges(e.Written), Read: ranges(e.Read), Fault: e.Name, Why: e.Reason,
	}
	switch e.Kind {
	case sftpserver.EventFault, sftpserver.EventClose, sftpserver.EventAbort:
		if e.Name != "" {
			event.Fired = &journal.Fired{At: e.Offset, Received: e.Received, Sent: e.Sent}
		}
	}
	for _, name := range e.Spared {
		if event.Why != "" {
			event.Why += "; "
		}
		event.Why += name + " was chosen for this handle, which ended before it could fire"
	}
	if id, ok := platform.UserID(e.User); ok {
		event.Request = id
		if r, ok := h.platform.Get(id); ok {
			event.Contract, event.Scenario = r.Contract(), r.Scenario()
		}
	}
	h.observer.record(&event)
	if e.Kind != sftpserver.EventClose || e.Reason != "" || e.Incomplete {
		return
	}
	switch {
	case len(e.Written) > 0 || e.Flags.Write && e.Flags.Truncate:
		event.On = scenario.OnSFTPPut
		if f, ok := e.File.(*file); ok && f.completed != nil {
			event.Size, event.Checksum = f.completed.Size, f.completed.Checksum
		}
	case len(e.Read) > 0:
		event.On = scenario.OnSFTPGet
	default:
		return
	}
	h.observer.record(&event)
}

func ranges(list []sftpserver.Range) []journal.Range {
	if len(list) == 0 {
		return nil
	}
	converted := make([]journal.Range, len(list))
	for i, r := range list {
		converted[i] = journal.Range(r)
	}
	return converted
}

// shortUser keeps an SFTP user name that a stranger made up from filling the journal.
func shortUser(user string) string {
	return api.Shorten(sshkeys.Hide(strings.ToValidUTF8(user, "\uFFFD")), 100)
}
