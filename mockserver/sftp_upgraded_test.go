package mockserver_test

import (
	"os"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// In done there is the upgraded file alone, read-only, under its name (rows 5.15, 5.16), with the bytes of the URL
// (row 8.4).
func TestSFTP_upgraded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		filename  string
		filestore bool
		want      string
	}{
		"plain":            {"openchs.70.cdump", false, "upgraded_openchs.70.cdump"},
		"filestore":        {"openchs.70.cdump", true, "upgraded_openchs.70.zip"},
		"doubled":          {"db.tar.gz", true, "upgraded_db.zip"},
		"sql.xz":           {"db.sql.xz", true, "upgraded_db.zip"},
		"no extension":     {"database", true, "upgraded_database.zip"},
		"unknown one":      {"db.backup", true, "upgraded_db.backup.zip"},
		"in capitals":      {"DB.DUMP", true, "upgraded_DB.zip"},
		"nothing else":     {".dump", true, "upgraded_.dump.zip"},
		"zip, no store":    {"db.zip", false, "upgraded_db.zip"},
		"with spaces":      {"my db.dump", false, "upgraded_my db.dump"},
		"in the middle":    {"db.dump.old", true, "upgraded_db.dump.old.zip"},
		"zip with a store": {"db.zip", true, "upgraded_db.zip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opts mockserver.Options
			if tc.filestore {
				opts.Scenarios = scripted(t, "steps: [{state: done, set: {filestore: true}}]")
			}
			w := onWire(t, &opts)
			m := w.create("filename", tc.filename)
			w.upload(m, fixtures.Dump("openchs.zip"))
			s := w.finish(m)
			w.grant(m, "ecdsa")
			c := w.login(m, "ecdsa")
			entries, err := c.ReadDir("/")
			if err != nil || len(entries) != 1 || entries[0].Name() != tc.want {
				t.Fatalf("listing: %v, %v; want %s alone", entries, err, tc.want)
			}
			if entries[0].Mode().Perm()&0o222 != 0 {
				t.Errorf("mode %v of a file that is read-only", entries[0].Mode())
			}
			same(t, "over SFTP", w.slurp(c, tc.want), w.fetch(s["upgraded_dump_url"]))
			for _, flags := range []int{os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND,
				os.O_WRONLY | os.O_CREATE | os.O_TRUNC} {
				if f, err := c.OpenFile("/"+tc.want, flags); err == nil {
					t.Errorf("the upgraded file opened for writing (%#x)", flags)
					f.Close()
				}
			}
			if err := c.Truncate("/"+tc.want, 0); err == nil {
				t.Error("the upgraded file was truncated")
			}
			if _, err := c.Stat("/" + tc.filename); err == nil && "/"+tc.filename != "/"+tc.want {
				t.Error("the uploaded file is there, too")
			}
			// As a resumed get reads it: from the middle on.
			f, err := c.Open("/" + tc.want)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			tail := make([]byte, 100)
			if _, err := f.ReadAt(tail, entries[0].Size()-100); err != nil {
				t.Errorf("the last 100 bytes: %v", err)
			}
			same(t, "the last 100 bytes", tail, w.fetch(s["upgraded_dump_url"])[entries[0].Size()-100:])
		})
	}
}

// An upgraded dump that would have to be made of one that cannot be read is listed, and opening it fails, where over
// HTTP it is a 404 (row 8.2): the session goes on, and the journal says why.
func TestSFTP_unreadableDump(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t, "steps: [{state: done, set: {filestore: true}}]")})
	for name, dump := range map[string][]byte{
		"gzip, cut":          fixtures.Dump("openchs.sql.gz")[:2000],
		"custom format, cut": fixtures.Dump("openchs.cdump")[:len(fixtures.Dump("openchs.cdump"))*3/4],
		"zip, cut":           fixtures.Dump("openchs.zip")[:2000],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.with(t)
			m := w.create("filename", "db.zip")
			w.upload(m, dump)
			w.finish(m)
			w.grant(m, "ecdsa")
			c := w.login(m, "ecdsa")
			if dir, err := c.RealPath("."); err != nil || dir != "/" {
				t.Errorf("realpath .: %q, %v", dir, err)
			}
			entries, err := c.ReadDir("/")
			if err != nil || len(entries) != 1 || entries[0].Name() != "upgraded_db.zip" || entries[0].Size() != 0 ||
				entries[0].Mode() != 0o444 {
				t.Errorf("listing: %v, %v", entries, err)
			}
			if info, err := c.Stat("/upgraded_db.zip"); err != nil || info.Size() != 0 {
				t.Errorf("stat: %v, %v", info, err)
			}
			for range 2 {
				if f, err := c.Open("/upgraded_db.zip"); err == nil {
					t.Error("it could be opened")
					f.Close()
				} else if !strings.Contains(err.Error(), "The file cannot be read") || strings.Contains(err.Error(), "platform") {
					t.Errorf("open: %v", err)
				}
			}
			refused := w.srv.Events(journal.Filter{Request: m.id, On: "sftp.denied"})
			if len(refused) != 2 || refused[0].Op != "open read" || refused[0].Path != "/upgraded_db.zip" ||
				!strings.Contains(refused[0].Why, "the uploaded dump cannot be read") {
				t.Errorf("the journal says %+v", refused)
			}
			if _, err := c.Stat("/"); err != nil {
				t.Errorf("the session ended: %v", err)
			}
		})
	}
}
