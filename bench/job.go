//go:build linux

package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

// job is all that a user does, with the programs that the documentation shows: curl for the calls, sftp for the dump
// there and back. The peers are nginx for the calls, answering each with a file, and sshd for the dump.
func (b *bench) job() ([]row, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	e, err := b.emulator()
	if err != nil {
		return nil, err
	}
	defer e.Kill()
	sshd, err := startSSHD(b.dir, b.publicKey)
	if err != nil {
		return nil, err
	}
	defer sshd.Kill()
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

	call := func(url string, args ...string) error {
		_, err := b.command("curl", append([]string{"-sS", "--fail", "--noproxy", "*", url}, args...)...)
		return err
	}
	const polls = 5
	ours := func() error {
		// create is asked in process, since its answer is needed here; curl asks once more, so that both sides start as many
		// programs.
		r, err := e.Create(b.ctx)
		if err != nil {
			return err
		}
		url := func(method string) string { return e.URL + "/database/v1/" + method + "?" + r.Query() }
		if err := call(url("status")); err != nil {
			return err
		}
		if err := call(url("request_sftp_access"), "-F", "ssh_keys=@"+b.key+".pub"); err != nil {
			return err
		}
		if err := b.sftpBatch(place{user: r.User(), port: e.SFTPPort}, nil, "put "+b.source+" "+rig.Filename); err != nil {
			return err
		}
		if err := call(url("process")); err != nil {
			return err
		}
		for range polls {
			if err := call(url("status")); err != nil {
				return err
			}
		}
		if err := call(url("request_sftp_access"), "-F", "ssh_keys=@"+b.key+".pub"); err != nil {
			return err
		}
		return b.sftpBatch(place{user: r.User(), port: e.SFTPPort}, nil, "get upgraded_"+rig.Filename+" "+downloaded)
	}
	theirs := func() error {
		at := place{user: me.Username, port: sshd.port}
		for range 2 {
			if err := call(nginx.url); err != nil {
				return err
			}
		}
		if err := b.sftpBatch(at, nil, "put "+b.source+" "+uploaded); err != nil {
			return err
		}
		for range 1 + polls + 1 {
			if err := call(nginx.url); err != nil {
				return err
			}
		}
		return b.sftpBatch(at, nil, "get "+uploaded+" "+downloaded)
	}
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
