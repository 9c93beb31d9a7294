package platform

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

const theKey = "AAAA" // an SSH key, as far as this package looks at it

// open opens a platform in dir with the default script; change may alter the options.
func open(tb testing.TB, dir string, change ...func(*Options)) *Platform {
	tb.Helper()
	opts := Options{
		Keep: true, Targets: []string{"8.0"}, AccessTTL: time.Hour,
		Script: func(CreateParams) *scenario.Scenario { return scenario.Default() },
	}
	for _, c := range change {
		c(&opts)
	}
	openDir := datadir.Open
	if !opts.Keep {
		openDir = datadir.Temp
	}
	data, err := openDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	opts.Dir = data
	p, err := New(opts)
	if err == nil {
		err = p.Begin()
	}
	if err != nil {
		data.Close()
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(p.Close(), data.Close()); err != nil {
			tb.Error(err)
		}
	})
	return p
}

func create(tb testing.TB, p *Platform) Ref {
	tb.Helper()
	s, fails := p.Create(CreateParams{Contract: "M1", Email: "a@b.c", Target: "8.0", Aim: "test", Filename: "x.dump"})
	if fails != nil {
		tb.Fatal(fails)
	}
	return Ref{ID: fmt.Sprint(s.ID), Key: s.Key}
}

func find(tb testing.TB, p *Platform, ref Ref) *Request {
	tb.Helper()
	r, fails := p.Find(ref)
	if fails != nil {
		tb.Fatal(fails)
	}
	return r
}

// share logs in to a request.
func share(tb testing.TB, p *Platform, ref Ref) *Share {
	tb.Helper()
	access, fails := find(tb, p, ref).Grant([]string{theKey})
	if fails != nil {
		tb.Fatal(fails)
	}
	s, err := p.Share(access.User, theKey)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func upload(tb testing.TB, p *Platform, ref Ref, data []byte) Failures {
	tb.Helper()
	u, err := p.NewUpload()
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := u.Write(data); err != nil {
		tb.Fatal(err)
	}
	_, fails := find(tb, p, ref).Upload(u)
	return fails
}

// original reads the complete dump; nil when there is none.
func original(tb testing.TB, p *Platform, ref Ref) []byte {
	tb.Helper()
	c, err := find(tb, p, ref).Original()
	if errors.Is(err, ErrNoContent) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// shared reads what an SFTP session sees.
func shared(tb testing.TB, s *Share) []byte {
	tb.Helper()
	info, err := s.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	f, err := s.Open(os.O_RDONLY)
	if err != nil {
		tb.Fatal(err)
	}
	data := make([]byte, info.Size+1)
	n, err := f.ReadAt(data, 0)
	if err != io.EOF && info.Size > 0 || int64(n) != info.Size {
		tb.Fatalf("reading %d bytes: %d, %v", info.Size, n, err)
	}
	if _, err := f.Finish(); err != nil {
		tb.Fatal(err)
	}
	return data[:n]
}

// killed is the platform that the next process finds when this one is killed now: on a copy of its directory.
func killed(tb testing.TB, p *Platform, change ...func(*Options)) *Platform {
	tb.Helper()
	p.background.Wait() // the copy takes its time
	dir := tb.TempDir()
	files := os.DirFS(p.opts.Dir.Path())
	err := os.CopyFS(dir, files)
	err = errors.Join(err, fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chtimes(filepath.Join(dir, name), info.ModTime(), info.ModTime())
	}))
	if err != nil {
		tb.Fatal(err)
	}
	return open(tb, dir, change...)
}

// noLeaks checks that each file on the disk belongs to a request.
func noLeaks(tb testing.TB, p *Platform) {
	tb.Helper()
	entries, err := os.ReadDir(p.opts.Dir.File(datadir.Dumps))
	if err != nil {
		tb.Fatal(err)
	}
	belongs := make(map[string]bool)
	for _, r := range p.requests {
		for _, seq := range r.filesLocked() {
			belongs[strconv.FormatInt(seq, 10)] = true
		}
	}
	for _, e := range entries {
		if !belongs[e.Name()] {
			tb.Errorf("the file %s belongs to no request", e.Name())
		}
	}
	if entries, err = os.ReadDir(p.opts.Dir.File(datadir.Trees)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
	for _, e := range entries {
		id, err := strconv.ParseInt(e.Name(), 10, 64)
		if r := p.requests[id]; err != nil || r == nil || r.rec.Tree == nil {
			tb.Errorf("the directory %s belongs to no request", e.Name())
		}
	}
}
