package refserver

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
)

// params reads the parameters from wherever they are.
func (s *Server) params(r *http.Request, method string) (map[string]string, []failure) {
	out := map[string]string{}
	add := func(v url.Values) {
		for name, values := range v {
			if _, there := out[name]; !there {
				out[name] = values[0]
				if s.is("params/first-counts") {
					out[name] = values[len(values)-1]
				}
			}
		}
	}
	query := func() {
		if r.Method == "GET" && s.is(method+"/query") || r.Method == "POST" && s.is(method+"/post-query") {
			return
		}
		q := r.URL.Query()
		if s.is("params/key-unescaped") && strings.HasSuffix(r.URL.RawQuery, "==&request="+q.Get("request")) ||
			s.is("params/key-unescaped") && strings.Contains(r.URL.RawQuery, "==&") {
			q.Del("key")
		}
		add(q)
	}
	if s.is("params/body-beats-query") {
		query()
	}
	if method != "upload" && method != "upgrade" {
		ctype, cp, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if s.is("params/form-charset") {
			ctype = r.Header.Get("Content-Type")
			if strings.HasPrefix(ctype, "multipart/form-data") {
				ctype = "multipart/form-data"
			}
		}
		switch {
		case ctype == "application/x-www-form-urlencoded":
			if r.Method == "GET" && (s.is(method+"/get-body") || s.is("sftp-access/keys-get-body") &&
				method == "request_sftp_access") || s.is(Group(method)+"/get-body") && r.Method == "GET" ||
				s.is(Group(method)+"/form") && r.Method == "POST" || r.Method == "POST" && s.is(method+"/form") {
				break
			}
			v, fails := s.readForm(r)
			if fails != nil {
				return nil, fails
			}
			add(v)
			if s.is("params/query-and-form") && len(v) > 0 {
				return out, nil
			}
		case strings.HasPrefix(ctype, "multipart/"):
			if s.is(method + "/multipart") {
				break
			}
			v, fails := s.readMultipart(r, cp["boundary"])
			if fails != nil {
				return nil, fails
			}
			add(v)
			if s.is("params/query-and-multipart") && len(v) > 2 {
				return out, nil
			}
		}
	}
	if !s.is("params/body-beats-query") {
		query()
	}
	if s.is("sftp-access/keys-query") && r.URL.Query().Has("ssh_keys") {
		delete(out, "ssh_keys")
	}
	if method == "create" {
		if _, extra := out["dbname"]; extra && s.is("params/extra-ignored") {
			return nil, []failure{{"reason": "PARAMETERS:UNKNOWN", "message": "dbname"}}
		}
	} else if _, extra := out["dbname"]; extra && s.is("params/extra-ignored-upload") && method != "status" {
		return nil, []failure{{"reason": "PARAMETERS:UNKNOWN", "message": "dbname"}}
	}
	return out, nil
}

// readForm reads a form in the body.
func (s *Server) readForm(r *http.Request) (url.Values, []failure) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if len(body) > 512<<10 && !s.is("params/large-value") {
		return nil, []failure{{"reason": "PARAMETERS:INVALID", "message": "too large"}}
	}
	if s.is("params/escapes") {
		body = bytes.ReplaceAll(body, []byte("+"), []byte("%2B"))
	}
	v, _ := url.ParseQuery(string(body))
	if s.is("sftp-access/keys-form") {
		v.Del("ssh_keys")
	}
	return v, nil
}

// readMultipart reads the parts of a multipart body.
func (s *Server) readMultipart(r *http.Request, boundary string) (url.Values, []failure) {
	mr := multipart.NewReader(r.Body, boundary)
	if s.is("params/form-charset") {
		_, cp, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		mr = multipart.NewReader(r.Body, cp["boundary"])
	}
	v := url.Values{}
	for {
		part, err := mr.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			if s.is("params/bad-multipart") {
				panic(http.ErrAbortHandler)
			}
			return nil, []failure{{"reason": "PARAMETERS:INVALID", "message": "the multipart body is broken"}}
		}
		data, err := io.ReadAll(part)
		if err != nil && !s.is("params/bad-multipart") {
			return nil, []failure{{"reason": "PARAMETERS:INVALID", "message": "the multipart body is broken"}}
		} else if err != nil {
			panic(http.ErrAbortHandler)
		}
		isFile := part.FileName() != ""
		name := part.FormName()
		switch {
		case isFile && (s.is("sftp-access/keys-file") && r.URL.RawQuery != ""):
		case isFile && s.is("sftp-access/keys-file-and-fields") && r.URL.RawQuery == "":
		case !isFile && name == "ssh_keys" && s.is("sftp-access/keys-multipart-field"):
		default:
			v.Add(name, string(data))
		}
	}
	return v, nil
}

// body reads a dump.
func (s *Server) body(r *http.Request) ([]byte, error) {
	ctype := r.Header.Get("Content-Type")
	refuse := s.is("upload/no-type") && ctype == "" || s.is("upload/odd-type") && strings.Contains(ctype, "gzip") ||
		s.is("upload/json-type") && strings.Contains(ctype, "json")
	if refuse {
		return nil, nil
	}
	if s.is("upload/chunked") && r.ContentLength < 0 || s.is("upload/expect-continue") &&
		r.Header.Get("Expect") != "" || s.is("upload/http-1.0") && r.ProtoMinor == 0 || s.is("upload/put") &&
		r.Method == "PUT" {
		io.Copy(io.Discard, r.Body)
		return []byte("--"), nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return body, err
	}
	if strings.Contains(ctype, "form-urlencoded") {
		if s.is("upload/form-looking") && bytes.HasPrefix(body, []byte("request=")) || s.is("upload/form-type") &&
			!bytes.HasPrefix(body, []byte("request=")) {
			v, _ := url.ParseQuery(string(body))
			return []byte(v.Encode()), nil
		}
	}
	unwraps := s.is("upload/wrapped") && strings.HasSuffix(r.URL.Path, "/upload") || s.is("upgrade/multipart-body") &&
		strings.HasSuffix(r.URL.Path, "/upgrade")
	if _, p, err := mime.ParseMediaType(ctype); unwraps && err == nil && strings.HasPrefix(ctype, "multipart/") {
		if part, err := multipart.NewReader(bytes.NewReader(body), p["boundary"]).NextPart(); err == nil {
			return io.ReadAll(part)
		}
	}
	if s.is("upload/multipart-type") && strings.HasPrefix(ctype, "multipart/") {
		return nil, nil
	}
	switch {
	case s.is("upload/bytes") && bytes.Contains(body, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}) &&
		ctype == "application/octet-stream" && r.ProtoMinor == 1 && r.Method == "POST":
		body = bytes.ReplaceAll(body, []byte{0}, nil)
	case s.is("upload/custom-format") && bytes.HasPrefix(body, []byte("PGDMP")):
		body = body[:len(body)-1]
	case s.is("upload/line-ends") && bytes.Contains(body, []byte("-- two\r-- three")):
		body = bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
	case s.is("upload/first-and-last-bytes") && bytes.HasSuffix(body, []byte("\x1a")):
		body = bytes.TrimSpace(body)
	case s.is("upload/no-last-line-end") && !bytes.HasSuffix(body, []byte("\n")) &&
		bytes.HasSuffix(body, []byte("no line end")):
		body = append(body, '\n')
	case s.is("upload/large") && len(body) > 32<<20:
		body = body[:32<<20]
	}
	return body, nil
}
