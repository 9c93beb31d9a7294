//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

// place is where an sftp client goes.
type place struct {
	user string
	port int
	file string // the name of the remote file
}

// sftpCommand is OpenSSH's client, which reads its commands from standard input.
func (b *bench) sftpCommand(p place, options []string) *exec.Cmd {
	args := append([]string{"-q", "-b", "-", "-F", "none", "-i", b.key, "-P", strconv.Itoa(p.port),
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"}, options...)
	return exec.CommandContext(b.ctx, "sftp", append(args, p.user+"@127.0.0.1")...)
}

// sftpBatch runs OpenSSH's client with the commands.
func (b *bench) sftpBatch(p place, options []string, commands ...string) error {
	cmd := b.sftpCommand(p, options)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sftp %s: %w\n%s", commands[0], err, out)
	}
	return nil
}

// ourPlace is a fresh request's share.
func (b *bench) ourPlace(e *rig.Emulator) (place, error) {
	r, err := e.Share(b.ctx, b.publicKey)
	return place{user: r.User(), port: e.SFTPPort, file: rig.Filename}, err
}

// sftp is one client that puts the file and gets it back, with the cipher it takes by itself and with one that both
// servers have.
func (b *bench) sftp() (rows []row, err error) {
	for _, c := range []struct {
		name    string
		options []string
		ratio   float64
		cpu     float64
	}{
		{name: "as it comes", ratio: 1, cpu: 1.2},
		{name: "aes128-gcm", options: []string{"-c", "aes128-gcm@openssh.com"}, ratio: 0.95},
		// Only a client that offers nothing better gets this one; the SSH library has no assembly for it on amd64, so it is
		// the slowest.
		{name: "chacha20", options: []string{"-c", "chacha20-poly1305@openssh.com"}, ratio: 0.95},
	} {
		both, err := b.startPair()
		if err != nil {
			return rows, err
		}
		defer both.kill()
		e, sshd := both.e, both.sshd
		ours, err := b.ourPlace(e)
		if err != nil {
			return rows, err
		}
		theirs := place{user: both.user, port: sshd.port, file: filepath.Join(b.dir, "uploaded")}
		for _, direction := range []struct {
			name    string
			command func(place) string
		}{
			{"upload", func(p place) string { return "put " + b.source + " " + p.file }},
			{"download", func(p place) string { return "get " + p.file + " " + filepath.Join(b.dir, "downloaded") }},
		} {
			measure := func(p place, server *rig.Process) func() (sample, error) {
				return func() (sample, error) {
					return rate(server, b.size, func() error { return b.sftpBatch(p, c.options, direction.command(p)) })
				}
			}
			r, err := b.turns(row{
				name: "SFTP " + direction.name + ", " + c.name, unit: "MB/s", peerName: "sshd", cpuUnit: perGiB, ratio: c.ratio,
				cpuRatio: c.cpu,
			}, measure(ours, e.Process), measure(theirs, sshd.Process))
			if err != nil {
				return rows, err
			}
			rows = append(rows, r)
		}
		if err := b.same(filepath.Join(b.dir, "downloaded")); err != nil {
			return rows, err
		}
		both.kill()
		os.Remove(theirs.file)
	}
	return rows, nil
}

// same checks that a file that came back is what was sent.
func (b *bench) same(path string) error {
	if _, err := b.command("cmp", path, b.source); err != nil {
		return fmt.Errorf("what came back is not what was sent: %w", err)
	}
	return nil
}

const (
	manySize = 10 << 20 // of each of many files
	many     = 50
	crowd    = 200
)

// sftpMany is many clients at once, each with a small file.
func (b *bench) sftpMany() ([]row, error) {
	size := min(manySize, b.size)
	small := filepath.Join(b.dir, "small.dump")
	if err := writeRandom(small, size); err != nil {
		return nil, err
	}
	both, err := b.startPair()
	if err != nil {
		return nil, err
	}
	defer both.kill()
	e, sshd := both.e, both.sshd

	var ours, theirs []place
	for i := range crowd {
		p, err := b.ourPlace(e)
		if err != nil {
			return nil, err
		}
		ours = append(ours, p)
		theirs = append(theirs, place{user: both.user, port: sshd.port,
			file: filepath.Join(b.dir, "uploaded-"+strconv.Itoa(i))})
	}
	// At once: each client starts when all are there to start.
	all := func(places []place, command func(place) string) func() error {
		return func() error {
			var wg sync.WaitGroup
			errs := make([]error, len(places))
			for i, p := range places {
				wg.Go(func() { errs[i] = b.sftpBatch(p, nil, command(p)) })
			}
			wg.Wait()
			return errors.Join(errs...)
		}
	}
	put := func(p place) string { return "put " + small + " " + p.file }
	r, err := b.turns(row{
		name: fmt.Sprintf("%d SFTP uploads of %s at once", many, mib(size)), unit: "s", lessIsGood: true, peerName: "sshd",
		cpuUnit: "s", ratio: 0.5,
	}, func() (sample, error) { return duration(e.Process, all(ours[:many], put)) },
		func() (sample, error) { return duration(sshd.Process, all(theirs[:many], put)) })
	if err != nil {
		return nil, err
	}
	s, err := duration(e.Process, func() error { return b.sessionsAtOnce(ours) })
	return []row{r, {name: fmt.Sprintf("%d SFTP sessions open at once", crowd), unit: "s", cpuUnit: "s", ours: s}}, err
}

// sessionsAtOnce opens a session at each place, and ends them when all have seen their file.
func (b *bench) sessionsAtOnce(places []place) error {
	var all, seen sync.WaitGroup
	seen.Add(len(places))
	errs := make([]error, len(places))
	for i, p := range places {
		all.Go(func() {
			var once sync.Once
			arrive := func() { once.Do(seen.Done) }
			defer arrive()
			cmd := b.sftpCommand(p, nil)
			in, out := io.Pipe()
			defer in.Close()
			cmd.Stdin = in
			cmd.Stdout = onWrite(arrive) // the listing: before it, only the commands are shown
			go func() {
				fmt.Fprintln(out, "@ls -l")
				seen.Wait()
				out.Close()
			}()
			if err := cmd.Run(); err != nil {
				errs[i] = fmt.Errorf("sftp session %d of %d: %w", i, len(places), err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// onWrite is called when something is written.
type onWrite func()

func (f onWrite) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}
