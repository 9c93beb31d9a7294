package mockserver_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
)

// With a filestore, the upgraded archive is a zip with dump.sql and filestore/, whatever was uploaded (row 8.5).
func TestDownloads_filestore(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t, "steps: [{state: done, set: {filestore: true}}]")})
	for _, name := range []string{"openchs.zip", "openchs.sql", "openchs.cdump.gz"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.with(t)
			m := w.create("filename", name)
			w.upload(m, fixtures.Dump(name))
			s := w.finish(m)
			if s["filestore"] != true {
				t.Errorf("filestore %v", s["filestore"])
			}
			archive := w.fetch(s["upgraded_dump_url"])
			sql := odooZip(t, archive)
			same(t, "upgraded_sql_url", w.fetch(s["upgraded_sql_url"]), sql)
			same(t, "the second time", w.fetch(s["upgraded_dump_url"]), archive)
		})
	}
}

// The editions differ in what the upgraded archive is, unless a scenario says what it is (row 7 filestore).
func TestDownloads_filestoreOfEditions(t *testing.T) {
	t.Parallel()
	const set = "steps: [{state: done, set: {filestore: %v}}]"
	for name, tc := range map[string]struct {
		opts *mockserver.Options
		want bool
	}{
		"11.0": {&mockserver.Options{Edition: mockserver.Edition11}, false},
		"13.0": {&mockserver.Options{Edition: mockserver.Edition13}, true},
		"11.0, told to have one": {
			&mockserver.Options{Edition: mockserver.Edition11, Scenarios: scripted(t, fmt.Sprintf(set, true))}, true},
		"13.0, told to have none": {
			&mockserver.Options{Edition: mockserver.Edition13, Scenarios: scripted(t, fmt.Sprintf(set, false))}, false},
		"13.0, told something else": {
			&mockserver.Options{Edition: mockserver.Edition13,
				Scenarios: scripted(t, "steps: [{state: done, set: {issue: 5}}]")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, tc.opts)
			target := "8.0"
			if tc.opts.Edition == mockserver.Edition13 {
				target = "13.0"
			}
			dump := fixtures.Dump("openchs.cdump")
			m := w.create("target", target, "filename", "db.cdump")
			w.upload(m, dump)
			if s := w.status(m); s["filestore"] != false {
				t.Errorf("filestore %v before there is an upgraded archive", s["filestore"])
			}
			s := w.finish(m)
			if s["filestore"] != tc.want {
				t.Errorf("filestore %v, want %v", s["filestore"], tc.want)
			}
			archive, file := w.fetch(s["upgraded_dump_url"]), "upgraded_db.cdump"
			if tc.want {
				file = "upgraded_db.zip"
				same(t, "upgraded_sql_url", w.fetch(s["upgraded_sql_url"]), odooZip(t, archive))
			} else {
				same(t, "the upgraded archive", archive, dump)
			}
			w.grant(m, "rsa")
			same(t, "over SFTP", w.slurp(w.login(m, "rsa"), file), archive)
		})
	}
}

// Where the upgraded archive would have to be made of a dump that cannot be read there is one plain failure,
// and the journal says why (row 8.5).
func TestDownloads_filestoreOfBrokenDumps(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t, "steps: [{state: done, set: {filestore: true}}]")})
	for name, tc := range map[string]struct {
		dump []byte
		why  string
	}{
		"gzip of noise":      {gzipped(t, pattern(5000, 1)), "neither SQL nor any packing"},
		"gzip, cut":          {fixtures.Dump("openchs.sql.gz")[:2000], "unexpected EOF"},
		"custom format, cut": {fixtures.Dump("openchs.cdump")[:len(fixtures.Dump("openchs.cdump"))*3/4], "ends too early"},
		"zip, cut":           {fixtures.Dump("openchs.zip")[:2000], "directory of the zip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.with(t)
			m := w.create()
			w.upload(m, tc.dump)
			s := w.finish(m)
			for range 2 { // it is not read again
				for _, url := range []string{"upgraded_dump_url", "upgraded_sql_url"} {
					resp, body := w.get(s[url].(string))
					if resp.StatusCode != 404 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") ||
						!bytes.Contains(body, []byte(tc.why)) {
						t.Errorf("%s: %s, %s\n%s", url, resp.Status, resp.Header.Get("Content-Type"), body)
					}
				}
			}
			w.explained(m, "download", tc.why)
			same(t, "the dump as it came", w.fetch(s["original_dump_url"]), tc.dump)
			w.grant(m, "rsa")
			session := w.login(m, "rsa")
			if _, err := session.RealPath("."); err != nil {
				t.Errorf("the session does not begin: %v", err)
			}
			if _, err := session.Open("upgraded_db_name.zip"); err == nil || !strings.Contains(err.Error(), "cannot be read") {
				t.Errorf("over SFTP: error %v, want that the file cannot be read", err)
			}
			w.explained(m, "", tc.why)
		})
	}
	t.Run("noise", func(t *testing.T) {
		t.Parallel()
		w := w.with(t)
		m := w.create()
		w.upload(m, pattern(5000, 1)) // a dump made up for a test is in the archive as it came
		s := w.finish(m)
		same(t, "dump.sql", unzip(t, w.fetch(s["upgraded_dump_url"]))["dump.sql"], pattern(5000, 1))
		w.explained(m, "download", "it is not known what the uploaded dump is")
	})
}
