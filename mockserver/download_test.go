package mockserver_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

var urlKeys = []string{
	"status_url", "notes_url", "original_sql_url", "original_dump_url", "upgraded_sql_url", "upgraded_dump_url",
	"modules_url",
}

// Which URLs are there in which state (row 8.2), with no other login (8.1), as GET and HEAD.
func TestDownloads_states(t *testing.T) {
	t.Parallel()
	onBothWires(t, &mockserver.Options{Scenarios: scripted(t, "steps: [{state: testing, for: 1 poll}, {state: done}]")},
		func(t *testing.T, w *wire) {
			m := w.create()
			check := func(when string, there ...string) {
				t.Helper()
				for _, key := range urlKeys {
					want := http.StatusNotFound
					for _, k := range there {
						if k == key {
							want = http.StatusOK
						}
					}
					for _, method := range []string{"GET", "HEAD"} {
						if resp, _ := w.do(method, w.urls(m)[key], nil, nil); resp.StatusCode != want {
							t.Errorf("%s: %s %s: %s, want %d", when, method, key, resp.Status, want)
						}
					}
					for _, method := range []string{"POST", "PUT", "DELETE"} {
						if resp, _ := w.do(method, w.urls(m)[key], nil, nil); resp.StatusCode != http.StatusMethodNotAllowed ||
							resp.Header.Get("Allow") != "GET, HEAD" {
							t.Errorf("%s: %s %s: %s", when, method, key, resp.Status)
						}
					}
				}
			}
			check("at first", "status_url")
			w.upload(m, fixtures.Dump("openchs.sql"))
			check("uploaded", "status_url", "original_sql_url", "original_dump_url")
			w.good("process", m.params())
			check("testing", "status_url", "original_sql_url", "original_dump_url")
			w.await(m, "done")
			check("done", urlKeys...)
		})
}

// urls are the request's URLs without asking for its status, which would count as a poll.
func (w *wire) urls(m made) map[string]string {
	root := fmt.Sprintf("%s/database/eu1/%d/%s/", w.base, m.id, m.key)
	return map[string]string{
		"status_url": root + "status", "notes_url": root + "upgraded/notes", "original_sql_url": root + "original/sql",
		"original_dump_url": root + "original/archive", "upgraded_sql_url": root + "upgraded/sql",
		"upgraded_dump_url": root + "upgraded/archive", "modules_url": root + "modules/archive",
	}
}

// A wrong key, a wrong id and a path of nothing are one plain 404 (row 8.1); the key may come escaped, too.
func TestDownloads_notFound(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		m, other := w.create(), w.create()
		w.upload(m, []byte("SELECT 1;\n"))
		w.upload(other, []byte("SELECT 2;\n"))
		w.finish(m)
		type plain struct{ status, contentType, body string }
		look := func(url string) plain {
			t.Helper()
			resp, body := w.get(url)
			return plain{resp.Status, resp.Header.Get("Content-Type"), string(body)}
		}
		want := look(w.base + "/database/eu1/nothing")
		if !strings.HasPrefix(want.status, "404") {
			t.Fatalf("a path of nothing: %v", want)
		}
		for _, stranger := range []made{{m.id + 1000, m.key}, {m.id, other.key}, {m.id, m.key[:23]}, {m.id, "x"},
			{other.id, m.key}} {
			for key, url := range w.urls(stranger) {
				if got := look(url); got != want {
					t.Errorf("%s of a stranger: %v, want %v", key, got, want)
				}
			}
		}
		for _, path := range []string{"original", "original/", "original/archive/", "upgraded/archive/x", "",
			"upgraded/../original/sql", "modules/sql"} {
			if got := look(fmt.Sprintf("%s/database/eu1/%d/%s/%s", w.base, m.id, m.key, path)); got.status != want.status {
				t.Errorf("%s: %v", path, got)
			}
		}
		if got := look(strings.Replace(w.urls(m)["original_dump_url"], "/eu1/", "/us1/", 1)); got != want {
			t.Errorf("another region: %v", got)
		}
		escaped := fmt.Sprintf("%s/database/eu1/%d/%s/original/archive", w.base, m.id, url.QueryEscape(m.key))
		same(t, "with the key escaped", w.fetch(escaped), []byte("SELECT 1;\n"))
	})
}

// Archives in parts, as they are resumed (row 8.3); original and upgraded are the uploaded bytes (section 9).
func TestDownloads_archives(t *testing.T) {
	t.Parallel()
	dump := fixtures.Dump("openchs.cdump")
	size := len(dump)
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		m := w.create("filename", `my "db" é.cdump`)
		w.upload(m, dump)
		w.finish(m)
		for key, name := range map[string]string{"original_dump_url": `my "db" é.cdump`,
			"upgraded_dump_url": `upgraded_my "db" é.cdump`} {
			url := w.urls(m)[key]
			resp, whole := w.get(url)
			same(t, key, whole, dump)
			etag, modified := resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
			if !strings.HasPrefix(etag, `"`) || modified == "" || resp.Header.Get("Accept-Ranges") != "bytes" ||
				resp.ContentLength != int64(size) {
				t.Errorf("%s: ETag %q, Last-Modified %q, Accept-Ranges %q, Content-Length %d", key, etag, modified,
					resp.Header.Get("Accept-Ranges"), resp.ContentLength)
			}
			if _, params, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition")); err != nil ||
				params["filename"] != name {
				t.Errorf("%s: Content-Disposition %q names %q, want %q", key, resp.Header.Get("Content-Disposition"),
					params["filename"], name)
			}
			for _, tc := range []struct {
				header []string
				status int
				body   []byte
				length string // Content-Range
			}{
				{[]string{"Range", "bytes=0-99"}, 206, dump[:100], "bytes 0-99/"},
				{[]string{"Range", "bytes=100-"}, 206, dump[100:], fmt.Sprintf("bytes 100-%d/", size-1)},
				{[]string{"Range", "bytes=-100"}, 206, dump[size-100:], fmt.Sprintf("bytes %d-%d/", size-100, size-1)},
				{[]string{"Range", "bytes=100-1000000"}, 206, dump[100:], fmt.Sprintf("bytes 100-%d/", size-1)},
				{[]string{"Range", fmt.Sprintf("bytes=%d-", size)}, 416, nil, "bytes */"},
				{[]string{"Range", "bytes=5-", "If-Range", etag}, 206, dump[5:], fmt.Sprintf("bytes 5-%d/", size-1)},
				{[]string{"Range", "bytes=5-", "If-Range", modified}, 206, dump[5:], fmt.Sprintf("bytes 5-%d/", size-1)},
				{[]string{"Range", "bytes=5-", "If-Range", `"another"`}, 200, dump, ""},
				{[]string{"Range", "bytes=5-", "If-Range", "Sat, 01 Jan 2000 00:00:00 GMT"}, 200, dump, ""},
				{[]string{"If-None-Match", etag}, 304, []byte{}, ""},
				{[]string{"If-Match", `"another"`}, 412, []byte{}, ""},
			} {
				resp, body := w.get(url, tc.header...)
				contentRange := resp.Header.Get("Content-Range")
				if tc.length != "" {
					tc.length += fmt.Sprint(size)
				}
				if resp.StatusCode != tc.status || contentRange != tc.length {
					t.Errorf("%s with %q: %s, Content-Range %q; want %d, %q", key, tc.header, resp.Status, contentRange, tc.status,
						tc.length)
				}
				if tc.body != nil {
					same(t, fmt.Sprintf("%s with %q", key, tc.header), body, tc.body)
				}
			}
			head, body := w.do("HEAD", url, nil, nil)
			for _, name := range []string{"ETag", "Last-Modified", "Accept-Ranges", "Content-Disposition", "Content-Type",
				"Content-Length"} {
				if got, want := head.Header.Get(name), resp.Header.Get(name); got != want {
					t.Errorf("HEAD %s: %s %q, GET's is %q", key, name, got, want)
				}
			}
			if len(body) > 0 {
				t.Errorf("HEAD %s has a body", key)
			}
		}
	})
}

// The SQL streams are plain SQL whatever was uploaded (row 8.6).
func TestDownloads_sql(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	plain := fixtures.Dump("openchs.sql")
	for _, name := range []string{
		"openchs.sql", "openchs.sql.gz", "openchs.sql.bz2", "openchs.sql.xz", "openchs.zip", "openchs.cdump",
		"openchs.stored.cdump",
		"openchs.piped.cdump", "openchs.tar", "openchs.cdump.gz", "openchs.tar.gz",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.with(t)
			m := w.create()
			w.upload(m, fixtures.Dump(name))
			w.finish(m)
			resp, sql := w.get(w.urls(m)["original_sql_url"])
			if resp.StatusCode != 200 || resp.Header.Get("Accept-Ranges") == "bytes" {
				t.Errorf("%s, Accept-Ranges %q", resp.Status, resp.Header.Get("Accept-Ranges"))
			}
			same(t, "upgraded_sql_url", w.fetch(w.urls(m)["upgraded_sql_url"]), sql)
			if strings.HasPrefix(name, "openchs.sql") {
				same(t, "the SQL", sql, plain)
			}
			for _, want := range []string{"CREATE TABLE", "ir_module_module", "database.uuid"} {
				if !bytes.Contains(sql, []byte(want)) {
					t.Errorf("%s is not in the SQL of %d bytes", want, len(sql))
				}
			}
		})
	}
	// What holds no SQL is not handed out as SQL: a plain 404 says so, and the journal says why.
	for name, tc := range map[string]struct {
		dump []byte
		why  string
	}{
		"noise":          {pattern(5000, 1), "neither SQL nor any packing that is known"},
		"gzip of noise":  {gzipped(t, pattern(5000, 1)), "neither SQL nor any packing that is known"},
		"cut in its toc": {fixtures.Dump("openchs.cdump")[:2000], "ends too early"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.with(t)
			m := w.create()
			w.upload(m, tc.dump)
			w.finish(m)
			for _, url := range []string{"original_sql_url", "upgraded_sql_url"} {
				resp, body := w.get(w.urls(m)[url])
				if resp.StatusCode != 404 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") ||
					!bytes.Contains(body, []byte(tc.why)) {
					t.Errorf("%s: %s, %s\n%s", url, resp.Status, resp.Header.Get("Content-Type"), body)
				}
			}
			w.explained(m, "download", tc.why)
			same(t, "the dump as it came", w.fetch(w.urls(m)["original_dump_url"]), tc.dump)
		})
	}
	t.Run("broken", func(t *testing.T) {
		t.Parallel()
		w := w.with(t)
		m := w.create()
		w.upload(m, fixtures.Dump("openchs.sql.gz")[:2000])
		resp, err := w.http.Get(w.urls(m)["original_sql_url"])
		if err != nil {
			return // broken off before the first byte
		}
		defer resp.Body.Close()
		if data, err := io.ReadAll(resp.Body); resp.StatusCode == 200 && err == nil {
			t.Errorf("the %d bytes of SQL in half a dump look like all of it", len(data))
		}
	})
}

// odooZip returns dump.sql of a zip that has it and a filestore.
func odooZip(t *testing.T, archive []byte) (sql []byte) {
	t.Helper()
	filestore := false
	for name, data := range unzip(t, archive) {
		filestore = filestore || strings.HasPrefix(name, "filestore/")
		if name == "dump.sql" {
			sql = data
		}
	}
	if !bytes.Contains(sql, []byte("CREATE TABLE")) || !filestore {
		t.Errorf("dump.sql of %d bytes, filestore/ there: %v", len(sql), filestore)
	}
	return sql
}

// unzip returns the files of a zip.
func unzip(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	zipped, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range zipped.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name], err = io.ReadAll(r) // checks the sums
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	return files
}

// gzipped packs a dump.
func gzipped(t *testing.T, dump []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(dump); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// explained checks that the journal says why a call of the request did not get what it asked for; on "" is
// anything over SFTP.
func (w *wire) explained(m made, on, why string) {
	w.Helper()
	for _, e := range w.srv.Events(journal.Filter{Request: m.id, On: on}) {
		if on == "" && !strings.HasPrefix(e.On, "sftp") {
			continue
		}
		if strings.Contains(e.Why, why) {
			return
		}
	}
	w.Errorf("no event %s of request %d says %q", on, m.id, why)
}

// The pages for people (row 8.7), in which nothing that came from outside is markup, and the archive of modules.
func TestDownloads_pages(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create("filename", "<script>alert(1)<script>.dump")
	w.upload(m, []byte("SELECT 1;\n"))
	resp, draft := w.get(w.urls(m)["status_url"])
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !bytes.Contains(draft, []byte("draft")) {
		t.Errorf("the page of a draft: %s\n%s", resp.Header.Get("Content-Type"), draft)
	}
	w.finish(m)
	resp, page := w.get(w.urls(m)["status_url"])
	for _, want := range []string{"done", "john.doe@example.com", "10.00 b", w.urls(m)["upgraded_dump_url"],
		"&lt;script&gt;"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}
	if bytes.Contains(page, []byte("<script")) || resp.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("a file's name is markup, or might be:\n%s", page)
	}
	if resp, notes := w.get(w.urls(m)["notes_url"]); !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") ||
		!bytes.Contains(notes, []byte("8.0")) {
		t.Errorf("notes: %s\n%s", resp.Header.Get("Content-Type"), notes)
	}
	modules := w.fetch(w.urls(m)["modules_url"])
	if archive, err := zip.NewReader(bytes.NewReader(modules), int64(len(modules))); err != nil || len(archive.File) != 0 {
		t.Errorf("the archive of modules: %v", err)
	}
	if resp, front := w.get(w.base + "/"); resp.StatusCode != 200 || !bytes.Contains(front, []byte("upgrademock")) {
		t.Errorf("the front page: %s\n%s", resp.Status, front)
	}
}

// Looking at pages and archives is no poll: the states do not go on.
func TestDownloads_doNotCount(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	w.upload(m, []byte("SELECT 1;\n"))
	w.good("process", m.params())
	for range 5 {
		for _, url := range w.urls(m) {
			w.get(url)
		}
	}
	if s := w.status(m); s["state"] != "pending" {
		t.Errorf("state %v at the first poll", s["state"])
	}
}

// A download that began goes on with its bytes, whatever becomes of the request meanwhile.
func TestDownloads_whileReplaced(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	first := pattern(24<<20, 1) // more than the buffers on the way hold
	w.upload(m, first)
	resp, err := w.http.Get(w.urls(m)["original_dump_url"])
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	w.upload(m, []byte("SELECT 2;\n"))
	w.grant(m, "rsa")
	w.put(w.login(m, "rsa"), "/db_name.dump", []byte("SELECT 3;\n"))
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the download that began before", got, first)
	same(t, "the dump", w.fetch(w.urls(m)["original_dump_url"]), []byte("SELECT 3;\n"))
}
