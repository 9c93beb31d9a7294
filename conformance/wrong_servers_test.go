package conformance_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
)

// always changes the request in what every method answers but request_sftp_access.
func always(f func(m map[string]any)) saboteur {
	return saboteur{edit: onRequest(func(method string, m map[string]any) {
		if method != "request_sftp_access" {
			f(m)
		}
	})}
}

// instead gives every method's answers another value of a key.
func instead(key string, f func(v any) any) saboteur {
	return always(func(m map[string]any) { m[key] = f(m[key]) })
}

func just(v any) func(any) any { return func(any) any { return v } }

// reshape changes the text of a key that is a string.
func reshape(pattern, to string) func(any) any {
	form := regexp.MustCompile(pattern)
	return func(v any) any {
		if s, ok := v.(string); ok {
			return form.ReplaceAllString(s, to)
		}
		return v
	}
}

// accessAnswer changes the request that request_sftp_access answers.
func accessAnswer(f func(m map[string]any)) saboteur {
	return saboteur{edit: onRequest(func(method string, m map[string]any) {
		if method == "request_sftp_access" {
			f(m)
		}
	})}
}

// createFailures changes the list of what create refuses.
func createFailures(f func(list []any) any) saboteur { return saboteur{edit: onFailures("create", f)} }

// eachFailure changes each failure of what create refuses.
func eachFailure(f func(m map[string]any)) saboteur {
	return createFailures(func(list []any) any {
		for _, v := range list {
			f(v.(map[string]any))
		}
		return list
	})
}

// before does something with the calls of a method, or of all with "", and reports whether that was all.
func before(method string, f func(w http.ResponseWriter, r *http.Request) bool) saboteur {
	return saboteur{front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.HasSuffix(r.URL.Path, "/v1/"+method) && (method != "" || !strings.Contains(r.URL.Path, "/v1/")) ||
			!f(w, r) {
			next.ServeHTTP(w, r)
		}
	}}
}

// rewritten changes the bodies of a method's answers.
func rewritten(method string, f func(body []byte) []byte) saboteur {
	return saboteur{front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.HasSuffix(r.URL.Path, "/v1/"+method) {
			next.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(rec.Code)
		w.Write(f(rec.Body.Bytes()))
	}}
}

// download is one of a URL that an answer has: the call, and what the server gives.
type download struct {
	w   http.ResponseWriter // has the headers of got
	r   *http.Request
	got *httptest.ResponseRecorder
}

// downloads changes what the URLs that end in path give.
func downloads(path string, f func(d *download)) saboteur {
	return saboteur{front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/v1/") || !strings.HasSuffix(r.URL.Path, path) {
			next.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		maps.Copy(w.Header(), rec.Header())
		f(&download{w, r, rec})
	}}
}

// sends gives what was got, as it is or with another header or body.
func sends(w http.ResponseWriter, status int, body []byte) {
	if w.Header().Get("Content-Length") != "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	w.Write(body)
}

// header changes one header line of the archives; "" takes it away.
func header(key string, value func() string) saboteur {
	return downloads("/archive", func(d *download) {
		d.w.Header().Del(key)
		if v := value(); v != "" {
			d.w.Header().Set(key, v)
		}
		if d.r.Method == "HEAD" {
			d.w.WriteHeader(d.got.Code)
			return
		}
		d.w.WriteHeader(d.got.Code)
		d.w.Write(d.got.Body.Bytes())
	})
}

func same(s string) func() string { return func() string { return s } }

// packets answers the SFTP requests of some kinds.
func packets(f func(f *refserver.Session, p *refserver.Packet) (byte, []byte), kinds ...byte) saboteur {
	return saboteur{packet: func(files *refserver.Session, kind byte, p *refserver.Packet) (byte, []byte) {
		if !slices.Contains(kinds, kind) {
			return 0, nil
		}
		return f(files, p)
	}}
}

// refuses answers the SFTP requests of some kinds with a status.
func refuses(code uint32, kinds ...byte) saboteur {
	return packets(func(f *refserver.Session, _ *refserver.Packet) (byte, []byte) { return f.Status(code) }, kinds...)
}

// longname changes the long names of listings.
func longname(f func(long string) string) saboteur {
	return packets(func(files *refserver.Session, p *refserver.Packet) (byte, []byte) {
		h := files.Handles[p.Str()]
		if h == nil || h.Read {
			return 0, nil
		}
		h.Read = true
		name, data := files.Shared()
		typ, out := files.List(name, len(data))
		in := refserver.Packet{Rest: out}
		in.Uint32()
		shown, long := in.Str(), in.Str()
		return typ, append(refserver.AppendString(refserver.AppendString([]byte{0, 0, 0, 1}, shown), f(long)),
			in.Rest...)
	}, 12)
}

// write is one SFTP WRITE to the shared file of a draft, without the flag APPEND.
type write struct {
	f    *refserver.Session
	h    *refserver.Handle
	off  int64
	data string
}

// writes changes each of them.
func writes(f func(w *write)) saboteur {
	return packets(func(files *refserver.Session, p *refserver.Packet) (byte, []byte) {
		handle, off, data := p.Str(), int64(p.Uint64()), p.Str()
		h := files.Handles[handle]
		if h == nil || h.Flags&2 == 0 || h.Gone || h.Flags&4 != 0 {
			return 0, nil
		}
		w := &write{files, h, off, data}
		f(w)
		out := binary.BigEndian.AppendUint64(refserver.AppendString(nil, handle), uint64(w.off))
		return files.Write(&refserver.Packet{Rest: refserver.AppendString(out, w.data)})
	}, 6)
}

// inTesting lets an upgrade stay in testing.
func inTesting(sab saboteur) saboteur {
	sab.steps = []string{"pending", "testing"}
	return sab
}

// wrongServers are all of them.
func wrongServers() map[string]wrong {
	all := map[string]wrong{}
	for _, some := range []map[string]wrong{wrongCalls(), wrongStatuses(), wrongShares(), wrongOutcomes()} {
		maps.Copy(all, some)
	}
	return all
}

// dropKey takes the key out of the URLs.
func dropKey(m map[string]any) {
	for k, v := range m {
		if s, is := v.(string); is && strings.HasSuffix(k, "_url") {
			m[k] = strings.Replace(s, m["key"].(string)+"/", "", 1)
		}
	}
}

// uploads changes the dumps that come over HTTP.
func uploads(f func(body []byte) []byte) saboteur {
	return before("upload", func(_ http.ResponseWriter, r *http.Request) bool {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			body = f(body)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		return false
	})
}

// opens changes the flags with which the shared file of a draft is opened.
func opens(f func(flags uint32) uint32) saboteur {
	return packets(func(files *refserver.Session, p *refserver.Packet) (byte, []byte) {
		path, flags := p.Str(), p.Uint32()
		if flags&2 != 0 {
			flags = f(flags)
		}
		return files.Open(path, flags)
	}, 3)
}

// ranges changes the header of the calls for archives.
func ranges(f func(r *http.Request)) saboteur {
	return saboteur{front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/archive") {
			f(r)
		}
		next.ServeHTTP(w, r)
	}}
}

// atTheEnd answers the SFTP reads at the end of the file and behind it.
func atTheEnd(f func(files *refserver.Session) (byte, []byte)) saboteur {
	return packets(func(files *refserver.Session, p *refserver.Packet) (byte, []byte) {
		h, off := files.Handles[p.Str()], int64(p.Uint64())
		if _, data := files.Shared(); h == nil || h.Dir || off < int64(len(data)) {
			return 0, nil
		}
		return f(files)
	}, 5)
}

// readAt reads from another offset than the one asked for.
func readAt(files *refserver.Session, p *refserver.Packet, at func(off int64) int64) (byte, []byte) {
	h, off, n := files.Handles[p.Str()], int64(p.Uint64()), int(p.Uint32())
	_, data := files.Shared()
	if h == nil || h.Dir || off >= int64(len(data)) {
		return 0, nil
	}
	off = at(off)
	return 103, refserver.AppendString(nil, string(data[off:min(len(data), int(off)+n)]))
}
