//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

// runScript is a job by the upgrade script's API: a dump in several files goes up, and comes back, by rsync.
func (j *job) runScript(ctx context.Context) error {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(j.dir)
	sent, got := filepath.Join(j.dir, "sent"), filepath.Join(j.dir, "got")
	if err := j.writeTree(sent); err != nil {
		return err
	}
	s, err := j.e.CreateScript(ctx, j.publicKey)
	if err != nil {
		return err
	}
	var name string
	steps := []func() error{
		func() error {
			_, err := j.rsync(ctx, s, "upload", func(shell, _ string) []string {
				return []string{"rsync", "-rlt", "--delete-after", "--rsh=" + shell, sent + "/", "odoo@127.0.0.1:/data/origin.dump"}
			})
			return err
		},
		func() error { return s.Finish(ctx) },
		func() (err error) {
			name, err = j.rsync(ctx, s, "download", func(shell, name string) []string {
				return []string{"rsync", "-rlt", "--ignore-missing-args", "--rsh=" + shell, "odoo@127.0.0.1:/data/" + name,
					":/data/filestore", ":/data/upgrade-report.html", ":/data/upgrade.log", got + "/"}
			})
			return err
		},
		func() error { return sameTree(sent, filepath.Join(got, name)) },
		func() error {
			return control(ctx, j.e, http.MethodPost, "reset?request="+strconv.FormatInt(s.ID, 10), io.Discard)
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("request %d, %d bytes by rsync: %w", s.ID, j.size, err)
		}
	}
	j.jobs.Add(1)
	j.bytes.Add(2 * j.size)
	return nil
}

// rsync moves files in a transfer of its own for each attempt, and returns the dump's name.
func (j *job) rsync(
	ctx context.Context, s rig.Script, kind string, args func(shell, name string) []string,
) (name string, err error) {
	err = j.untilDone(ctx, func(int, string) ([]string, error) {
		port, dump, err := s.Transfer(ctx, kind)
		name = dump
		shell := fmt.Sprintf("ssh -F none -p %d -i %s -o IdentitiesOnly=yes -o StrictHostKeyChecking=no"+
			" -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR", port, j.key)
		return args(shell, dump), err
	})
	return name, errors.Join(err, s.Stop(ctx))
}

// writeTree makes a directory like a dump of pg_dump -Fd, of a few large files and some small ones.
func (j *job) writeTree(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	files := 1 + j.random.IntN(40)
	total := j.size
	j.size = 0
	for i := range files {
		size := 1 + j.random.Int64N(2*total/int64(files))
		if err := j.writeRandom(filepath.Join(dir, strconv.Itoa(i)+".dat.gz"), size); err != nil {
			return err
		}
		j.size += size
	}
	return os.WriteFile(filepath.Join(dir, "toc.dat"), []byte("PGDMP\x01\x0e\x00\x04\x08\x03"), 0o600)
}

func (j *job) writeRandom(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(j.random.Uint32())
	}
	_, err = io.CopyN(f, rand.NewChaCha8(seed), size)
	return errors.Join(err, f.Close())
}

// sameTree compares two directories.
func sameTree(sent, got string) error {
	files := 0
	err := filepath.WalkDir(sent, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		return same(path, filepath.Join(got, d.Name()))
	})
	if err != nil {
		return err
	}
	there, err := os.ReadDir(got)
	if err == nil && len(there) != files {
		err = fmt.Errorf("%d files came back, and %d were sent", len(there), files)
	}
	return err
}
