//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

// job is all that a user does, with the programs that the documentation shows: curl for the calls, sftp for the dump
// there and back. The peers are nginx for the calls, answering each with a file, and sshd for the dump.
func (b *bench) job() ([]row, error) {
	both, err := b.startPair()
	if err != nil {
		return nil, err
	}
	defer both.kill()
	e, sshd := both.e, both.sshd
	nginx, err := startNginx(b.dir, b.certFile, b.keyFile)
	if err != nil {
		return nil, err
	}
	defer nginx.Kill()
	if err := os.WriteFile(nginx.file, []byte(`{"failures": []}`), 0o644); err != nil {
		return nil, err
	}
	downloaded := filepath.Join(b.dir, "downloaded")
	uploaded := filepath.Join(b.dir, "uploaded")

	ours := func() error { return b.ourJob(e, downloaded) }
	theirs := func() error { return b.theirJob(both, nginx, uploaded, downloaded) }
	r, err := b.turns(row{
		name: "the whole job with curl and sftp", unit: "s", lessIsGood: true, peerName: "nginx and sshd", ratio: 1,
	}, func() (sample, error) { return duration(e.Process, ours) }, func() (sample, error) {
		return duration(sshd.Process, theirs)
	})
	if err != nil {
		return nil, err
	}
	if err := b.same(downloaded); err != nil {
		return nil, fmt.Errorf("the whole job: %w", err)
	}
	return []row{r}, nil
}

// curl makes one call.
func (b *bench) curl(url string, args ...string) error {
	_, err := b.command("curl", append([]string{"-sS", "--fail", "--noproxy", "*", url}, args...)...)
	return err
}

// polls is how often a job asks for the status while it waits.
const polls = 5

func (b *bench) ourJob(e *rig.Emulator, downloaded string) error {
	// create is asked in process, since its answer is needed here; curl asks once more, so that both sides start as many
	// programs.
	r, err := e.Create(b.ctx)
	if err != nil {
		return err
	}
	url := func(method string) string { return e.URL + "/database/v1/" + method + "?" + r.Query() }
	if err := b.curl(url("status")); err != nil {
		return err
	}
	if err := b.curl(url("request_sftp_access"), "-F", "ssh_keys=@"+b.key+".pub"); err != nil {
		return err
	}
	if err := b.sftpBatch(place{user: r.User(), port: e.SFTPPort}, nil, "put "+b.source+" "+rig.Filename); err != nil {
		return err
	}
	if err := b.curl(url("process")); err != nil {
		return err
	}
	for range polls {
		if err := b.curl(url("status")); err != nil {
			return err
		}
	}
	if err := b.curl(url("request_sftp_access"), "-F", "ssh_keys=@"+b.key+".pub"); err != nil {
		return err
	}
	return b.sftpBatch(place{user: r.User(), port: e.SFTPPort}, nil, "get upgraded_"+rig.Filename+" "+downloaded)
}

func (b *bench) theirJob(both *pair, nginx *peer, uploaded, downloaded string) error {
	at := place{user: both.user, port: both.sshd.port}
	for range 2 {
		if err := b.curl(nginx.url); err != nil {
			return err
		}
	}
	if err := b.sftpBatch(at, nil, "put "+b.source+" "+uploaded); err != nil {
		return err
	}
	for range 1 + polls + 1 {
		if err := b.curl(nginx.url); err != nil {
			return err
		}
	}
	return b.sftpBatch(at, nil, "get "+uploaded+" "+downloaded)
}
