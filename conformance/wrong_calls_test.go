package conformance_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
)

// wrongCalls are servers whose calls go wrong.
func wrongCalls() map[string]wrong {
	return map[string]wrong{
		// Answers.
		"failures is null where all is well": {"1.6", saboteur{edit: func(_ string, ok bool, answer map[string]any) {
			if ok {
				answer["failures"] = nil
			}
		}}, "create/failures-list upload/failures-list process/failures-list status/failures-list " +
			"sftp-access/failures-list"},
		"failures is an object": {"1.6",
			createFailures(func(list []any) any { return map[string]any{"0": list[0]} }),
			"create/failure-object create/target-invalid"},
		"failures is one text": {"1.6",
			createFailures(func([]any) any { return "TARGET:INVALID" }),
			"create/failure-object create/target-invalid"},
		"failures are texts": {"1.9", createFailures(func(list []any) any {
			var texts []any
			for _, f := range list {
				texts = append(texts, f.(map[string]any)["reason"])
			}
			return texts
		}), "create/failure-object create/target-invalid create/all-problems"},
		"failures without a message": {"1.9",
			eachFailure(func(m map[string]any) { delete(m, "message") }),
			"create/failure-object create/target-invalid"},
		"failures without a reason": {"1.9",
			eachFailure(func(m map[string]any) { delete(m, "reason") }),
			"create/failure-object create/target-invalid create/contract-unknown"},
		"reasons by another name": {"1.9",
			eachFailure(func(m map[string]any) { m["code"], m["reason"] = m["reason"], "ERROR" }),
			"create/target-invalid create/contract-unknown"},
		"the message is a list": {"1.9",
			eachFailure(func(m map[string]any) { m["message"] = []any{m["message"]} }),
			"create/failure-object"},
		"only the first failure": {"1.8",
			createFailures(func(list []any) any { return list[:1] }),
			"create/all-problems create/all-problems-counted"},
		"only the last failure": {"1.8",
			createFailures(func(list []any) any { return list[len(list)-1:] }),
			"create/all-problems create/all-problems-counted"},
		"an answer in an envelope": {"7 order",
			rewritten("status", func(body []byte) []byte {
				return []byte(`{"jsonrpc":"2.0","result":` + string(body) + `}`)
			}),
			"status/answer status/failures-list"},
		"an answer in a list": {"1.6",
			rewritten("upload", func(body []byte) []byte { return []byte("[" + string(body) + "]") }),
			"upload/answer"},
		"an answer behind a mark": {"1.6",
			rewritten("status", func(body []byte) []byte { return append([]byte("\xef\xbb\xbf"), body...) }),
			"status/answer"},
		"an answer that is cut": {"1.6",
			rewritten("status", func(body []byte) []byte { return body[:len(body)-2] }),
			"status/answer"},
		"something behind the answer": {"1.6",
			rewritten("process", func(body []byte) []byte { return append(body, "<!-- 3 ms -->"...) }),
			"process/answer"},
		"an empty answer to upload": {"4.6",
			rewritten("upload", func([]byte) []byte { return nil }),
			"upload/answer upload/failures-list"},
		"OK as the answer to upload": {"4.6",
			rewritten("upload", func([]byte) []byte { return []byte("OK") }),
			"upload/answer"},
		"text that is not UTF-8": {"7 filename",
			rewritten("create", func(body []byte) []byte {
				return bytes.ReplaceAll(body, []byte("é"), []byte("\xe9"))
			}),
			"create/filename-any-script"},
		"a success with HTTP 500": {"1.6",
			saboteur{front: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				rec := httptest.NewRecorder()
				next.ServeHTTP(rec, r)
				if strings.HasSuffix(r.URL.Path, "/process") {
					rec.Code = 500
				}
				sends(w, rec.Code, rec.Body.Bytes())
			}}, "answers/success-status process/answer"},

		// Parameters.
		"GET never has a body": {"1.2", inTesting(before("", func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == "GET" {
				r.Body = http.NoBody
			}
			return false
		})), "create/get-body status/get-body process/get-body sftp-access/keys-get-body skip-test/get-body"},
		"GET with a body is refused": {"1.2", before("", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "GET" && r.ContentLength > 0 {
				http.Error(w, "no", http.StatusBadRequest)
				return true
			}
			return false
		}), "create/get-body status/get-body process/get-body sftp-access/keys-get-body"},
		"GET only asks": {"1.2", before("create", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == "GET" {
				http.Error(w, "no", http.StatusMethodNotAllowed)
			}
			return r.Method == "GET"
		}), "create/query create/get-body"},
		"POST has no query": {"1.2", before("status", func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == "POST" {
				r.URL.RawQuery = ""
			}
			return false
		}), "status/post-query"},
		"no multipart": {"1.1", before("", func(w http.ResponseWriter, r *http.Request) bool {
			no := strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") &&
				!strings.HasSuffix(r.URL.Path, "/upload")
			if no {
				http.Error(w, "no", http.StatusUnsupportedMediaType)
			}
			return no
		}), "create/multipart status/multipart process/multipart params/query-and-multipart sftp-access/answer"},
		"JSON only": {"1.1", before("", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
				r.Header.Set("Content-Type", "text/plain")
			}
			return false
		}), "create/form status/form process/form params/query-and-form sftp-access/keys-form"},
		"an extra parameter is refused": {"1.4", before("", func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has("dbname") {
				io.WriteString(w, `{"failures": [{"reason": "PARAMETER:UNKNOWN", "message": "dbname"}]}`)
			}
			return r.URL.Query().Has("dbname")
		}), "params/extra-ignored params/extra-ignored-upload upgrade/answer"},
		"a + is not a blank": {"1.1", before("create", func(_ http.ResponseWriter, r *http.Request) bool {
			r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "+", "%2B")
			return false
		}), "params/escapes"},

		// create.
		"accepts 9.0": {"2 TARGET:INVALID", saboteur{mutations: []string{"accepts 9.0"}}, "create/target-exact"},
		"expected is a text": {"2 TARGET:INVALID", eachFailure(func(m map[string]any) {
			if m["expected"] != nil {
				m["expected"] = "6.0, 6.1, 7.0, 8.0"
			}
		}), "create/target-expected create/failure-object"},
		"expected has numbers": {"2 TARGET:INVALID", eachFailure(func(m map[string]any) {
			if m["expected"] != nil {
				m["expected"] = []any{6.1, 7.1, 8.1}
			}
		}), "create/target-expected"},
		"expected leaves 6.1 out": {"3.2", eachFailure(func(m map[string]any) {
			if m["expected"] != nil {
				m["expected"] = []any{"6.0", "7.0", "8.0"}
			}
		}), "create/target-expected"},
		"expected lists more than is valid": {"2 TARGET:INVALID", eachFailure(func(m map[string]any) {
			if list, ok := m["expected"].([]any); ok {
				m["expected"] = append(slices.Clone(list), "9.0")
			}
		}), "create/targets"},
		"the value is not named": {"2 TARGET:INVALID",
			eachFailure(func(m map[string]any) { delete(m, "value") }),
			"create/target-invalid"},
		"the value is a number": {"2 TARGET:INVALID",
			eachFailure(func(m map[string]any) { m["value"] = 5.0 }),
			"create/target-invalid"},
		"the code is not named": {"2 CONTRACT:NOT_FOUND",
			eachFailure(func(m map[string]any) { delete(m, "code") }),
			"create/contract-unknown"},
		"messages of its own": {"2 CONTRACT:NOT_FOUND",
			eachFailure(func(m map[string]any) { m["message"] = "wrong" }),
			"create/contract-unknown create/target-invalid"},
		"missing ones are one": {"1.8",
			saboteur{mutations: []string{"create/all-problems-counted", "status/all-problems"}},
			"create/all-problems-counted status/all-problems"},
		"missing ones come alone": {"1.8",
			saboteur{mutations: []string{"invalid only when nothing is missing"}},
			"create/all-problems-counted upgrade/all-problems"},
		"keys in hexadecimal": {"3.10", saboteur{mutations: []string{"key in hexadecimal"}}, "create/key-form"},
		"keys of 15 bytes":    {"3.10", saboteur{mutations: []string{"key of 15 bytes"}}, "create/key-form"},
		"keys made of the id": {"3.10",
			saboteur{mutations: []string{"key made of the id"}},
			"create/key-unguessable"},
		"create only says id and key": {"3.8", saboteur{edit: onRequest(func(method string, m map[string]any) {
			if method == "create" {
				maps.DeleteFunc(m, func(k string, _ any) bool { return k != "id" && k != "key" })
			}
		})}, "create/all-keys create/state-draft create/echo"},
		"create answers what a later status has": {"3.8",
			saboteur{edit: set("issue_stage", "draft", "create")},
			"create/same-as-status create/stage-new"},

		// upload.
		"no chunks": {"4.3", before("upload", func(w http.ResponseWriter, r *http.Request) bool {
			if r.ContentLength < 0 {
				http.Error(w, "no", http.StatusLengthRequired)
			}
			return r.ContentLength < 0
		}), "upload/chunked"},
		"chunks are nothing": {"4.3", before("upload", func(_ http.ResponseWriter, r *http.Request) bool {
			if r.ContentLength < 0 {
				r.Body, r.ContentLength = http.NoBody, 0
			}
			return false
		}), "upload/chunked"},
		"no 100-continue": {"4.3", before("upload", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Expect") != "" {
				http.Error(w, "no", http.StatusExpectationFailed)
			}
			return r.Header.Get("Expect") != ""
		}), "upload/expect-continue"},
		"no HTTP/1.0": {"4.3", before("upload", func(w http.ResponseWriter, r *http.Request) bool {
			if r.ProtoMinor == 0 {
				http.Error(w, "no", http.StatusHTTPVersionNotSupported)
			}
			return r.ProtoMinor == 0
		}), "upload/http-1.0"},
		"a type is required": {"4.2", before("upload", func(w http.ResponseWriter, r *http.Request) bool {
			no := r.Header.Get("Content-Type") != "application/octet-stream"
			if no {
				http.Error(w, "no", http.StatusUnsupportedMediaType)
			}
			return no
		}), "upload/no-type upload/form-type upload/odd-type upload/json-type upload/multipart-type upload/wrapped"},
		"the dump is decoded as text": {"4.1",
			uploads(func(b []byte) []byte { return []byte(strings.ToValidUTF8(string(b), "\uFFFD")) }),
			"upload/bytes upload/custom-format"},
		"the dump ends at a NUL": {"4.1",
			uploads(func(b []byte) []byte { b, _, _ = bytes.Cut(b, []byte{0}); return b }),
			"upload/bytes upload/first-and-last-bytes upload/custom-format"},
		"line ends are changed": {"4.1",
			uploads(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }),
			"upload/line-ends"},
		"a line end is added": {"4.1",
			uploads(func(b []byte) []byte { return append(b, '\n') }),
			"upload/bytes upload/no-last-line-end upload/custom-format"},
		"a byte order mark is cut off": {"4.1",
			uploads(func(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\uFEFF")) }),
			"upload/wrapped"},
		"base64 is decoded": {"4.1",
			uploads(func(b []byte) []byte {
				if decoded, err := base64.StdEncoding.DecodeString(string(b)); err == nil {
					return decoded
				}
				return b
			}),
			"upload/wrapped"},
		"the dump is unescaped": {"4.2",
			uploads(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("%41"), []byte("A")) }),
			"upload/form-looking"},
		"the dump is cut at 100 KB": {"4.1",
			uploads(func(b []byte) []byte { return b[:min(len(b), 100<<10)] }),
			"upload/chunked"},
		"the dump is unwrapped": {"4.2",
			saboteur{mutations: []string{"upload/wrapped", "upgrade/multipart-body"}},
			"upload/wrapped upgrade/multipart-body"},
		"parameters in the body only": {"4.1",
			before("upload", func(_ http.ResponseWriter, r *http.Request) bool {
				r.URL.RawQuery = ""
				return false
			}),
			"upload/answer"},
	}
}
