package refserver

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// serveFile serves what the URLs of answers lead to.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	m := regexp.MustCompile(`^/database/eu1/([^/]*)/([^/]*)/(.+)$`).FindStringSubmatch(r.URL.Path)
	if m == nil {
		http.NotFound(w, r)
		return
	}
	id, _ := strconv.Atoi(m[1])
	s.mu.Lock()
	defer s.mu.Unlock()
	req := s.reqs[id]
	if req == nil || req.key != m[2] {
		switch {
		case s.is("urls/wrong-key") && req != nil && m[3] == "original/archive":
		case s.is("urls/wrong-key-404"):
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		case s.is("differently"):
			http.Error(w, "not yours: "+m[1], http.StatusForbidden)
			return
		default:
			http.NotFound(w, r)
			return
		}
	}
	switch path := m[3]; {
	case path == "status":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if s.is("urls/status-page") {
			w.Header().Set("Content-Type", "application/json")
		}
		fmt.Fprintf(w, "<html><body>Request %d: %s</body></html>", req.id, req.state)
	case strings.HasPrefix(path, "original/"):
		s.serveOriginal(w, r, req, path)
	case strings.HasPrefix(path, "upgraded/"):
		s.serveUpgraded(w, r, req, path)
	case path == "modules/archive" && s.is("urls/answered"):
		http.Error(w, "an exception", http.StatusInternalServerError)
	case path == "modules/archive" && req.over() && !s.is("urls/modules") && !s.is("differently"):
		zip.NewWriter(w).Close()
	default:
		http.NotFound(w, r)
	}
}

// serveOriginal serves what was uploaded.
func (s *Server) serveOriginal(w http.ResponseWriter, r *http.Request, req *Request, path string) {
	if len(req.Dump) == 0 || (s.is("urls/original-at-once") || s.is("differently")) && !req.over() {
		http.NotFound(w, r)
		return
	}
	data := req.Dump
	if req.over() && req.original != nil {
		data = req.original
		if s.is("urls/original-archive") {
			data = append([]byte("-- upgraded\n"), data...)
		}
	}
	if path == "original/sql" {
		sql := plainSQL(data)
		if s.is("urls/original-sql-plain") && bytes.Contains(data, []byte("by SFTP")) || s.is("urls/original-sql") &&
			data[0] == 0x1f || s.is("urls/original-sql-zip") && data[0] == 'P' && data[1] == 'K' ||
			s.is("urls/original-sql-custom") && bytes.HasPrefix(data, []byte("PGDMP")) {
			sql = append(data, '\n')
		}
		if s.is("differently") && bytes.HasPrefix(data, []byte("PGDMP")) {
			http.Error(w, "no SQL can be made of it here", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/sql")
		w.Write(sql)
		return
	}
	s.archive(w, r, req, "original", req.name, data)
}

// serveUpgraded serves what came of the upgrade.
func (s *Server) serveUpgraded(w http.ResponseWriter, r *http.Request, req *Request, path string) {
	if !req.over() && !(s.is("urls/upgraded-only-done") && len(req.Dump) > 0) {
		status := http.StatusNotFound
		if s.is("urls/upgraded-404") || s.is("differently") {
			status = http.StatusConflict
		}
		http.Error(w, "not yet", status)
		return
	}
	switch path {
	case "upgraded/notes":
		if s.is("urls/notes") {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "<html>notes</html>")
	case "upgraded/sql":
		sql := plainSQL(s.upgraded(req))
		if s.is("urls/upgraded-sql") || s.is("urls/sql-is-text") && req.name == "openchs.zip" {
			sql = s.upgraded(req)
		}
		if s.is("upgrade/done") && req.viaUpgrade {
			http.NotFound(w, r)
			return
		}
		w.Write(sql)
	case "upgraded/archive":
		if s.is("urls/upgraded-archive") {
			http.NotFound(w, r)
			return
		}
		s.archive(w, r, req, "upgraded", s.upgradedName(req), s.upgraded(req))
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) upgradedName(req *Request) string {
	if s.is("filestore") {
		return "upgraded_" + strings.TrimSuffix(strings.TrimSuffix(req.name, ".cdump"), ".sql") + ".zip"
	}
	return "upgraded_" + req.name
}

// upgraded is the upgraded database.
func (s *Server) upgraded(req *Request) []byte {
	switch {
	case s.is("filestore"):
		var buf bytes.Buffer
		z := zip.NewWriter(&buf)
		names := []string{"dump.sql", "filestore/ab/abcdef"}
		if s.is("urls/filestore-zip") {
			names[0] = "database.sql"
		}
		for _, name := range names {
			f, _ := z.Create(name)
			io.WriteString(f, strings.Repeat("CREATE TABLE x (y integer);\n", 100))
		}
		z.Close()
		return buf.Bytes()
	case s.is("urls/upgraded-as-uploaded") || s.is("differently"):
		return append([]byte("-- upgraded\nCREATE TABLE upgraded (id integer);\n"), plainSQL(req.original)...)
	}
	if s.is("urls/upgraded-whole") && bytes.HasPrefix(req.original, []byte("\x1f\x8b")) {
		return req.original[:len(req.original)-20]
	}
	return req.original
}

// archive serves a file that can be resumed, bent in every way that downloads are.
func (s *Server) archive(w http.ResponseWriter, r *http.Request, req *Request, what, name string, data []byte) {
	h := w.Header()
	tag := fmt.Sprintf(`"%d-%s-%d"`, req.id, what, len(data))
	switch {
	case s.is("urls/etag"):
		tag = fmt.Sprintf(`"%d"`, time.Now().UnixNano())
	case s.is("no-etag"):
		tag = ""
	}
	if tag != "" {
		h.Set("ETag", tag)
	}
	if s.is("urls/upgraded-filename") {
		name = req.name
	}
	if !s.is("urls/content-disposition") {
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	}
	h.Set("Content-Type", "application/octet-stream")
	rng := r.Header.Get("Range")
	switch {
	case s.is("urls/range") && rng == "bytes=0-0":
		h.Set("Content-Range", "bytes 0-0/*")
		w.WriteHeader(http.StatusPartialContent)
		w.Write(data[:1])
		return
	case s.is("urls/range-rest") && strings.HasSuffix(rng, "-") && r.Header.Get("If-Range") == "" &&
		rng != fmt.Sprintf("bytes=%d-", len(data)),
		s.is("urls/range-last") && strings.HasPrefix(rng, "bytes=-"),
		s.is("urls/range-behind") && rng == fmt.Sprintf("bytes=%d-", len(data)):
		r.Header.Del("Range")
	case s.is("urls/if-range"):
		r.Header.Del("If-Range")
	case s.is("urls/length"):
		w.(http.Flusher).Flush()
		w.Write(data)
		return
	case s.is("urls/head") && r.Method == "HEAD":
		h.Set("Content-Length", "0")
		return
	}
	at := req.created
	if s.is("urls/last-modified") {
		at = time.Time{}
	}
	http.ServeContent(w, r, "", at, bytes.NewReader(data))
}
