package conformance_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/text/encoding/charmap"
)

// broken is a server with a mutation.
func broken(row, mutation string) wrongScript {
	return wrongScript{row: row, mutations: []string{mutation}}
}

// wrongCreates break what create takes and answers: section S2.
func wrongCreates() map[string]wrongScript {
	has := func(param, text string) func(_, params map[string]any) bool {
		return func(_, params map[string]any) bool { return strings.Contains(fmt.Sprint(params[param]), text) }
	}
	return map[string]wrongScript{
		"contracts of another form only": callRefused("S2.1", "create", has("contract", "-")),
		"no way to 17.0":                 callRefused("S2.2", "create", has("target", "17.0")),
		"no way to 19.0":                 callRefused("S2.2", "create", has("target", "19.0")),
		"tests only":                     wants("S2.3", "create", "aim", "test"),
		"no program of the line":         callRefused("S2.4", "create", has("actuator", "cli")),
		"no variables":                   wants("S2.5", "create", "env_vars", []any{}),
		"no RSA keys":                    callRefused("S2.6", "create", has("ssh_key", "ssh-rsa")),
		"RSA keys only": callRefused("S2.6", "create", func(_, params map[string]any) bool {
			key, is := params["ssh_key"].(string)
			return is && !strings.HasPrefix(key, "ssh-rsa")
		}),
		"no keys with a line end": callRefused("S2.6", "create", has("ssh_key", "\n")),
		"wants api_version":       wants("S2.7", "create", "api_version", "0.2"),
		"wants api_version 1":     callRefused("S2.7", "create", has("api_version", "0.2")),

		"create without request_id":        lacks("S2.8", "create", "request_id"),
		"create without token":             lacks("S2.8", "create", "token"),
		"create without assigned_host_uri": lacks("S2.8", "create", "assigned_host_uri"),
		"info is a list":                   answers("S2.9", "create", "info", []any{"a", "b"}),
		"info is an object":                answers("S2.9", "create", "info", map[string]any{"text": "a"}),

		"a token of 57 characters": reworded("S2.10", "create", "token", func(s string) string { return s[:57] }),
		"a token with padding":     reworded("S2.10", "create", "token", func(s string) string { return s + "==" }),
		"a token in hexadecimal": reworded("S2.10", "create", "token", func(s string) string {
			raw, _ := base64.RawURLEncoding.DecodeString(s)
			return hex.EncodeToString(raw)
		}),
		"a token of the other alphabet": reworded("S2.10", "create", "token", func(s string) string {
			return s[:10] + "+/" + s[12:]
		}),
		"a token that begins with a hyphen": onlyAssumed(reworded("S2.10", "create", "token",
			func(s string) string { return "-" + s[1:] })),

		"a host with a scheme": reworded("S2.11", "create", "assigned_host_uri",
			func(s string) string { return "https://" + s }),
		"a host with a path": reworded("S2.11", "create", "assigned_host_uri",
			func(s string) string { return s + "/" }),
		"a host that is empty":  answers("S2.11", "create", "assigned_host_uri", ""),
		"a host that is null":   answers("S2.11", "create", "assigned_host_uri", nil),
		"the host of the world": onlyAssumed(answers("S2.11", "create", "assigned_host_uri", "upgrade.odoo.com")),

		"request_id is a text": {row: "S2.12", assumed: true, edit: onResult("create", func(m map[string]any) {
			m["request_id"] = fmt.Sprint(m["request_id"])
		})},
		"request_id goes down": {row: "S2.12", assumed: true, edit: onResult("create", func(m map[string]any) {
			m["request_id"] = -m["request_id"].(int)
		})},
		"create answers dbname":   answers("S2.13", "create", "dbname", "production"),
		"create answers contract": answers("S2.13", "create", "contract", contract),
		"create answers ssh_key":  answers("S2.13", "create", "ssh_key", "ssh-rsa AAAA"),
		"create answers more":     onlyAssumed(answers("S2.13", "create", "queue", 3)),
		"new is pending":          newIs("pending"),
		"new is draft":            newIs("draft"),
		"anything can be created": onlyAssumed(broken("S2.16", "create takes anything")),
		"keys that are none":      onlyAssumed(broken("S2.16", "create takes any key")),
		"always the same number":  answers("S2.17", "create", "request_id", 70001),
		"always the same request": sameRequest(),
	}
}

// newIs is a server that calls the first state otherwise.
func newIs(state string) wrongScript {
	return reworded("S2.14", "status", "status", func(s string) string {
		if s == "new" {
			return state
		}
		return s
	})
}

// sameRequest is a server that answers every create with the first request.
func sameRequest() wrongScript {
	var mu sync.Mutex
	first := map[string]any{}
	return wrongScript{row: "S2.17", edit: onResult("create", func(m map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		for _, k := range []string{"request_id", "token"} {
			if first[k] == nil {
				first[k] = m[k]
			}
			m[k] = first[k]
		}
	})}
}

// wrongStates break process, status and wipe: sections S6, S7 and S9.
func wrongStates() map[string]wrongScript {
	in := func(row string, steps ...string) wrongScript { return wrongScript{row: row, steps: steps} }
	return map[string]wrongScript{
		"process says nothing of PostgreSQL": lacks("S6.1", "process", "is_pg_version_compatible"),
		"process says yes":                   answers("S6.1", "process", "is_pg_version_compatible", "yes"),
		"process says null":                  answers("S6.1", "process", "is_pg_version_compatible", nil),
		"process says 1":                     answers("S6.1", "process", "is_pg_version_compatible", 1),
		"new for a while behind process":     broken("S6.4", "process starts nothing"),
		"no more new behind the upload":      broken("S6.4", "leaves new with the upload"),
		"new again":                          onlyAssumed(in("S7.3", "pending", "new", "pending", "done")),
		"a second process is refused":        broken("S6.5", "a second process is refused"),
		"a second process begins again":      broken("S6.5", "a second process begins again"),
		"a second process says otherwise":    broken("S6.5", "a second process says otherwise"),
		"process without a dump":             onlyAssumed(broken("S6.6", "process takes what is not there")),
		"process at any time":                onlyAssumed(broken("S6.6", "process at any time")),

		"status without status":    lacks("S7.1", "status", "status"),
		"status without host_uri":  lacks("S7.1", "status", "host_uri"),
		"status is an object":      answers("S7.1", "status", "status", map[string]any{"name": "new"}),
		"states of the older API":  in("S7.2", "pending", "processing", "done"),
		"states in capitals":       in("S7.2", "PENDING", "PROGRESS", "DONE"),
		"a state of the script's":  in("S7.2", "pending", "terminal"),
		"an upgrade is called off": in("S7.2", "pending", "canceled"),
		"progress before pending":  onlyAssumed(in("S7.3", "progress", "pending", "done")),
		"pending in progress":      onlyAssumed(in("S7.3", "pending", "progress", "pending", "progress", "done")),
		"done is not the end":      onlyAssumed(in("S6.6", "pending", "done", "progress", "done")),
		"never done":               in("S7.3", "pending"),
		"all upgrades fail":        in("S7.3", "pending", "failed"),
		"host_uri with a scheme": reworded("S7.6", "status", "host_uri",
			func(s string) string { return "https://" + s }),
		"host_uri is null":        answers("S7.6", "status", "host_uri", nil),
		"host_uri elsewhere":      answers("S7.6", "status", "host_uri", "127.0.0.1:9"),
		"reason is a list":        answers("S7.7", "status", "reason", []any{}),
		"reason is false":         answers("S7.7", "status", "reason", false),
		"archived is a text":      answers("S7.8", "status", "archived", "no"),
		"archived from the start": answers("S7.8", "status", "archived", true),

		"wipe wants the token of the platform": callRefused("S9.1", "wipe",
			func(_, params map[string]any) bool { return params["user"] == nil }),
		"wipe without wiped":        lacks("S9.2", "wipe", "wiped"),
		"wipe without failed":       lacks("S9.2", "wipe", "failed"),
		"wiped is a number":         answers("S9.2", "wipe", "wiped", 1),
		"failed is null":            answers("S9.2", "wipe", "failed", nil),
		"failed is false":           answers("S9.3", "wipe", "failed", false),
		"wiped are names":           onlyAssumed(answers("S9.2", "wipe", "wiped", []any{"a"})),
		"wipe fails quietly":        answers("S9.3", "wipe", "failed", []any{1}),
		"wipe for all contracts":    onlyAssumed(broken("S9.1", "wipe for all contracts")),
		"wipe for others as well":   onlyAssumed(broken("S9.4", "wipe for others as well")),
		"wiped is not archived":     onlyAssumed(broken("S9.4", "wiped requests are not archived")),
		"wipe takes only one":       onlyAssumed(broken("S9.4", "wipe takes only one request")),
		"wipe lists all again":      onlyAssumed(broken("S9.4", "a second wipe lists all again")),
		"wipe cancels nothing":      onlyAssumed(broken("S9.4", "wipe cancels nothing")),
		"wipe leaves the dumps":     broken("S9.4", "wipe leaves the dumps"),
		"a token opens any request": {row: "S1.16", mutations: []string{"tokens open the first request"}},
	}
}

// relogged is a server whose log goes out in another way.
func relogged(row string, f func(w http.ResponseWriter, r *http.Request, came *httptest.ResponseRecorder)) wrongScript {
	return wrongScript{row: row, front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path != "/upgrade/request/logs" {
			next.ServeHTTP(w, r)
			return
		}
		came := httptest.NewRecorder()
		next.ServeHTTP(came, r)
		f(w, r, came)
	}}
}

// logText is a server whose log has another text, of the same length in bytes from any byte on.
func logText(row string, f func(text []byte) []byte) wrongScript {
	return relogged(row, func(w http.ResponseWriter, _ *http.Request, came *httptest.ResponseRecorder) {
		text := f(came.Body.Bytes())
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.Write(text)
	})
}

// fromByte is a server whose log begins at another byte than the one that is asked for.
func fromByte(row string, f func(n int) int) wrongScript {
	return wrongScript{row: row, front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		var n int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &n); err == nil {
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-", f(n)))
		}
		next.ServeHTTP(w, r)
	}}
}

// logStatus is a server that answers logs with a status in some cases.
func logStatus(row string, status int, when func(came *httptest.ResponseRecorder) bool) wrongScript {
	return relogged(row, func(w http.ResponseWriter, _ *http.Request, came *httptest.ResponseRecorder) {
		if when(came) {
			http.Error(w, "no", status)
			return
		}
		deliver(w, came)
	})
}

// wrongLogs break logs: section S8.
func wrongLogs() map[string]wrongScript {
	part := func(came *httptest.ResponseRecorder) bool { return came.Code == http.StatusPartialContent }
	atEnd := func(came *httptest.ResponseRecorder) bool {
		return came.Code == http.StatusOK && came.Body.Len() == 0
	}
	return map[string]wrongScript{
		"the log wants the token in a header": relogged("S8.1", func(w http.ResponseWriter, r *http.Request,
			came *httptest.ResponseRecorder) {
			if r.Header.Get("Authorization") == "" {
				http.Error(w, "whose log?", http.StatusUnauthorized)
				return
			}
			deliver(w, came)
		}),
		"no log at all": inPlace("S8.1", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"/upgrade/request/logs"),
		"the log in Latin-1": logText("S8.2", func(text []byte) []byte {
			out, err := charmap.ISO8859_1.NewEncoder().Bytes(text)
			if err != nil {
				return text // what begins within a character
			}
			return out
		}),
		"the log from one byte later on": fromByte("S8.2", func(n int) int { return n + min(n, 1) }),
		"the log from one byte before":   fromByte("S8.2", func(n int) int { return max(n-1, 0) }),
		"another log each time": func() wrongScript {
			var calls atomic.Int32
			return logText("S8.2", func(text []byte) []byte {
				return bytes.ReplaceAll(text, []byte(",001 "), fmt.Appendf(nil, ",%03d ", calls.Add(1)%1000))
			})
		}(),
		"the log in pages": fromByte("S8.2", func(n int) int { return n / 100 * 100 }),
		"the last byte does not come again": relogged("S8.4", func(w http.ResponseWriter, _ *http.Request,
			came *httptest.ResponseRecorder) {
			if came.Body.Len() > 1 {
				deliver(w, came)
			}
		}),
		"the whole log each time":   fromByte("S8.5", func(int) int { return 0 }),
		"no range behind the log":   logStatus("S8.5", http.StatusRequestedRangeNotSatisfiable, atEnd),
		"an empty log is not found": logStatus("S8.5", http.StatusNotFound, atEnd),
		"the log is for later":      logStatus("S8.5", http.StatusServiceUnavailable, part),
		"a part without a Content-Range": onlyAssumed(relogged("S8.6", func(w http.ResponseWriter, _ *http.Request,
			came *httptest.ResponseRecorder) {
			came.Header().Del("Content-Range")
			deliver(w, came)
		})),
		"a part with 200": onlyAssumed(relogged("S8.6", func(w http.ResponseWriter, _ *http.Request,
			came *httptest.ResponseRecorder) {
			came.Code = http.StatusOK
			deliver(w, came)
		})),
		"a Content-Range of the rest": onlyAssumed(relogged("S8.6", func(w http.ResponseWriter, _ *http.Request,
			came *httptest.ResponseRecorder) {
			if n := came.Body.Len(); n > 0 {
				came.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", n-1, n))
			}
			deliver(w, came)
		})),
		"nothing behind the log, with 204": onlyAssumed(logStatus("S8.6", http.StatusNoContent, atEnd)),
		"a log before there is one":        onlyAssumed(broken("S8.7", "logs in new")),
		"no log behind the end":            onlyAssumed(broken("S8.7", "no log behind the end")),
		"a log of nobody's": {row: "S8.9", front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.URL.Path != "/upgrade/request/logs" {
				next.ServeHTTP(w, r)
				return
			}
			text := strings.Repeat("working\n", 20)
			var n int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &n)
			io.WriteString(w, text[min(n, len(text)):])
		}},
		"a log for an unknown token": onlyAssumed(relogged("S8.10", func(w http.ResponseWriter, _ *http.Request,
			came *httptest.ResponseRecorder) {
			if came.Code == http.StatusNotFound {
				came.Code = http.StatusOK
				came.Body.Reset()
				came.Header().Del("Content-Length")
			}
			deliver(w, came)
		})),
	}
}
