package conformance_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
)

// onResult edits the result of a call that succeeded; "" is every call.
func onResult(call string, f func(m map[string]any)) edit {
	return func(c string, ok bool, answer map[string]any) {
		if m, is := answer["result"].(map[string]any); is && ok && (call == "" || c == call) {
			f(m)
		}
	}
}

// answers is a server that answers a call with another value of a key.
func answers(row, call, key string, value any) wrongScript {
	return wrongScript{row: row, edit: onResult(call, func(m map[string]any) { m[key] = value })}
}

// lacks is a server that answers a call without a key.
func lacks(row, call, key string) wrongScript {
	return wrongScript{row: row, edit: onResult(call, func(m map[string]any) { delete(m, key) })}
}

// reworded is a server that changes a key that is a text.
func reworded(row, call, key string, f func(s string) string) wrongScript {
	return wrongScript{row: row, edit: onResult(call, func(m map[string]any) {
		if s, is := m[key].(string); is {
			m[key] = f(s)
		}
	})}
}

// onRefusal is a server that refuses in another form.
func onRefusal(row string, f func(answer map[string]any), mutations ...string) wrongScript {
	return wrongScript{row: row, mutations: mutations, edit: func(_ string, ok bool, answer map[string]any) {
		if !ok {
			f(answer)
		}
	}}
}

// callRefused is a server that refuses a call because of what it is asked with.
func callRefused(row, call string, because func(in, params map[string]any) bool) wrongScript {
	return wrongScript{row: row, front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path != "/upgrade/request/"+call {
			next.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var in map[string]any
		json.Unmarshal(body, &in)
		if params, is := in["params"].(map[string]any); is && because(in, params) {
			rpcSays(w, map[string]any{"result": map[string]any{"error": "No."}})
			return
		}
		next.ServeHTTP(w, r)
	}}
}

// wants is a server that refuses a call unless a parameter is so.
func wants(row, call, param string, value any) wrongScript {
	return callRefused(row, call, func(_, params map[string]any) bool {
		return fmt.Sprint(params[param]) != fmt.Sprint(value)
	})
}

// rpcSays writes an answer.
func rpcSays(w http.ResponseWriter, out map[string]any) {
	out["jsonrpc"], out["id"] = "2.0", "not_used"
	body, _ := json.Marshal(out)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// reworked is a server whose answers to calls, but not the log, go out in another way.
func reworked(row string, f func(w http.ResponseWriter, r *http.Request, came *httptest.ResponseRecorder)) wrongScript {
	return wrongScript{row: row, front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		came := httptest.NewRecorder()
		next.ServeHTTP(came, r)
		f(w, r, came)
	}}
}

// deliver writes an answer as it came.
func deliver(w http.ResponseWriter, came *httptest.ResponseRecorder) {
	for k, v := range came.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(came.Code)
	w.Write(came.Body.Bytes())
}

// typed is a server whose answers have another type.
func typed(kind string) wrongScript {
	return reworked("S1.7", func(w http.ResponseWriter, _ *http.Request, came *httptest.ResponseRecorder) {
		came.Header().Set("Content-Type", kind)
		deliver(w, came)
	})
}

// refusedWith is a server that refuses with an HTTP status.
func refusedWith(status int) wrongScript {
	return reworked("S1.13", func(w http.ResponseWriter, _ *http.Request, came *httptest.ResponseRecorder) {
		if strings.Contains(came.Body.String(), `"error"`) {
			came.Code = status
		}
		deliver(w, came)
	})
}

// onCall is a server whose answers to one call go out in another way.
func onCall(row, call string, f func(w http.ResponseWriter, came *httptest.ResponseRecorder)) wrongScript {
	return reworked(row, func(w http.ResponseWriter, r *http.Request, came *httptest.ResponseRecorder) {
		if strings.HasSuffix(r.URL.Path, "/"+call) {
			f(w, came)
		} else {
			deliver(w, came)
		}
	})
}

// refusedAt is a server that refuses one call with an HTTP status.
func refusedAt(call string, status int) wrongScript {
	return onCall("S1.13", call, func(w http.ResponseWriter, came *httptest.ResponseRecorder) {
		if strings.Contains(came.Body.String(), `"error"`) {
			came.Code = status
		}
		deliver(w, came)
	})
}

// thirdStatus is a server that stumbles while it is polled.
func thirdStatus() wrongScript {
	var calls atomic.Int32
	w := onCall("S1.13", "status", func(w http.ResponseWriter, came *httptest.ResponseRecorder) {
		if strings.Contains(came.Body.String(), `"progress"`) && calls.Add(1)%2 == 0 {
			came.Code = http.StatusBadGateway
		}
		deliver(w, came)
	})
	w.steps = []string{"pending", "progress", "progress", "progress", "progress", "done"}
	return w
}

// shaped is a server whose results are no objects.
func shaped(result any) wrongScript {
	return wrongScript{row: "S1.9", edit: func(_ string, ok bool, answer map[string]any) {
		if ok {
			answer["result"] = result
		}
	}}
}

// inPlace is a server that answers at a path with something else.
func inPlace(row string, instead http.HandlerFunc, path string) wrongScript {
	return wrongScript{row: row, front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == path {
			instead(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}}
}

// onlyAssumed is a server whose fault is one by an assumption only.
func onlyAssumed(w wrongScript) wrongScript {
	w.assumed = true
	return w
}

// wrongEnvelopes break what holds for every call: section S1.
func wrongEnvelopes() map[string]wrongScript {
	return map[string]wrongScript{
		"the assigned host is somewhere else": answers("S1.3", "create", "assigned_host_uri", "127.0.0.1:9"),
		"wants the method to be named": callRefused("S1.4", "create",
			func(in, _ map[string]any) bool { return in["method"] == "not_used" }),
		"wants a number as id": callRefused("S1.4", "create",
			func(in, _ map[string]any) bool { return in["id"] == "not_used" }),
		"another version of JSON-RPC": {row: "S1.4", edit: func(_ string, _ bool, answer map[string]any) {
			answer["jsonrpc"] = "1.0"
		}},
		"the log by POST": inPlace("S1.5", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "POST, please", http.StatusMethodNotAllowed)
		}, "/upgrade/request/logs"),
		"chunked answers": reworked("S1.6", func(w http.ResponseWriter, _ *http.Request,
			came *httptest.ResponseRecorder) {
			w.Header().Set("Content-Type", "application/json")
			w.(http.Flusher).Flush()
			w.Write(came.Body.Bytes())
		}),
		"process answers nothing": reworked("S1.6", func(w http.ResponseWriter, r *http.Request,
			came *httptest.ResponseRecorder) {
			if strings.HasSuffix(r.URL.Path, "/process") {
				came.Body.Reset()
				came.Header().Set("Content-Length", "0")
			}
			deliver(w, came)
		}),
		"chunked wiping": onCall("S1.6", "wipe", func(w http.ResponseWriter, came *httptest.ResponseRecorder) {
			w.Header().Set("Content-Type", "application/json")
			w.(http.Flusher).Flush()
			w.Write(came.Body.Bytes())
		}),
		"HTML of wiping": onCall("S1.7", "wipe", func(w http.ResponseWriter, came *httptest.ResponseRecorder) {
			came.Header().Set("Content-Type", "text/html")
			deliver(w, came)
		}),
		"no contract, with 400":   refusedAt("create", http.StatusBadRequest),
		"no download, with 409":   refusedAt("transfer/start", http.StatusConflict),
		"no wiping, with 403":     refusedAt("wipe", http.StatusForbidden),
		"the third status is 502": thirdStatus(),
		"answers of HTML":         typed("text/html; charset=utf-8"),
		"answers of text":         typed("text/plain"),
		"answers without a type": reworked("S1.7", func(w http.ResponseWriter, _ *http.Request,
			came *httptest.ResponseRecorder) {
			came.Header()["Content-Type"] = nil
			deliver(w, came)
		}),
		"redirects": reworked("S1.7", func(w http.ResponseWriter, r *http.Request, came *httptest.ResponseRecorder) {
			if came.Code != http.StatusNotFound {
				http.Redirect(w, r, "/web/login", http.StatusSeeOther)
				return
			}
			deliver(w, came)
		}),
		"refused with 500 and a page": {row: "S1.13", front: func(w http.ResponseWriter, r *http.Request,
			next http.Handler) {
			came := httptest.NewRecorder()
			next.ServeHTTP(came, r)
			if strings.Contains(came.Body.String(), `"error"`) {
				http.Error(w, "Internal Server Error", http.StatusInternalServerError)
				return
			}
			deliver(w, came)
		}},
		"compressed answers": reworked("S1.8", func(w http.ResponseWriter, _ *http.Request,
			came *httptest.ResponseRecorder) {
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			z.Write(came.Body.Bytes())
			z.Close()
			came.Body = &packed
			came.Header().Set("Content-Encoding", "gzip")
			came.Header().Set("Content-Length", strconv.Itoa(packed.Len()))
			deliver(w, came)
		}),
		"a result that is null":     shaped(nil),
		"a result that is a list":   shaped([]any{}),
		"a result that is a text":   shaped("done"),
		"a result that is true":     shaped(true),
		"a result that is a number": shaped(1),
		"no result": {row: "S1.9", edit: func(_ string, ok bool, answer map[string]any) {
			if m, is := answer["result"].(map[string]any); is && ok {
				delete(answer, "result")
				for k, v := range m {
					answer[k] = v
				}
			}
		}},
		"a failure that is an object": onRefusal("S1.10", func(answer map[string]any) {
			answer["result"] = map[string]any{"error": map[string]any{"message": "No."}}
		}),
		"a failure without words": onRefusal("S1.10", func(answer map[string]any) {
			answer["result"] = map[string]any{"error": ""}
		}),
		"a failure that is true": onRefusal("S1.10", func(answer map[string]any) {
			answer["result"] = map[string]any{"error": true}
		}),
		"a failure in an error that is a text": onRefusal("S1.11", func(answer map[string]any) {
			answer["error"] = "No."
		}, "refuses in error"),
		"a failure in an error without data": onRefusal("S1.11", func(answer map[string]any) {
			answer["error"] = map[string]any{"code": 200, "message": "No."}
		}, "refuses in error"),
		"a failure in data that is a text": onRefusal("S1.11", func(answer map[string]any) {
			answer["error"] = map[string]any{"code": 200, "message": "Odoo Server Error", "data": "No."}
		}, "refuses in error"),
		"a failure with a result beside it": onRefusal("S1.11", func(answer map[string]any) {
			answer["result"] = map[string]any{}
		}, "refuses in error"),
		"an error without code": onlyAssumed(onRefusal("S1.12", func(answer map[string]any) {
			delete(answer["error"].(map[string]any), "code")
		}, "refuses in error")),
		"an error without a name": onlyAssumed(onRefusal("S1.12", func(answer map[string]any) {
			delete(answer["error"].(map[string]any)["data"].(map[string]any), "name")
		}, "refuses in error")),
		"refused with 400": refusedWith(http.StatusBadRequest),
		"refused with 401": refusedWith(http.StatusUnauthorized),
		"refused with 500": refusedWith(http.StatusInternalServerError),
		"refused with 202": onlyAssumed(refusedWith(http.StatusAccepted)),
		"wants a cookie": {row: "S1.16", front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if _, err := r.Cookie("session_id"); err != nil && !strings.HasSuffix(r.URL.Path, "/create") {
				rpcSays(w, map[string]any{"result": map[string]any{"error": "Session expired."}})
				return
			}
			http.SetCookie(w, &http.Cookie{Name: "session_id", Value: "1"})
			next.ServeHTTP(w, r)
		}},
		"any token opens the last request":            onlyAssumed(broken("S7.10", "any token opens")),
		"unknown tokens are refused in several words": onlyAssumed(broken("S7.10", "unknown tokens in several words")),
		"unknown parameters are refused": onlyAssumed(callRefused("S1.18", "create", func(_, params map[string]any) bool {
			return len(params) > 7
		})),
		"anything is a call": onlyAssumed(reworked("S1.18", func(w http.ResponseWriter, _ *http.Request,
			came *httptest.ResponseRecorder) {
			if came.Code == http.StatusNotFound {
				rpcSays(w, map[string]any{"result": map[string]any{}})
				return
			}
			deliver(w, came)
		})),
		"calls by GET": {row: "S1.18", assumed: true, front: func(w http.ResponseWriter, r *http.Request,
			next http.Handler) {
			if r.Method != http.MethodPost && !strings.HasSuffix(r.URL.Path, "/logs") {
				r.Method = http.MethodPost
			}
			next.ServeHTTP(w, r)
		}},
		"the script for those who are logged in": inPlace("S1.19", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/web/login", http.StatusSeeOther)
		}, "/upgrade"),
		"a page in place of the script": inPlace("S1.19", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "<!DOCTYPE html><title>Upgrade</title>")
		}, "/upgrade"),
	}
}
