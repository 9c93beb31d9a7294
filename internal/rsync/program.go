package rsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Program returns the engine that runs the rsync program at the path, in a process group of its own that is killed at
// the end. The program is given no option of the client's, and sees no file but those of the job: the list of an upload
// has regular files only, and a download is a directory of links to them.
//
// What passes is counted as with [InProcess], and Job.Data is as exact, since the protocol is the same. But the
// program works on what it was sent a moment later: Job.Done comes for all files at the end of an upload.
func Program(path string) Engine { return engine{program{path}} }

type program struct{ path string }

// programGrace is how long the program has for what it was sent before a transfer broke.
const programGrace = 10 * time.Second

func (p program) receive(ctx context.Context, u *upload) error {
	dir, err := rootPath(u.root)
	if err != nil {
		return err
	}
	letters := "-rp"
	if u.c.times {
		letters = "-rpt"
	}
	t := &relayedUpload{upload: u}
	err = p.relay(ctx, u.session, dir, t.send, t.ask, letters)
	t.finish(u.cause(ctx, err))
	return err
}

func (p program) send(ctx context.Context, d *download) error {
	dir, err := os.MkdirTemp("", "upgrademock-rsync-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t := relayDownload(d)
	for i, index := range t.files {
		if err := place(d.job.Files, d.list[index].path, filepath.Join(dir, flatName(i))); err != nil {
			return err
		}
	}
	return p.relay(ctx, d.session, dir, t.ask, t.send, "--sender", "-rL")
}

// flatName is the name of a file by its index, so that the names are in order.
func flatName(i int) string { return fmt.Sprintf("%010d", i) }

// relay runs the program in the directory between two parsers: in reads what the client sends, and out what the program
// does.
func (p program) relay(ctx context.Context, t *session, dir string, in func(*reader, func([]byte) error) error,
	out func(*reader) error, options ...string) error {
	from := pulled(func(emit func([]byte) error) error { return t.failed(in(t.r, emit)) })
	to := pushed(func(r *reader) error { return t.failed(out(r)) })
	defer from.stop()
	defer to.stop()
	return p.run(ctx, t, dir, from, to, options...)
}

// place makes the file of the name appear at the path: as a symbolic link if it is one of the system's, else as a copy.
func place(files fs.FS, name, path string) error {
	src, err := files.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	if f, ok := src.(*os.File); ok {
		real, err := filepath.Abs(f.Name())
		if err != nil {
			return err
		}
		if at, err := os.Lstat(real); err == nil && os.SameFile(at, info) {
			return os.Symlink(real, path)
		}
	}
	dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close(), os.Chtimes(path, time.Time{}, info.ModTime()))
}

// run runs the program in the directory, as the server of a client that has asked for it.
func (p program) run(ctx context.Context, t *session, dir string, in io.Reader, out io.Writer,
	options ...string) error {
	cmd := exec.Command(p.path, append(append([]string{"--server"}, options...), ".", ".")...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"} // no RSYNC_… of ours
	cmd.Stderr = said{t}
	cmd.WaitDelay = programGrace
	ownGroup(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run the rsync program: %w", err)
	}
	defer killGroup(cmd)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ctx.Done(): // its input ends now
		case <-ended:
			return
		}
		select {
		case <-time.After(programGrace):
			killGroup(cmd)
		case <-ended:
		}
	}()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		if _, err := io.Copy(stdin, in); err != nil { // the transfer's, or the program has ended
			stdin.Close()
		}
	}()
	_, err = io.Copy(out, stdout)
	if err != nil {
		t.fail(err)
		io.Copy(io.Discard, stdout)
	}
	if waited := cmd.Wait(); err == nil {
		err = waited
	}
	t.fail(errClosed)
	<-fed
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		status := e.ExitCode()
		if status < 0 {
			status = statusEnded
		}
		return exit{uint8(status)}
	}
	return err
}

// said passes on what the program writes to its stderr.
type said struct{ t *session }

func (s said) Write(p []byte) (int, error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	return s.t.errw.Write(p)
}

// rootPath is the path that leads to the root.
func rootPath(root *os.Root) (string, error) {
	name := root.Name()
	at, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	is, err := root.Stat(".")
	if err != nil {
		return "", err
	}
	if !os.SameFile(at, is) {
		return "", &fs.PathError{Op: "open", Path: name, Err: errors.New("another directory than the root of the upload")}
	}
	return name, nil
}
