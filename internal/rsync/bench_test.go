package rsync_test

import (
	"bufio"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// The engines beside the system's "rsync --server", each served by a process of its own over pipes. The protocol is the
// engines', and the one that the system's client and server settle on if they are left alone: its checksums cost the
// client less, which no server of an older protocol makes up for where nothing else takes time. Over SSH the difference
// is lost in the ciphers; package bench measures that.
//
//	go test -bench . -run '^$' ./internal/rsync
func benchmark(b *testing.B, f func(b *testing.B, s *site, options []string)) {
	program := testprog.Need(b, "rsync", "rsync")
	for _, tc := range []struct {
		name, engine string
		plain        bool
		options      []string
	}{
		{name: "in process"},
		{name: "program", engine: program},
		{name: "rsync --server with protocol 27", plain: true, options: []string{"--protocol=27"}},
		{name: "rsync --server", plain: true},
	} {
		b.Run(tc.name, func(b *testing.B) {
			s := newSite(b, program, tc.engine)
			s.Plain = tc.plain
			f(b, s, append(tc.options, "-rt"))
		})
	}
}

const (
	bigSize   = 256 << 20
	manyFiles = 10_000
)

func writeBig(b *testing.B, path string) {
	f, err := os.Create(path)
	check(b, err)
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	r := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 1<<20)
	for range bigSize / len(buf) {
		r.Read(buf)
		_, err := w.Write(buf)
		check(b, err)
	}
	check(b, w.Flush())
}

func writeMany(b *testing.B, dir string) {
	for i := range manyFiles {
		sub := filepath.Join(dir, strconv.Itoa(i%100))
		if i < 100 {
			check(b, os.MkdirAll(sub, 0o700))
		}
		check(b, os.WriteFile(filepath.Join(sub, strconv.Itoa(i)), []byte(text(byte(i), 200+i%800)), 0o600))
	}
}

// runs runs the client b.N times, each time with an empty destination.
func runs(b *testing.B, s *site, dest string, args ...string) {
	var peak int64
	for b.Loop() {
		b.StopTimer()
		check(b, os.RemoveAll(dest))
		b.StartTimer()
		peak = max(peak, s.ok(b, args...).Peak)
	}
	if peak > 0 && !s.Plain {
		b.ReportMetric(float64(peak)/1024, "server-MiB")
	}
}

// remote is the name of a file in the directory, as the client gives it.
func (s *site) remote(dir, name string) string {
	if s.Plain {
		return "h:" + filepath.Join(dir, name)
	}
	return "h:/data/" + name
}

func BenchmarkUpload_big(b *testing.B) {
	benchmark(b, func(b *testing.B, s *site, options []string) {
		writeBig(b, filepath.Join(s.dir, "big"))
		b.SetBytes(bigSize)
		runs(b, s, filepath.Join(s.Root, "big"), append(options, "big", s.remote(s.Root, "big"))...)
	})
}

func BenchmarkDownload_big(b *testing.B) {
	benchmark(b, func(b *testing.B, s *site, options []string) {
		writeBig(b, filepath.Join(s.Files, "big"))
		b.SetBytes(bigSize)
		runs(b, s, filepath.Join(s.dir, "big"), append(options, s.remote(s.Files, "big"), "big")...)
	})
}

func BenchmarkUpload_many(b *testing.B) {
	benchmark(b, func(b *testing.B, s *site, options []string) {
		writeMany(b, filepath.Join(s.dir, "many"))
		runs(b, s, filepath.Join(s.Root, "many"), append(options, "many/", s.remote(s.Root, "many"))...)
	})
}

func BenchmarkDownload_many(b *testing.B) {
	benchmark(b, func(b *testing.B, s *site, options []string) {
		writeMany(b, filepath.Join(s.Files, "many"))
		runs(b, s, filepath.Join(s.dir, "many"), append(options, s.remote(s.Files, "many"), ".")...)
	})
}
