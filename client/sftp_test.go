package client_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
)

var impatient = &client.RetryOptions{Min: time.Millisecond, Max: 5 * time.Millisecond, Limit: 20 * time.Second}

// noise returns n bytes that repeat nowhere.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func newClient(t testing.TB, url string) *client.Client {
	t.Helper()
	c, err := client.New(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func sftpOptions(t testing.TB, signer ssh.Signer) *client.SFTPOptions {
	t.Helper()
	return &client.SFTPOptions{
		Signers:  []ssh.Signer{signer},
		HostKeys: &client.HostKeys{Files: []string{filepath.Join(t.TempDir(), "known_hosts")}, Accept: client.AcceptNew},
		Retry:    impatient,
	}
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	s, _, err := client.GenerateSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUploadSFTP(t *testing.T) {
	t.Parallel()
	const window = 256 << 10
	dump := noise(3<<20 + 4321)
	other := noise(len(dump))
	other[0] ^= 1
	holed := bytes.Clone(dump[:2<<20])
	clear(holed[len(holed)-100_000 : len(holed)-50_000])
	bad := bytes.Clone(dump[:2<<20])
	bad[1<<20] ^= 1

	tests := []struct {
		name      string
		server    func(*sshd)
		options   func(*client.SFTPOptions)
		from      int64 // where it must take up
		rewritten int64 // at most
		tries     int   // at least
	}{
		{name: "fresh"},
		{name: "cut in the middle", server: func(d *sshd) { d.cutAt = 1 << 20 }, rewritten: window, tries: 2},
		{name: "cut before the first byte", server: func(d *sshd) { d.cutAt = 0 }, tries: 2, rewritten: window},
		{name: "a write fails once", server: func(d *sshd) { d.failAt = 2 << 20 }, rewritten: window, tries: 2},
		{name: "login refused once", server: func(d *sshd) { d.refuse = 1 }, tries: 2},
		{name: "continues an earlier run", server: func(d *sshd) { d.data = bytes.Clone(dump[:2<<20]) }, from: 2 << 20},
		{name: "is complete already", server: func(d *sshd) { d.data = bytes.Clone(dump) }, from: int64(len(dump))},
		{name: "a hole in the last window", server: func(d *sshd) { d.data = bytes.Clone(holed) }, from: 2<<20 - 100_000},
		{name: "damage in the middle", server: func(d *sshd) { d.data = bytes.Clone(bad) }, from: 1 << 20},
		{name: "something else of the same size", server: func(d *sshd) { d.data = bytes.Clone(other) }},
		{name: "something longer", server: func(d *sshd) { d.data = append(bytes.Clone(dump), 1, 2, 3) }},
		{name: "not readable", server: func(d *sshd) { d.data, d.unreadable = bytes.Clone(holed), true }},
		{name: "not readable, another dump of the same size",
			server: func(d *sshd) { d.data, d.unreadable = bytes.Clone(other), true }},
		{name: "not readable and cut", server: func(d *sshd) { d.cutAt, d.unreadable = 1<<20, true }, tries: 2,
			rewritten: window},
		{name: "not readable, confirmed earlier", server: func(d *sshd) { d.data, d.unreadable = bytes.Clone(holed), true },
			options: func(o *client.SFTPOptions) { o.Confirmed = 1 << 20 }, from: 1 << 20},
		{name: "confirmed earlier", server: func(d *sshd) { d.data = bytes.Clone(holed) },
			options: func(o *client.SFTPOptions) { o.Confirmed = 1 << 20 }, from: 2<<20 - 100_000},
		{name: "confirmed earlier and lost", server: func(d *sshd) { d.data = make([]byte, 2<<20) },
			options: func(o *client.SFTPOptions) { o.Confirmed = 1 << 20 }},
		{name: "confirmed earlier and gone", server: func(d *sshd) { d.data = nil },
			options: func(o *client.SFTPOptions) { o.Confirmed = 1 << 20 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := newSigner(t)
			d := newSSHD(t, key.PublicKey())
			if tt.server != nil {
				tt.server(d)
			}
			o := sftpOptions(t, key)
			o.Window = window
			if tt.options != nil {
				tt.options(o)
			}
			var last client.Progress
			o.Progress = func(p client.Progress) {
				if p.Done < last.Done && p.Done != p.From {
					t.Errorf("progress went back from %d to %d", last.Done, p.Done)
				}
				last = p
			}
			got, err := newClient(t, "http://unused.invalid").UploadSFTP(t.Context(), d.access(), bytes.NewReader(dump),
				int64(len(dump)), o)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(d.content(), dump) {
				t.Error("the server has something else than the dump")
			}
			if !d.lastOpen().Write {
				t.Error("the file was not opened for writing in the end, so nothing closed it as a complete dump")
			}
			if got.From != tt.from {
				t.Errorf("took up at %d, want %d", got.From, tt.from)
			}
			if got.Tries < tt.tries {
				t.Errorf("%d tries, want at least %d", got.Tries, tt.tries)
			}
			if n := d.rewritten(); n > tt.rewritten {
				t.Errorf("%d bytes were sent twice, want at most %d", n, tt.rewritten)
			}
			if want := (client.Progress{Done: int64(len(dump)), Total: int64(len(dump)), From: last.From}); last != want {
				t.Errorf("last progress %+v, want %+v", last, want)
			}
		})
	}
}

func TestUploadSFTP_errors(t *testing.T) {
	t.Parallel()
	dump := noise(1 << 20)
	tests := []struct {
		name   string
		server func(*sshd)
		mangle func(*testing.T, *client.SFTPOptions, *client.SFTPAccess)
		dump   []byte
		want   error
		text   string
	}{
		{name: "unknown host", want: client.ErrHostKey, text: "If that is right, add the key to ",
			mangle: func(_ *testing.T, o *client.SFTPOptions, _ *client.SFTPAccess) { o.HostKeys.Accept = nil }},
		{name: "changed host key", want: client.ErrHostKey, text: "ssh-keygen",
			mangle: func(t *testing.T, o *client.SFTPOptions, a *client.SFTPAccess) {
				line := "[127.0.0.1]:" + strings.TrimPrefix(a.Addr(), "127.0.0.1:") + " " +
					string(client.AuthorizedKeys(newSigner(t).PublicKey()))
				if err := os.WriteFile(o.HostKeys.Files[0], []byte(line), 0o600); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "wrong key", want: client.ErrLoginRefused, text: "user_1",
			mangle: func(t *testing.T, o *client.SFTPOptions, _ *client.SFTPAccess) {
				o.Signers = []ssh.Signer{newSigner(t)}
				o.Retry = &client.RetryOptions{Min: time.Millisecond, Limit: 50 * time.Millisecond}
			}},
		{name: "file not writable", want: os.ErrPermission, server: func(d *sshd) { d.name = "upgraded_db.dump" }},
		{name: "dump shorter than it was", want: client.ErrChanged, dump: dump[:len(dump)-1], text: "1048575 of 1048576"},
		{name: "nothing is ever kept", server: func(d *sshd) { d.forgetful, d.cutAt = true, 1<<19 }, text: "given up",
			mangle: func(_ *testing.T, o *client.SFTPOptions, _ *client.SFTPAccess) {
				o.Retry = &client.RetryOptions{Min: time.Millisecond, Max: time.Millisecond, Limit: 300 * time.Millisecond}
			}},
		{name: "something is always added", server: func(d *sshd) { d.appends = true }, text: "after confirming 1048576"},
		{name: "nothing answers", text: "nothing answers",
			mangle: func(_ *testing.T, o *client.SFTPOptions, a *client.SFTPAccess) {
				a.Port = 1
				o.Retry = &client.RetryOptions{Min: time.Millisecond, Limit: 20 * time.Millisecond}
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := newSigner(t)
			d := newSSHD(t, key.PublicKey())
			if tt.server != nil {
				tt.server(d)
			}
			o, a := sftpOptions(t, key), d.access()
			if tt.mangle != nil {
				tt.mangle(t, o, a)
			}
			src := tt.dump
			if src == nil {
				src = dump
			}
			_, err := newClient(t, "http://unused.invalid").UploadSFTP(t.Context(), a, bytes.NewReader(src), int64(len(dump)),
				o)
			var e *client.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *client.Error", err)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%q does not say %q", err, tt.text)
			}
		})
	}
}

func TestUploadSFTP_renews(t *testing.T) {
	t.Parallel()
	key := newSigner(t)
	d := newSSHD(t, key.PublicKey())
	d.refuse = 2
	o := sftpOptions(t, key)
	renewed := 0
	o.Renew = func(context.Context) (*client.SFTPAccess, error) {
		renewed++
		return d.access(), nil
	}
	if _, err := newClient(t, "http://unused.invalid").UploadSFTP(t.Context(), d.access(), strings.NewReader("dump"), 4,
		o); err != nil {
		t.Fatal(err)
	}
	if renewed != 1 {
		t.Errorf("access was asked for again %d times, want once", renewed)
	}
}

func TestUploadSFTP_cancelled(t *testing.T) {
	t.Parallel()
	key := newSigner(t)
	d := newSSHD(t, key.PublicKey())
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	o := sftpOptions(t, key)
	o.Progress = func(p client.Progress) {
		if p.Done > 1<<20 {
			cancel(why)
		}
	}
	dump := noise(16 << 20)
	_, err := newClient(t, "http://unused.invalid").UploadSFTP(ctx, d.access(), bytes.NewReader(dump), int64(len(dump)),
		o)
	if !errors.Is(err, why) {
		t.Fatalf("got %v, want %v", err, why)
	}
}

func TestDownloadSFTP(t *testing.T) {
	t.Parallel()
	const window = 256 << 10
	file := noise(3<<20 + 77)
	tests := []struct {
		name   string
		server func(*sshd)
		// A first download is cut here and its process is gone; -1 for none.
		cut    int64
		change func(*sshd)
		from   func(int64) bool
	}{
		{name: "fresh", cut: -1, from: func(n int64) bool { return n == 0 }},
		{name: "cut", cut: -1, server: func(d *sshd) { d.cutAt = 1 << 20 }, from: func(n int64) bool { return n == 0 }},
		{name: "continues an earlier run", cut: 2 << 20,
			from: func(n int64) bool { return n > 2<<20-2*window && n <= 2<<20 }},
		{name: "another file meanwhile", cut: 2 << 20, from: func(n int64) bool { return n == 0 },
			change: func(d *sshd) { d.mtime = d.mtime.Add(time.Hour) }},
		{name: "another file of the same time", cut: 2 << 20, from: func(n int64) bool { return n == 0 },
			change: func(d *sshd) { d.data = bytes.Clone(d.data); d.data[0] ^= 1 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := newSigner(t)
			d := newSSHD(t, key.PublicKey())
			d.name, d.data = "upgraded_db.dump", file
			if tt.server != nil {
				tt.server(d)
			}
			o := sftpOptions(t, key)
			o.Window = window
			c := newClient(t, "http://unused.invalid")
			out := filepath.Join(t.TempDir(), "out")
			if tt.cut >= 0 {
				ctx, cancel := context.WithCancel(t.Context())
				first := *o
				first.Progress = func(p client.Progress) {
					if p.Done >= tt.cut {
						cancel()
					}
				}
				d.mu.Lock()
				d.cutAt = tt.cut
				d.mu.Unlock()
				first.Retry = &client.RetryOptions{Min: time.Millisecond, Limit: time.Microsecond}
				if _, err := c.DownloadSFTP(ctx, d.access(), out, &first); err == nil {
					t.Fatal("the first download ended well")
				}
				cancel()
				if _, err := os.Stat(out); err == nil {
					t.Fatal("the file is there before it is complete")
				}
			}
			if tt.change != nil {
				d.mu.Lock()
				tt.change(d)
				d.mu.Unlock()
			}
			tr, err := c.DownloadSFTP(t.Context(), d.access(), out, o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, d.content()) {
				t.Error("the file differs from the server's")
			}
			if !tt.from(tr.From) {
				t.Errorf("took up at %d", tr.From)
			}
			onlyFile(t, out)
		})
	}
}

// TestUploadSFTP_anotherDump: the server has a dump of the same size that differs in one byte, wherever that is.
func TestUploadSFTP_anotherDump(t *testing.T) {
	t.Parallel()
	dump := noise(3<<20 + 21)
	key := newSigner(t)
	d := newSSHD(t, key.PublicKey())
	o := sftpOptions(t, key)
	c := newClient(t, "http://unused.invalid")
	for _, at := range []int{0, 1, 777_777, 1 << 20, 1<<20 + 4321, 2_222_222, len(dump) - 2<<20, len(dump) - 1} {
		there := bytes.Clone(dump)
		there[at] ^= 0x80
		d.mu.Lock()
		d.data, d.written = there, nil
		d.mu.Unlock()
		got, err := c.UploadSFTP(t.Context(), d.access(), bytes.NewReader(dump), int64(len(dump)), o)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(d.content(), dump) || got.From != int64(at) {
			t.Errorf("differs at %d: took up at %d; the server has the dump: %v", at, got.From, bytes.Equal(d.content(), dump))
		}
	}
}

// TestDownloadSFTP_contradictions: a server that does not have what it says that it has is given up, and nothing of
// it is saved; one that comes to its senses is good.
func TestDownloadSFTP_contradictions(t *testing.T) {
	t.Parallel()
	file := noise(1<<20 + 77)
	type stat = func(int, int64, time.Time) (int64, time.Time)
	failing := func(times int) func(*sshd) {
		return func(d *sshd) {
			d.read = func(p []byte, off int64) (int, error) {
				if off >= 1<<19 && times != 0 {
					times--
					return 0, errors.New("stale handle")
				}
				return bytes.NewReader(file).ReadAt(p, off)
			}
		}
	}
	tests := []struct {
		name   string
		server func(*sshd)
		says   string // empty: it ends well
	}{
		{"smaller than it says", func(d *sshd) {
			d.stat = stat(func(_ int, n int64, m time.Time) (int64, time.Time) { return n + 100, m })
		}, "ended at byte"},
		{"smaller for a moment", func(d *sshd) {
			d.stat = func(n int, size int64, m time.Time) (int64, time.Time) { return size + max(0, int64(3-n)), m }
		}, ""},
		{"larger than it says", func(d *sshd) {
			d.stat = stat(func(_ int, n int64, m time.Time) (int64, time.Time) { return n - 100, m })
		}, "is longer than"},
		{"larger for a moment", func(d *sshd) {
			d.stat = func(n int, size int64, m time.Time) (int64, time.Time) { return size - max(0, int64(3-n)), m }
		}, ""},
		{"empty", func(d *sshd) { d.data = nil }, "is empty"},
		{"a size below nothing", func(d *sshd) {
			d.stat = stat(func(_ int, _ int64, m time.Time) (int64, time.Time) { return -1, m })
		}, "is empty"},
		{"always changing", func(d *sshd) {
			d.stat = func(n int, size int64, m time.Time) (int64, time.Time) {
				return size, m.Add(time.Duration(n) * time.Second)
			}
		}, "changed on the server"},
		{"changed once", func(d *sshd) {
			d.stat = func(n int, size int64, m time.Time) (int64, time.Time) {
				return size, m.Add(time.Duration(min(n, 2)) * time.Second)
			}
		}, ""},
		{"handles that go stale", failing(3), ""},
		{"handles that are always stale", failing(-1), "given up"},
		{"reads that are short", func(d *sshd) {
			d.read = func(p []byte, off int64) (int, error) {
				return bytes.NewReader(file).ReadAt(p[:min(len(p), 9_999)], off)
			}
		}, ""},
		{"reads of nothing", func(d *sshd) {
			d.read = func(p []byte, _ int64) (int, error) { return 0, nil }
		}, "given up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := newSigner(t)
			d := newSSHD(t, key.PublicKey())
			d.name, d.data = "upgraded_db.dump", file
			tt.server(d)
			dir := t.TempDir()
			write(t, filepath.Join(dir, "out"), "before")
			want := map[string]string{"out": "before"}
			tr, err := newClient(t, "http://unused.invalid").DownloadSFTP(t.Context(), d.access(), filepath.Join(dir, "out"),
				sftpOptions(t, key))
			switch {
			case tt.says == "" && err != nil:
				t.Fatal(err)
			case tt.says == "":
				want["out"] = string(file)
			case err == nil || !strings.Contains(err.Error(), tt.says):
				t.Errorf("got %+v, %v, want %q", tr, err, tt.says)
			}
			now := folder(t, dir)
			if err != nil && now["out"] == "before" {
				// What came so far may be kept, for another try.
				now = map[string]string{"out": now["out"]}
			}
			if diff := cmp.Diff(want, now); diff != "" {
				t.Errorf("the folder is wrong: %.300s", diff)
			}
		})
	}
}

func TestDownloadSFTP_notDone(t *testing.T) {
	t.Parallel()
	key := newSigner(t)
	d := newSSHD(t, key.PublicKey())
	_, err := newClient(t, "http://unused.invalid").DownloadSFTP(t.Context(), d.access(),
		filepath.Join(t.TempDir(), "out"), sftpOptions(t, key))
	if err == nil || !strings.Contains(err.Error(), "not one upgraded file") {
		t.Errorf("got %v", err)
	}
}
