//go:build unix

package mockserver_test

import (
	"bytes"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
)

// limitFileSize makes writing fail in this process once a file has starvedSize bytes, as it does on a full disk.
func limitFileSize() error {
	signal.Ignore(syscall.SIGXFSZ)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: starvedSize, Max: starvedSize})
}

// A full disk: the upload fails, the earlier dump stays, the server goes on. For everybody as a limit on the
// size of files, and where the test may mount one, on a small file system.
func TestDisk_full(t *testing.T) {
	t.Parallel()
	t.Run("limit", func(t *testing.T) {
		t.Parallel()
		c := startChild(t, "starve", t.TempDir())
		fillDisk(t, c.wire)
		c.stop()
	})
	t.Run("tmpfs", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := mountSmall(dir, 2<<20); err != nil {
			t.Skipf("this test cannot mount a small file system (%v); the one with a limit says nearly as much", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
		fillDisk(t, onWire(t, &mockserver.Options{DataDir: dir}))
	})
}

func fillDisk(t *testing.T, w *wire) {
	small, big := pattern(100_000, 1), pattern(8<<20, 2)
	m := w.create()
	w.upload(m, small)
	want := w.status(m)
	// with a length, and chunked
	for _, body := range []io.Reader{bytes.NewReader(big), io.MultiReader(bytes.NewReader(big))} {
		a := w.send("POST", "upload?"+m.params().Encode(), nil, body)
		diff(t, "upload of too much", []string{"SERVER:ERROR"}, a.reasons())
	}
	a := w.send("POST", "upgrade?"+sample().Encode(), nil, bytes.NewReader(big))
	diff(t, "upgrade of too much", []string{"SERVER:ERROR"}, a.reasons())
	diff(t, "status", want, w.status(m))
	same(t, "the earlier dump", w.fetch(want["original_dump_url"]), small)

	w.grant(m, "ecdsa")
	c := w.login(m, "ecdsa")
	f, err := c.OpenFile("/db_name.dump", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFrom(bytes.NewReader(big)); err == nil {
		t.Error("more was written over SFTP than there is room for")
	}
	f.Close() // as most programs do, whatever happened before
	diff(t, "status after SFTP", want["filesize"], w.status(m)["filesize"])
	same(t, "the earlier dump after SFTP", w.fetch(want["original_dump_url"]), small)

	// Writing less makes room again, in the same session, and everything goes on.
	w.put(c, "/db_name.dump", small[:50_000])
	same(t, "a smaller dump", w.fetch(want["original_dump_url"]), small[:50_000])
	w.upload(m, small)
	same(t, "the dump once more", w.fetch(w.finish(m)["upgraded_dump_url"]), small)
	w.finish(func() made { m := w.create(); w.upload(m, small); return m }())
}

// A kill -9 at any instant on a disk that is full: what was acknowledged is there, and nothing half-written is
// served.
func TestKill_fullDisk(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	disk := t.TempDir()
	if err := mountSmall(disk, 5<<20); err != nil {
		t.Skipf("this test cannot mount a small file system (%v); TestDisk_full says what it can without kills", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	newKilling(t, filepath.Join(disk, "data"), true).lives((kills(t) + 3) / 4)
}
