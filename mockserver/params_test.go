package mockserver_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
)

const (
	formType  = "application/x-www-form-urlencoded"
	multiBody = "--x\r\nContent-Disposition: form-data; name=\"target\"\r\n\r\n8.0\r\n--x--\r\n"
)

// multipartForm makes a multipart body; a name that begins with @ is sent as a file.
func multipartForm(tb testing.TB, namesAndValues ...string) (contentType, body string) {
	tb.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		name, isFile := strings.CutPrefix(namesAndValues[i], "@")
		h := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + name + `"`}}
		if isFile {
			h = textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + name + `"; filename="a.txt"`},
				"Content-Type": {"text/plain"}}
		}
		part, err := w.CreatePart(h)
		if err != nil {
			tb.Fatal(err)
		}
		part.Write([]byte(namesAndValues[i+1]))
	}
	w.Close()
	return w.FormDataContentType(), b.String()
}

// Parameters come in the query, in a form body, in multipart fields, in part here and in part there, with any
// HTTP method (rows 1.1, 1.2).
func TestParameters_anyWay(t *testing.T) {
	t.Parallel()
	all := sample().Encode()
	fields := []string{"contract", "M123456-abcdef", "email", "john.doe@example.com", "target", "8.0", "aim", "test",
		"filename", "db_name.dump"}
	multipartType, multipartBody := multipartForm(t, fields...)
	_, filesBody := multipartForm(t, "@contract", "M123456-abcdef", "email", "john.doe@example.com", "@target", "8.0",
		"aim", "test", "filename", "db_name.dump")
	filesBody = strings.ReplaceAll(filesBody, filesBody[2:strings.Index(filesBody, "\r\n")], "x")

	for name, tc := range map[string]struct {
		query, contentType, body string
	}{
		"query":                    {query: all},
		"query with an empty form": {query: all, contentType: formType},
		"form":                     {contentType: formType, body: all},
		"form with a charset":      {contentType: formType + "; charset=UTF-8", body: all},
		"form, oddly written type": {contentType: "Application/X-WWW-Form-URLencoded;", body: all},
		"multipart":                {contentType: multipartType, body: multipartBody},
		"multipart with files":     {contentType: "multipart/form-data; boundary=x", body: filesBody},
		"multipart ending in a boundary": {
			contentType: "multipart/form-data; boundary=x", body: strings.TrimSuffix(filesBody, "\r\n"),
		},
		"multipart with words around it": {
			contentType: "multipart/form-data; boundary=x", body: "before\r\n" + filesBody + "behind",
		},
		"query and form": {
			query: sample("target", "-", "aim", "-").Encode(), contentType: formType, body: "aim=test&target=8.0",
		},
		"query and multipart": {
			query: sample("target", "-").Encode(), contentType: "multipart/form-data; boundary=x", body: multiBody,
		},
		"query, beside a body of no form":  {query: all, contentType: "application/json", body: `{"target": "5.0"}`},
		"query, beside a body of no type":  {query: all, body: "target=5.0"},
		"query, beside a type of nonsense": {query: all, contentType: "/;=", body: "target=5.0"},
		"unescaped": {
			query: "contract=M123456-abcdef&email=john.doe@example.com&target=8.0&aim=test&filename=db_name.dump",
		},
		"escaped more than needed": {
			query: "contract=M123456%2Dabcdef&email=john%2edoe%40example.com&tar%67et=8%2E0&aim=test&filename=db_name.dump",
		},
		"empty pairs": {query: "&&" + all + "&"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBothWires(t, nil, func(t *testing.T, w *wire) {
				for _, method := range []string{"GET", "POST", "PUT"} {
					header := make(http.Header)
					if tc.contentType != "" {
						header.Set("Content-Type", tc.contentType)
					}
					a := w.send(method, "create?"+tc.query, header, strings.NewReader(tc.body))
					if len(a.Failures) > 0 {
						t.Fatalf("%s: %s", method, a.Body)
					}
					for key, want := range map[string]string{"email": "john.doe@example.com", "target": "8.0", "aim": "test",
						"filename": "db_name.dump"} {
						if got := a.Request[key]; got != want {
							t.Errorf("%s: %s is %v, want %s", method, key, got, want)
						}
					}
				}
			})
		})
	}
}

// A parameter given twice: the body beats the query, the first value of a source wins (row 1.3). The failure
// quotes what was taken.
func TestParameters_givenTwice(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	multipartType, multipartBody := multipartForm(t, "target", "body1", "@target", "body2")
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "&n%d=x", i)
	}
	for name, tc := range map[string]struct {
		query, contentType, body, want string
	}{
		"before many others":    {query: "target=query1" + many.String() + "&target=query2", want: "query1"},
		"behind many others":    {query: many.String() + "&target=query1&target=query2", want: "query1"},
		"query":                 {query: "target=query1&target=query2", want: "query1"},
		"form":                  {contentType: formType, body: "target=body1&target=body2", want: "body1"},
		"form over query":       {query: "target=query1", contentType: formType, body: "target=body1", want: "body1"},
		"multipart":             {contentType: multipartType, body: multipartBody, want: "body1"},
		"multipart over query":  {query: "target=query1", contentType: multipartType, body: multipartBody, want: "body1"},
		"plus is a space":       {query: "target=a+b", want: "a b"},
		"no escape":             {query: "target=100%", want: "100%"},
		"half an escape":        {query: "target=%zz%41+", want: "%zzA "},
		"semicolon is a letter": {query: "target=a;b", want: "a;b"},
		"equals sign":           {query: "target=a==", want: "a=="},
		"not UTF-8":             {query: "target=%ff", want: "\uFFFD"},
		"quotes and angles":     {query: `target=%22%3Ca%26b%3E`, want: `"<a&b>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.with(t)
			a := w.send("POST", "create?"+sample("target", "-").Encode()+"&"+tc.query, http.Header{
				"Content-Type": {tc.contentType}}, strings.NewReader(tc.body))
			if len(a.Failures) != 1 {
				t.Fatalf("wanted one failure: %s", a.Body)
			}
			diff(t, "failure", map[string]any{
				"reason": "TARGET:INVALID", "value": tc.want, "message": `Invalid value "` + tc.want + `"`, "expected": []any{
					"6.0", "6.1", "7.0", "8.0",
				},
			}, a.Failures[0])
		})
	}
	t.Run("an empty value in the body", func(t *testing.T) {
		t.Parallel()
		a := w.with(t).send("POST", "create?"+sample().Encode(), http.Header{"Content-Type": {formType}},
			strings.NewReader("target="))
		diff(t, "reasons", []string{"TARGET:MISSING"}, a.reasons())
	})
}

// Clients send parameters that the page does not know (row 1.4).
func TestParameters_unknownAreIgnored(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create("dbname", "x", "backup", "", "run", "False", "key", "k", "request", "7")
	w.upload(m, []byte("SELECT 1;\n"))
	for _, name := range []string{"status", "process", "request_sftp_access"} {
		w.good(name, m.params("dbname", "x", "target", "nonsense", "contract", "M123456-abcxyz", "ssh_keys",
			publicKey("rsa")))
		if name == "process" {
			w.await(m, "done")
		}
	}
}

// GET, POST, PUT and HEAD answer alike; other HTTP methods do not exist (row 1.5).
func TestHTTPMethods(t *testing.T) {
	t.Parallel()
	onBothWires(t, &mockserver.Options{Edition: mockserver.Edition13}, func(t *testing.T, w *wire) {
		for _, name := range []string{"create", "upload", "request_sftp_access", "process", "status", "skip_test",
			"upgrade"} {
			want := w.send("GET", name, nil, nil)
			if len(want.Failures) == 0 {
				t.Errorf("%s without parameters: %s", name, want.Body)
			}
			for _, method := range []string{"POST", "PUT"} {
				if got := w.send(method, name, nil, nil); got.Body != want.Body || got.Status != want.Status {
					t.Errorf("%s %s: %d %s, want as GET: %s", method, name, got.Status, got.Body, want.Body)
				}
			}
			resp, body := w.do("HEAD", w.base+"/database/v1/"+name, nil, nil)
			if resp.StatusCode != want.Status || len(body) > 0 || resp.ContentLength != int64(len(want.Body)) ||
				resp.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
				t.Errorf("HEAD %s: %s, Content-Length %d, want the head of GET's %d, %d", name, resp.Status, resp.ContentLength,
					want.Status, len(want.Body))
			}
			for _, method := range []string{"DELETE", "PATCH", "OPTIONS", "PROPFIND", "get"} {
				resp, _ := w.do(method, w.base+"/database/v1/"+name, nil, nil)
				if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD, POST, PUT" {
					t.Errorf("%s %s: %s, Allow %q", method, name, resp.Status, resp.Header.Get("Allow"))
				}
			}
		}
	})
}

// Each method answers with a trailing slash, too (row 1.11), without a redirect, which would lose a body;
// nothing else is there.
func TestPaths(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		for _, name := range []string{"create", "upload", "request_sftp_access", "process", "status", "upgrade"} {
			want, got := w.send("POST", name, nil, nil), w.send("POST", name+"/", nil, nil)
			if got.Status != 200 || got.Body != want.Body {
				t.Errorf("%s/: %d %s, want %s", name, got.Status, got.Body, want.Body)
			}
		}
		for _, path := range []string{
			"/database/v1/", "/database/v1", "/database/v1/creat", "/database/v1/create/x", "/database/v1//create",
			"/database//v1/create",
			"/database/v1/Create", "/database/v2/create", "/database/v1/../v1/create", "/database/v1/skip_test", "/create",
		} {
			if resp, _ := w.do("POST", w.base+path, nil, nil); resp.StatusCode != http.StatusNotFound {
				t.Errorf("POST %s: %s, want 404", path, resp.Status)
			}
		}
	})
}

// Application failures have HTTP status 200, or the one that was asked for; answers without failures stay 200
// (row 1.7).
func TestFailureStatus(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ option, want int }{{0, 200}, {422, 422}, {500, 500}} {
		w := onWire(t, &mockserver.Options{FailureStatus: tc.option})
		if a := w.call("create", sample("target", "5.0")); a.Status != tc.want {
			t.Errorf("--failure-status %d: %d", tc.option, a.Status)
		}
		if a := w.call("create", sample()); a.Status != 200 {
			t.Errorf("--failure-status %d, no failure: %d", tc.option, a.Status)
		}
	}
	if _, err := mockserver.New(&mockserver.Options{FailureStatus: 99}); err == nil ||
		!strings.Contains(err.Error(), "99") {
		t.Errorf("failure status 99: %v", err)
	}
}
