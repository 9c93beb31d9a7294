package mockserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/pkg/sftp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// The shared file from the first login on, and what status and the URLs say of it after each way to write it (rows
// 5.11, 5.12, 5.17, 4.7).
func TestSFTP_writesTheDump(t *testing.T) {
	t.Parallel()
	dump := fixtures.Dump("openchs.cdump")
	w := onWire(t, nil)
	for name, write := range map[string]func(*wire, *sftp.Client, string) error{
		"whole": func(w *wire, c *sftp.Client, name string) error {
			w.put(c, name, dump)
			return nil
		},
		"over a longer one": func(w *wire, c *sftp.Client, name string) error {
			w.put(c, name, pattern(len(dump)+1000, 1))
			w.put(c, name, dump)
			return nil
		},
		"over a longer one, then cut": func(w *wire, c *sftp.Client, name string) error {
			w.put(c, name, pattern(len(dump)+1000, 1))
			f, err := c.OpenFile(name, os.O_WRONLY)
			if err != nil {
				return err
			}
			_, err = f.Write(dump)
			return errors.Join(err, f.Truncate(int64(len(dump))), f.Close())
		},
		"over a longer one, then cut by name": func(w *wire, c *sftp.Client, name string) error {
			w.put(c, name, append(bytes.Clone(dump), "more"...))
			return c.Truncate(name, int64(len(dump)))
		},
		"resumed": func(w *wire, c *sftp.Client, name string) error {
			w.put(c, name, dump[:9000])
			info, err := c.Stat(name)
			if err != nil {
				return err
			}
			f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(dump[info.Size():], info.Size())
			return errors.Join(err, f.Close())
		},
		"appended": func(w *wire, c *sftp.Client, name string) error {
			for rest := dump; len(rest) > 0; {
				n := min(len(rest), 7000)
				f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
				if err != nil {
					return err
				}
				_, err = f.Write(rest[:n])
				if err := errors.Join(err, f.Close()); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		},
		"backwards": func(w *wire, c *sftp.Client, name string) error {
			f, err := c.OpenFile(name, os.O_RDWR|os.O_CREATE)
			if err != nil {
				return err
			}
			for end := len(dump); end > 0; {
				from := max(0, end-4096)
				if _, err := f.WriteAt(dump[from:end], int64(from)); err != nil {
					return err
				}
				end = from
			}
			return f.Close()
		},
		"twice at once": func(w *wire, c *sftp.Client, name string) error {
			a, err := c.OpenFile(name, os.O_WRONLY)
			b, err2 := c.OpenFile(name, os.O_WRONLY)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			_, err = a.WriteAt(dump[:5000], 0)
			_, err2 = b.WriteAt(dump[5000:], 5000)
			return errors.Join(err, err2, a.Close(), b.Close())
		},
		"after an upload over HTTP": func(w *wire, c *sftp.Client, name string) error {
			w.put(c, name, dump)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.with(t)
			m := w.create("filename", "openchs.70.cdump")
			w.grant(m, "ed25519")
			session := w.login(m, "ed25519")
			if name == "after an upload over HTTP" {
				w.upload(m, fixtures.Dump("openchs.sql"))
			} else {
				entries, err := session.ReadDir("/")
				if err != nil || len(entries) != 1 || entries[0].Name() != "openchs.70.cdump" || entries[0].Size() != 0 ||
					entries[0].Mode() != 0o666 {
					t.Fatalf("the listing at first: %v, %v", entries, err)
				}
			}
			if err := write(w, session, "/openchs.70.cdump"); err != nil {
				t.Fatal(err)
			}
			same(t, "read back", w.slurp(session, "openchs.70.cdump"), dump)
			s := w.status(m)
			same(t, "original_dump_url", w.fetch(s["original_dump_url"]), dump)
			diff(t, "status", []any{"draft", "17.68 Kb", "15", []any{"pgdmp_custom", "sql"}},
				[]any{s["state"], s["filesize"], s["postgresql"], s["compressions"]})
			info, err := session.Stat("/openchs.70.cdump")
			if err != nil || info.Size() != int64(len(dump)) || info.Mode() != 0o666 {
				t.Errorf("stat: %v, %v", info, err)
			}
		})
	}
}

// An append goes to the end of the dump in the order of arrival, whatever its offset says (row 5.12): after an
// upload, from several handles, at the offset of a fault, and again after it.
func TestSFTP_appends(t *testing.T) {
	t.Parallel()
	dump := fixtures.Dump("openchs.cdump")
	w := onWire(t, &mockserver.Options{
		Scenarios: scripted(t, "faults: [{on: sftp.write, skip: 2, times: 1, after: 12000, disconnect: true}]")})
	m := w.create()
	w.grant(m, "ed25519")
	w.upload(m, dump[:5000])
	c := w.login(m, "ed25519")
	open := func() *sftp.File {
		t.Helper()
		f, err := c.OpenFile("/db_name.dump", os.O_WRONLY|os.O_CREATE|os.O_APPEND)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	at := 5000
	write := func(f *sftp.File, n int, offset int64) error {
		n = min(n, len(dump)-at)
		_, err := f.WriteAt(dump[at:at+n], offset)
		at += n
		return err
	}
	a, b := open(), open()
	for i, offset := range []int64{0, 0, 5000, 1 << 40, 17, 4999, 0, -1} {
		if err := write([]*sftp.File{a, b}[i%2], 500, offset); err != nil {
			t.Fatalf("append at %d: %v", offset, err)
		}
	}
	same(t, "the dump while it is written to", w.fetch(w.status(m)["original_dump_url"]), dump[:5000])
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	same(t, "the dump", w.fetch(w.status(m)["original_dump_url"]), dump[:9000])

	for f := open(); ; {
		if err := write(f, 500, 3); err != nil {
			break
		}
	}
	c = w.login(m, "ed25519")
	at = int(w.settled(c, 12_000))
	f := open()
	for at < len(dump) {
		if err := write(f, 700, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, "the dump in the end", w.fetch(w.status(m)["original_dump_url"]), dump)
}

// The journal has the same checksum for a dump whichever way it came, and again when it is processed (row 5.17).
func TestSFTP_checksum(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	dump := pattern(700_000, 5)
	want := fmt.Sprintf("crc32c:%08x", crc32.Checksum(dump, crc32.MakeTable(crc32.Castagnoli)))
	for name, send := range map[string]func(w *wire, m made) error{
		"over HTTP": func(w *wire, m made) error {
			w.upload(m, dump)
			return nil
		},
		"over SFTP": func(w *wire, m made) error {
			w.put(w.login(m, "rsa"), "/db_name.dump", dump)
			return nil
		},
		"over SFTP, in parts": func(w *wire, m made) error {
			c := w.login(m, "rsa")
			w.put(c, "/db_name.dump", dump[:100_000])
			f, err := c.OpenFile("/db_name.dump", os.O_WRONLY|os.O_APPEND)
			if err != nil {
				return err
			}
			_, err = f.Write(dump[100_000:])
			return errors.Join(err, f.Close())
		},
		"over SFTP, backwards, with the session's end in place of a close": func(w *wire, m made) error {
			c := w.login(m, "rsa")
			f, err := c.OpenFile("/db_name.dump", os.O_WRONLY)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(dump[300_000:], 300_000)
			_, err2 := f.WriteAt(dump[:300_000], 0)
			return errors.Join(err, err2, c.Close())
		},
		"over SFTP, where another dump was": func(w *wire, m made) error {
			w.upload(m, pattern(900_000, 6))
			c := w.login(m, "rsa")
			f, err := c.OpenFile("/db_name.dump", os.O_WRONLY)
			if err != nil {
				return err
			}
			_, err = f.Write(dump)
			return errors.Join(err, f.Truncate(int64(len(dump))), f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.with(t)
			m := w.create()
			w.grant(m, "rsa")
			if err := send(w, m); err != nil {
				t.Fatal(err)
			}
			on := "sftp.put"
			if name == "over HTTP" {
				on = "upload"
			}
			await := func(on string) journal.Event {
				e, err := w.srv.Await(t.Context(), journal.Filter{Request: m.id, On: on})
				if err != nil {
					t.Fatal(err)
				}
				return e
			}
			await(on)
			events := w.srv.Events(journal.Filter{Request: m.id, On: on})
			if e := events[len(events)-1]; e.Checksum != want || on == "sftp.put" && e.Size != int64(len(dump)) {
				t.Errorf("%s: checksum %q of %d bytes, want %q", on, e.Checksum, e.Size, want)
			}
			w.call("process", m.params())
			if e := await("process"); e.Checksum != want || e.Size != int64(len(dump)) {
				t.Errorf("process: checksum %q of %d bytes, want %q of %d", e.Checksum, e.Size, want, len(dump))
			}
		})
	}
}

// Nothing but the one file can be touched, and the session goes on (rows 5.13, 5.14).
func TestSFTP_onlyTheSharedFile(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	w.grant(m, "rsa")
	c := w.login(m, "rsa")
	w.put(c, "/db_name.dump", []byte("SELECT 1;\n"))
	create := func(name string) error {
		f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE)
		if err == nil {
			f.Close()
		}
		return err
	}
	for name, try := range map[string]func() error{
		"another file":       func() error { return create("/other.dump") },
		"a file outside":     func() error { return create("/../../tmp/x") },
		"the password file":  func() error { _, err := c.Open("/../../../../etc/passwd"); return err },
		"the data directory": func() error { _, err := c.ReadDir("/.." + t.TempDir()); return err },
		"mkdir":              func() error { return c.Mkdir("/d") },
		"rmdir":              func() error { return c.RemoveDirectory("/") },
		"remove":             func() error { return c.Remove("/db_name.dump") },
		"rename":             func() error { return c.Rename("/db_name.dump", "/x") },
		"rename over":        func() error { return c.PosixRename("/x", "/db_name.dump") },
		"symlink":            func() error { return c.Symlink("/etc/passwd", "/x") },
		"link":               func() error { return c.Link("/db_name.dump", "/x") },
		"stat of another":    func() error { _, err := c.Stat("/x"); return err },
	} {
		if err := try(); !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want permission denied or no such file", name, err)
		}
	}
	if err := c.Chmod("/db_name.dump", 0o600); err != nil {
		t.Errorf("chmod: %v", err)
	}
	if err := c.Chtimes("/db_name.dump", sampleTime, sampleTime); err != nil {
		t.Errorf("chtimes: %v", err)
	}
	if info, err := c.Stat("/db_name.dump"); err != nil || info.Mode() != 0o666 {
		t.Errorf("after chmod: %v, %v", info, err)
	}
	same(t, "the dump", w.slurp(c, "/db_name.dump"), []byte("SELECT 1;\n"))
}

// The last completed write wins, whichever way it came (row 5.17); what is not complete changes nothing (row 4.5).
func TestSFTP_andHTTP(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	w.grant(m, "rsa")
	c := w.login(m, "rsa")
	dump := func(what string, want []byte) {
		t.Helper()
		same(t, what, w.fetch(w.status(m)["original_dump_url"]), want)
	}
	open := func() *sftp.File {
		t.Helper()
		f, err := c.OpenFile("/db_name.dump", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	write := func(f *sftp.File, b []byte) {
		t.Helper()
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	byHTTP, bySFTP, later := pattern(70_000, 1), pattern(50_000, 2), pattern(60_000, 3)

	f := open()
	write(f, bySFTP)
	if s := w.status(m); s["filesize"] != nil || s["compressions"] == nil {
		t.Errorf("status describes a dump whose file is still open: %v", s)
	}
	if resp, _ := w.get(w.status(m)["original_dump_url"].(string)); resp.StatusCode != http.StatusNotFound {
		t.Errorf("original_dump_url before the file is closed: %s", resp.Status)
	}
	if a := w.call("process", m.params()); len(a.Failures) != 1 || a.Failures[0]["reason"] != "DUMP:MISSING" {
		t.Errorf("process before the file is closed: %s", a.Body)
	}
	w.upload(m, byHTTP)
	dump("uploaded while a file is open", byHTTP)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	dump("the file closed after it", bySFTP)

	f = open()
	write(f, later[:1000])
	dump("overwriting has begun", bySFTP)
	write(f, later[1000:])
	dump("overwriting is nearly done", bySFTP)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	dump("overwritten", later)
	same(t, "and read over SFTP", w.slurp(c, "/db_name.dump"), later)

	w.upload(m, byHTTP)
	dump("uploaded", byHTTP)
	same(t, "and read over SFTP", w.slurp(c, "/db_name.dump"), byHTTP)
	same(t, "and upgraded", w.fetch(w.finish(m)["upgraded_dump_url"]), byHTTP)
}

// A session that dies with packets out of order leaves the contiguous beginning, so that a resume by size leaves no
// hole; the dump that was complete before stays (rows 5.12, 4.5).
func TestSFTP_brokenSession(t *testing.T) {
	t.Parallel()
	dump := pattern(300_000, 9)
	for name, before := range map[string][]byte{"nothing before": nil, "a dump before": fixtures.Dump("openchs.sql")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, nil)
			m := w.create()
			w.grant(m, "ed25519")
			if before != nil {
				w.put(w.login(m, "ed25519"), "/db_name.dump", before)
			}
			c := w.login(m, "ed25519")
			f, err := c.OpenFile("/db_name.dump", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
			if err != nil {
				t.Fatal(err)
			}
			for _, from := range []int{0, 200_000, 30_000, 100_000} { // 60,000 to 100,000 never comes
				if _, err := f.WriteAt(dump[from:from+30_000], int64(from)); err != nil {
					t.Fatal(err)
				}
			}
			w.cut(c)
			again := w.login(m, "ed25519")
			size := w.settled(again, 60_000)
			if size != 60_000 {
				t.Fatalf("the file has %d bytes after the break, want the 60000 without a hole", size)
			}
			if before != nil {
				same(t, "the earlier dump", w.fetch(w.status(m)["original_dump_url"]), before)
			} else if s := w.status(m); s["filesize"] != nil {
				t.Errorf("filesize %v of a dump that is not complete", s["filesize"])
			}
			f, err = again.OpenFile("/db_name.dump", os.O_WRONLY)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(dump[size:], size); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			same(t, "the resumed dump", w.fetch(w.status(m)["original_dump_url"]), dump)
		})
	}
}

// ls -l needs a proper line (row 5.21): the program's test has it; here are its parts.
func TestSFTP_listingOwner(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	w.grant(m, "rsa")
	entries, err := w.login(m, "rsa").ReadDir("/")
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	stat, ok := entries[0].Sys().(*sftp.FileStat)
	if !ok || stat.UID != 0 || stat.GID != 0 || stat.Size != 0 || strings.Contains(entries[0].Name(), "/") {
		t.Errorf("%+v", stat)
	}
}
