package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/internal/sshhost"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// failed is the exit status of a session that rsync itself had no part in: a syntax or usage error.
const failed = 1

// session is one command of a client: a run of rsync.
type session struct {
	*transfer
	ssh *sshhost.Session

	mu     sync.Mutex
	fault  *platform.Fault // that may fire; nil: none, or it has
	fired  *journal.Fired  // nil: nothing has
	name   string          // of the fault that was chosen for the session
	ending *sshhost.Fault  // ends the connection, once the session has; nil: nothing does
	passed int64           // bytes of file data that came in, or went out
	size   int64           // bytes of all files
	total  journal.Rsync   // the files so far
	stale  int             // files of an earlier upload that are in the dump, too

	files *platform.TreeUpload // nil: the session is no upload
}

// serve serves a session to its end and returns its exit status.
func (t *transfer) serve(ssh *sshhost.Session) (status uint8) {
	s := &session{transfer: t, ssh: ssh}
	if err := t.begin(); err != nil {
		return s.refuse(err.Error())
	}
	defer t.done()
	t.host.running(s, true)
	defer t.host.running(s, false)
	command, err := rsync.Parse(ssh.Command)
	if err == nil {
		err = command.ReadArgs(moving{s, ssh})
	}
	if err != nil {
		return s.refuse(err.Error())
	}
	if command.Sender != (t.kind == platform.Downloading) {
		return s.refuse("rsync: this port was opened for an " + t.kind + ", and nothing else can be done here; " +
			"ask for another with transfer/start")
	}
	on := scenario.OnRsyncUpload
	if command.Sender {
		on = scenario.OnRsyncDownload
	}
	if f := t.request.Pick(on); f != nil {
		s.mu.Lock()
		s.fault, s.name = f, name(f)
		s.mu.Unlock()
	}
	switch err = s.atOnce(); {
	case err == errRefused:
		fmt.Fprintf(ssh.Stderr(), "rsync: refused: %v\r\n", err)
		status = failed
	case err != nil:
	case command.Sender:
		status, err = s.download(command)
	default:
		status, err = s.upload(command)
	}
	if s.ending != nil {
		s.ssh.EndConn(s.ending)
	}
	s.ssh.Limit(s, 0)
	s.record(on, status, err)
	return status
}

// refuse tells the client why its command is not served, and journals it.
func (s *session) refuse(why string) uint8 {
	fmt.Fprintf(s.ssh.Stderr(), "%s\r\n", why)
	s.ssh.Report(func(p sshhost.Peer) {
		s.host.observe(p, sshhost.Event{
			Kind: sshhost.EventDenied, Op: s.ssh.Kind, Command: s.ssh.Command, Reason: why,
		})
	})
	return failed
}

// upload has the client write to the request's files, once no other session does.
func (s *session) upload(c *rsync.Command) (status uint8, err error) {
	if err := s.host.mayWrite(s.ssh.Context(), s.request.ID()); err != nil {
		return failed, err
	}
	defer s.host.wrote(s.request.ID())
	upload, err := s.request.BeginUpload()
	if err != nil {
		return s.fail(err)
	}
	s.files = upload
	status, err = s.run(c, &rsync.Job{
		Root: upload.Root(), MaxBytes: s.host.opts.MaxBytes, MaxFiles: s.host.opts.MaxFiles,
	})
	named := make([]platform.TreeFile, len(s.total.Files))
	for i, f := range s.total.Files {
		named[i].Name = f.Name
	}
	snapshot, endErr := upload.End(err == nil, named)
	for i, f := range named {
		s.total.Files[i].Checksum = f.Checksum
	}
	if err == nil && endErr != nil {
		return s.fail(endErr)
	}
	if err == nil && snapshot.HasDump {
		s.stale = max(0, snapshot.Upload.Files-s.total.Count)
		s.host.opts.Uploaded(snapshot.ID)
	}
	return status, err
}

// download sends the client what the upgrade has made.
func (s *session) download(c *rsync.Command) (status uint8, err error) {
	files, done, err := s.request.Results()
	if err != nil {
		return s.fail(err)
	}
	status, err = s.run(c, &rsync.Job{Files: files})
	if doneErr := done(); err == nil && doneErr != nil {
		return s.fail(doneErr)
	}
	return status, err
}

// fail tells the client that the platform cannot do what it asks for. What only the emulator's user should know is in
// the journal.
func (s *session) fail(err error) (uint8, error) {
	why := "the platform's files cannot be used now"
	if errors.Is(err, platform.ErrUnreadable) {
		why = "no upgraded database can be made of the uploaded one, which cannot be read: " +
			"begin a new upgrade with a dump that pg_dump wrote"
	}
	if fails, ok := errors.AsType[platform.Failures](err); ok {
		why = fails[0].Message
	}
	fmt.Fprintf(s.ssh.Stderr(), "rsync: refused: %s\r\n", why)
	return failed, err
}

func (s *session) run(c *rsync.Command, job *rsync.Job) (uint8, error) {
	job.Data, job.Done = s.data, s.whole
	stream := rsync.Stream{In: moving{s, s.ssh}, Out: moving{s, s.ssh}, Err: s.ssh.Stderr()}
	return s.host.opts.Engine.Serve(s.ssh.Context(), stream, c, job)
}

// moving is the client's stream, which notes that something moves.
type moving struct {
	s   *session
	ssh io.ReadWriter
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.ssh.Read(p)
	m.s.touch()
	return n, err
}

func (m moving) Write(p []byte) (int, error) {
	n, err := m.ssh.Write(p)
	m.s.touch()
	return n, err
}

// whole notes a file that has arrived, or left, or was there.
func (s *session) whole(f rsync.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size += f.Size
	s.total.Count++
	s.total.Saved += f.Size - f.Literal
	if f.Skipped {
		s.total.Skipped++
	}
	if len(s.total.Files) < journal.MaxFiles {
		s.total.Files = append(s.total.Files, journal.File{
			Name: f.Name, Size: f.Size, Sent: f.Literal, Skipped: f.Skipped,
		})
	}
	if s.files != nil {
		s.files.Note(platform.TreeFile{Name: f.Name, Size: f.Size, Sent: f.Literal}, f.Skipped)
	}
}

// moved returns how many bytes of file data have come in, and have gone out.
func (s *session) moved() (received, sent int64) {
	if s.kind == platform.Downloading {
		return 0, s.passed
	}
	return s.passed, 0
}

// why says why the session did not end well, or what is odd about its end; "" if nothing is.
func (s *session) why(err error) string {
	cause := context.Cause(s.ctx)
	if cause == nil {
		cause = s.ssh.Broken()
	}
	switch {
	case cause == nil && err == nil && s.stale > 0:
		return fmt.Sprintf("files of an earlier upload that this one does not have are in the dump, too: %d; rsync deletes "+
			"them with --delete-after, and what belongs to a dump is what its toc.dat names", s.stale)
	case cause == nil && err == nil:
		return ""
	case cause == nil:
		return err.Error()
	case err == nil:
		return "all files have passed, but the exit status could not be sent: " + cause.Error()
	}
	return cause.Error()
}
