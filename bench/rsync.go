//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

const (
	rsyncRatio     = 0.83 // at most 1.2 times the wall time
	rsyncManyRatio = 1.3
	rsyncMemory    = 64 << 20 // of one big file; many small ones take one or two KiB each
	smallFile      = 1 << 10
)

// rsync is one client that uploads a dump in several files and downloads the result, as the upgrade script does:
// first of one big file, then of many small ones, beside OpenSSH's server with the system's rsync.
func (b *bench) rsync() (rows []row, err error) {
	big := filepath.Join(b.dir, "big.dump")
	if err := writeTree(big, b.size, 1); err != nil {
		return nil, err
	}
	defer os.RemoveAll(big)
	rows, err = b.rsyncTree(big, true, func(direction string) row {
		return row{
			name: "rsync " + direction, unit: "MB/s", cpuUnit: perGiB, peerName: "sshd", ratio: rsyncRatio, memory: rsyncMemory,
		}
	}, func(p *rig.Process, work func() error) (sample, error) { return rate(p, b.size, work) })
	if err != nil || b.files == 0 {
		return rows, err
	}
	many := filepath.Join(b.dir, "many.dump")
	if err := writeTree(many, int64(b.files)*smallFile, b.files); err != nil {
		return rows, err
	}
	defer os.RemoveAll(many)
	more, err := b.rsyncTree(many, false, func(direction string) row {
		name := fmt.Sprintf("rsync %s of %d files of 1 KiB", direction, b.files)
		return row{
			name: name, unit: "s", cpuUnit: "s", lessIsGood: true, peerName: "sshd", ratio: rsyncManyRatio,
		}
	}, duration)
	return append(rows, more...), err
}

// writeTree makes a directory like a dump of pg_dump -Fd: a table of contents, and files with size bytes together that
// nothing can compress.
func writeTree(dir string, size int64, files int) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "toc.dat"), []byte("PGDMP\x01\x0e\x00\x04\x08\x03"), 0o600); err != nil {
		return err
	}
	if files == 1 {
		return writeRandom(filepath.Join(dir, "1.dat"), size)
	}
	chance, data := rand.NewChaCha8([32]byte{1}), make([]byte, size/int64(files))
	for i := range files {
		chance.Read(data)
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)+".dat"), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// rsyncTree uploads a directory, downloads it again, and checks that it is the same. A big one has few files.
func (b *bench) rsyncTree(
	tree string, big bool, describe func(direction string) row, measure func(*rig.Process, func() error) (sample, error),
) (rows []row, err error) {
	both, err := b.startPair()
	if err != nil {
		return nil, err
	}
	defer both.kill()
	e, sshd := both.e, both.sshd

	targets := targets{dir: filepath.Join(b.dir, "made"), keep: !big}
	defer os.RemoveAll(targets.dir)
	var uploaded string // by the peer, in the last round
	var request rig.Script
	up, err := b.turns(describe("upload"), func() (sample, error) { // each round is a request of its own
		var err error
		if request, err = e.CreateScript(b.ctx, b.publicKey); err != nil {
			return sample{}, err
		}
		port, _, err := request.Transfer(b.ctx, "upload")
		if err != nil {
			return sample{}, err
		}
		s, err := measure(e.Process, func() error { return b.rsyncUpload(tree, port, "odoo", "/data/origin.dump") })
		return s, errors.Join(err, request.Stop(b.ctx))
	}, func() (sample, error) {
		dir, err := targets.next()
		if err != nil {
			return sample{}, err
		}
		uploaded = dir
		return measure(sshd.Process, func() error { return b.rsyncUpload(tree, sshd.port, both.user, dir) })
	})
	targets.last = "" // it is what the peer's downloads are of
	if err != nil {
		return nil, err
	}
	rows = append(rows, up)
	if err := request.Finish(b.ctx); err != nil {
		return rows, err
	}
	down, err := b.turns(describe("download"), func() (sample, error) {
		port, name, err := request.Transfer(b.ctx, "download")
		if err != nil {
			return sample{}, err
		}
		dir, err := targets.next()
		if err != nil {
			return sample{}, err
		}
		s, err := measure(e.Process, func() error { return b.rsyncDownload(dir, port, "odoo", "/data/"+name) })
		if err != nil {
			return s, err
		}
		if _, err := b.command("diff", "-r", filepath.Join(dir, name), tree); err != nil {
			return s, fmt.Errorf("what came back is not what was sent: %w", err)
		}
		return s, request.Stop(b.ctx)
	}, func() (sample, error) {
		dir, err := targets.next()
		if err != nil {
			return sample{}, err
		}
		return measure(sshd.Process, func() error { return b.rsyncDownload(dir, sshd.port, both.user, uploaded) })
	})
	if err != nil {
		return rows, err
	}
	return append(rows, down), nil
}

// targets are directories that transfers write to, one for each. Those with many files are kept: for minutes after
// files were removed, ext4 looks at each of them when it makes others.
type targets struct {
	dir  string
	keep bool
	n    int
	last string // to be removed before the next one is made; "": none
}

func (t *targets) next() (dir string, err error) {
	if !t.keep && t.last != "" {
		err = os.RemoveAll(t.last)
	}
	t.n++
	t.last = filepath.Join(t.dir, strconv.Itoa(t.n))
	return t.last, errors.Join(err, os.MkdirAll(t.last, 0o700))
}

// rsyncUpload runs rsync as the script of 2026 does.
func (b *bench) rsyncUpload(tree string, port int, user, to string) error {
	_, err := b.command("rsync", "--info=progress2", "--delete-after", "--recursive", "--links", "--times",
		"--rsh="+b.rsyncShell(port), tree+"/", user+"@127.0.0.1:"+to)
	return err
}

// rsyncDownload runs rsync as every script does, into a directory that it makes.
func (b *bench) rsyncDownload(dir string, port int, user, from string) error {
	_, err := b.command("rsync", "--info=progress2", "-are", b.rsyncShell(port), "--ignore-missing-args",
		user+"@127.0.0.1:"+from, dir+"/")
	return err
}

func (b *bench) rsyncShell(port int) string {
	return fmt.Sprintf("ssh -F none -p %d -i %s -o IdentitiesOnly=yes -o StrictHostKeyChecking=no"+
		" -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR", port, b.key)
}
