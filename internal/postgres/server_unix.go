//go:build unix

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is a running PostgreSQL server, on a socket in a directory of its own. Its methods may be called concurrently.
type Server struct {
	Dir string // of the server's files and its socket: what PGHOST names
	Bin string // the directory of PostgreSQL's programs

	as      *syscall.SysProcAttr // the server refuses to be root
	process *exec.Cmd
	ended   <-chan error // gets how the server ended, once
}

// Start starts a server, which accepts connections when Start returns. It must be closed.
func Start(ctx context.Context) (_ *Server, err error) {
	s := &Server{}
	// Debian keeps the server's programs out of the PATH, in a directory for each version.
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		s.Bin = filepath.Dir(found[len(found)-1])
	} else if initdb, err := exec.LookPath("initdb"); err == nil {
		s.Bin = filepath.Dir(initdb)
	} else {
		return nil, fmt.Errorf("%w: the program initdb is not found", ErrMissing)
	}
	if os.Geteuid() == 0 {
		if s.as, err = unprivileged(); err != nil {
			return nil, err
		}
	}
	if s.Dir, err = os.MkdirTemp("", "pg"); err != nil { // the path of a socket has to be short
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.Dir))
		}
	}()
	if s.as != nil {
		if err := os.Chown(s.Dir, int(s.as.Credential.Uid), int(s.as.Credential.Gid)); err != nil {
			return nil, err
		}
	}
	_, err = s.Run(ctx, nil, "initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
		"--no-sync")
	if err != nil {
		return nil, err
	}
	return s, s.serve(ctx)
}

// serve starts the server itself. It stays a child of this process, and in its process group: what is a daemon could be
// taken for one that a client left running (package child).
func (s *Server) serve(ctx context.Context) error {
	s.process = exec.Command(filepath.Join(s.Bin, "postgres"), "-D", s.data(), "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "unix_socket_directories="+s.Dir)
	s.process.Dir, s.process.Env, s.process.SysProcAttr = s.Dir, append(s.Env(), "LC_ALL=C"), s.as
	var said bytes.Buffer
	s.process.Stdout, s.process.Stderr = &said, &said
	if err := s.process.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.process.Wait() }()
	s.ended = ended
	for {
		if _, err := s.Run(ctx, nil, "pg_isready", "-q"); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("postgres: %w\n%s", err, said.String())
		case <-ctx.Done():
			s.process.Process.Kill()
			<-ended
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func unprivileged() (*syscall.SysProcAttr, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, fmt.Errorf("%w: it refuses to run as root, and there is no user postgres or nobody", ErrMissing)
}

func (s *Server) data() string { return filepath.Join(s.Dir, "data") }

// Env returns the variables with which a program finds PostgreSQL's programs and the server.
func (s *Server) Env() []string {
	return []string{"PGHOST=" + s.Dir, "PGUSER=postgres",
		"PATH=" + s.Bin + string(filepath.ListSeparator) + os.Getenv("PATH")}
}

// Run runs one of PostgreSQL's programs in the server's directory, as the server's user, and returns what it writes.
// The error of a program that fails has what it says.
func (s *Server) Run(ctx context.Context, stdin io.Reader, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, program), args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.Dir, append(s.Env(), "LC_ALL=C"), s.as
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// Close ends the server, and removes its files.
func (s *Server) Close() error {
	err := s.process.Process.Signal(syscall.SIGQUIT) // which ends it at once; nobody needs what is in it
	if err == nil {
		<-s.ended
	}
	return errors.Join(err, os.RemoveAll(s.Dir))
}
