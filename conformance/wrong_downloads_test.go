package conformance_test

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"
)

// wrongOutcomes are servers that go wrong behind process.
func wrongOutcomes() map[string]wrong {
	return map[string]wrong{
		// process and what comes of it.
		"states of other names": {"6.2",
			saboteur{steps: []string{"queued", "running", "done"}},
			"process/state-names"},
		"never done": {"6.2",
			saboteur{steps: []string{"pending", "processing"}},
			"process/reaches-done"},
		"success in place of done": {"6.2",
			saboteur{steps: []string{"pending", "success"}},
			"process/state-names process/reaches-done"},
		"a good dump is invalid": {"6.2",
			saboteur{steps: []string{"pending", "invalid"}},
			"process/reaches-done"},
		"back to draft at the end": {"6.1",
			saboteur{steps: []string{"pending", "processing", "draft", "done"}},
			"process/never-draft-again"},
		"skip_test in any state": {"6.5",
			saboteur{mutations: []string{"skip-test/refused-in-draft"}},
			"skip-test/refused-in-draft"},
		"the description is gone": {"4.7", always(func(m map[string]any) {
			if m["state"] != "draft" {
				m["filesize"], m["postgresql"], m["compressions"] = nil, nil, []string{}
			}
		}), "process/description-stays"},
		"upgrade wants a filename": {"6.6", before("upgrade", func(w http.ResponseWriter, r *http.Request) bool {
			no := !r.URL.Query().Has("filename")
			if no {
				io.WriteString(w, `{"failures": [{"reason": "FILENAME:MISSING",
					"message": "Missing parameter \"filename\""}]}`)
			}
			return no
		}), "upgrade/answer upgrade/filename upgrade/postgresql upgrade/migrated-sql-url"},

		// Downloads.
		"no notes": {"7 notes_url",
			downloads("/notes", func(d *download) {
				d.w.WriteHeader(404)
			}),
			"urls/notes"},
		"notes are an error": {"7 notes_url",
			downloads("/notes", func(d *download) {
				d.w.WriteHeader(500)
			}),
			"urls/notes"},
		"no page": {"8.7",
			downloads("/status", func(d *download) {
				d.w.WriteHeader(404)
			}),
			"urls/status-page"},
		"the page is text": {"8.7", downloads("/status", func(d *download) {
			d.w.Header().Set("Content-Type", "text/plain")
			d.w.Write([]byte("draft"))
		}), "urls/status-page"},
		"the original is cut": {"7 original_dump_url", downloads("original/archive", func(d *download) {
			b := d.got.Body.Bytes()
			sends(d.w, d.got.Code, b[:max(0, len(b)-1)])
		}), "urls/original-archive"},
		"a body shorter than its Content-Length": {"7 upgraded_dump_url",
			downloads("upgraded/archive", func(d *download) {
				d.w.WriteHeader(d.got.Code)
				b := d.got.Body.Bytes()
				d.w.Write(b[:len(b)/2])
			}), "urls/upgraded-archive"},
		"an empty upgraded archive": {"7 upgraded_dump_url",
			downloads("upgraded/archive", func(d *download) {
				sends(d.w, d.got.Code, nil)
			}),
			"urls/upgraded-archive"},
		"an upgraded archive is cut": {"7 upgraded_dump_url", downloads("upgraded/archive", func(d *download) {
			b := d.got.Body.Bytes()
			sends(d.w, d.got.Code, b[:len(b)/2])
		}), "urls/upgraded-whole"},
		"upgraded archives end at 16 KiB": {"7 upgraded_dump_url", downloads("upgraded/archive", func(d *download) {
			b := d.got.Body.Bytes()
			sends(d.w, d.got.Code, b[:min(len(b), 16<<10)])
		}), "urls/upgraded-whole"},
		"upgraded SQL is cut": {"7 upgraded_sql_url", downloads("upgraded/sql", func(d *download) {
			b := d.got.Body.Bytes()
			sends(d.w, d.got.Code, b[:len(b)/2])
		}), "urls/upgraded-whole"},
		"an error before there is anything": {"7 upgraded_dump_url", downloads("/archive", func(d *download) {
			if d.got.Code == http.StatusNotFound {
				d.got.Code = http.StatusInternalServerError
			}
			sends(d.w, d.got.Code, d.got.Body.Bytes())
		}), "urls/answered"},
		"SQL in a page": {"8.6", downloads("/sql", func(d *download) {
			sends(d.w, d.got.Code, []byte("<html>"+http.StatusText(d.got.Code)))
		}), "urls/original-sql urls/upgraded-sql urls/sql-is-text"},
		"SQL is cut": {"8.6", downloads("original/sql", func(d *download) {
			b := d.got.Body.Bytes()
			sends(d.w, d.got.Code, b[:len(b)/2])
		}), "urls/original-sql urls/original-sql-zip urls/original-sql-plain"},
		"SQL for none": {"8.6",
			downloads("original/sql", func(d *download) {
				d.w.WriteHeader(404)
			}),
			"urls/original-sql urls/original-sql-zip urls/original-sql-plain"},
		"the SQL is the archive": {"8.6",
			saboteur{mutations: []string{"urls/original-sql-zip", "urls/original-sql", "urls/original-sql-custom"}},
			"urls/original-sql urls/original-sql-zip urls/sql-is-text"},
		"Range is ignored": {"8.3",
			ranges(func(r *http.Request) { r.Header.Del("Range") }),
			"urls/range urls/range-rest urls/range-last urls/range-behind urls/if-range"},
		"If-Range is ignored": {"8.3",
			ranges(func(r *http.Request) { r.Header.Del("If-Range") }),
			"urls/if-range"},
		"a range one byte too short": {"8.3", downloads("/archive", func(d *download) {
			b := d.got.Body.Bytes()
			if d.got.Code == 206 && len(b) > 0 {
				b = b[:len(b)-1]
			}
			sends(d.w, d.got.Code, b)
		}), "urls/range urls/range-rest urls/range-last"},
		"206 with the whole file": {"8.3",
			saboteur{front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				ranged := r.Header.Get("Range") != "" && strings.HasSuffix(r.URL.Path, "/archive")
				r.Header.Del("Range")
				rec := httptest.NewRecorder()
				next.ServeHTTP(rec, r)
				maps.Copy(w.Header(), rec.Header())
				if ranged && rec.Code == 200 {
					rec.Code = 206
				}
				w.WriteHeader(rec.Code)
				w.Write(rec.Body.Bytes())
			}}, "urls/range urls/range-rest urls/range-last"},
		"206 without Content-Range": {"8.3",
			header("Content-Range", same("")),
			"urls/range urls/range-rest urls/range-last"},
		"no ETag":                {"8.3", header("Etag", same("")), "urls/etag"},
		"an ETag without quotes": {"8.3", header("Etag", same("abc")), "urls/etag"},
		"an ETag of the moment": {"8.3",
			header("Etag", func() string { return strconv.Quote(time.Now().String()) }),
			"urls/etag"},
		"no Last-Modified": {"8.3", header("Last-Modified", same("")), "urls/last-modified"},
		"Last-Modified in ISO 8601": {"8.3",
			header("Last-Modified", same("2015-09-09T07:13:49Z")),
			"urls/last-modified"},
		"no Content-Disposition": {"8.3",
			header("Content-Disposition", same("")),
			"urls/content-disposition"},
		"another name of the file": {"8.3",
			header("Content-Disposition", same("attachment; filename=archive")),
			"urls/content-disposition"},
		"a disposition without name": {"8.3",
			header("Content-Disposition", same("attachment")),
			"urls/content-disposition"},
		"no Content-Length": {"8.3", downloads("/archive", func(d *download) {
			d.w.Header().Del("Content-Length")
			d.w.WriteHeader(d.got.Code)
			d.w.(http.Flusher).Flush()
			d.w.Write(d.got.Body.Bytes())
		}), "urls/length urls/head"},
		"HEAD is refused": {"8.3", downloads("/archive", func(d *download) {
			if d.r.Method == "HEAD" {
				d.got.Code = 405
			}
			sends(d.w, d.got.Code, d.got.Body.Bytes())
		}), "urls/head"},
		"HEAD of nothing": {"8.3", downloads("/archive", func(d *download) {
			if d.r.Method == "HEAD" {
				d.w.Header().Set("Content-Length", "0")
				return
			}
			d.w.WriteHeader(d.got.Code)
			d.w.Write(d.got.Body.Bytes())
		}), "urls/head"},
		"416 is never given": {"8.3", downloads("/archive", func(d *download) {
			if d.got.Code == 416 {
				sends(d.w, 200, nil)
				return
			}
			d.w.WriteHeader(d.got.Code)
			d.w.Write(d.got.Body.Bytes())
		}), "urls/range-behind"},
		"archives redirect to a login": {"8.2", downloads("/archive", func(d *download) {
			http.Redirect(d.w, d.r, "/web/login", http.StatusFound)
		}), "urls/original-archive urls/upgraded-archive"},
		"a zip without its filestore": {"8.5",
			saboteur{mutations: []string{"filestore", "urls/filestore-zip"}},
			"urls/filestore-zip"},
	}
}
