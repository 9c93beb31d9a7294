package recording_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/internal/recording"
	"github.com/upgrademock/upgrademock/internal/retrace"
)

// TestWriter_secrets: a key, a token, a password or a private key is not in a recording, wherever it stands.
func TestWriter_secrets(t *testing.T) {
	t.Parallel()
	const key, odd = "i9t-mjvxEPA7YxU5ve_CdA==", "i9t+mjvxEPA7YxU5ve/CdA=="
	const private = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW"
	const base = "https://upgrade.odoo.com"
	status := func(key string) string { return base + "/database/v1/status?request=7&key=" + key }
	created := retrace.Exchange{Method: "GET", URL: base + "/database/v1/create", Status: 200,
		Body: []byte(`{"failures": [], "request": {"id": 7, "key": "` + key + `"}}`)}
	oddly := created
	oddly.Body = []byte(strings.ReplaceAll(string(created.Body), key, odd))
	form := func(mediaType, text string) retrace.Exchange {
		return retrace.Exchange{Method: "POST", URL: base + "/database/v1/process", Type: mediaType, Form: []byte(text),
			Status: 200, Body: []byte(`{"failures": [{"reason": "SSH_KEYS:INVALID", "value": "` + private + `"}]}`)}
	}
	parts := func(head, value string) retrace.Exchange {
		return form("multipart/form-data; boundary=b",
			"--b\r\nContent-Disposition: form-data; "+head+"\r\n\r\n"+value+"\r\n--b--\r\n")
	}
	answer := func(text string) retrace.Exchange {
		return retrace.Exchange{Method: "GET", URL: status(url.QueryEscape(key)), Status: 502, Body: []byte(text)}
	}
	broken := func(text string) retrace.Exchange {
		e := answer(text)
		e.Broken, e.URL = retrace.BrokenClosed, base+"/database/v1/create"
		return e
	}
	located := answer("")
	located.Header = http.Header{"Location": {status(url.QueryEscape(key))}}
	begin := []string{"-----BEGIN OPENSSH PRIVATE KEY-----", private, "-----END OPENSSH PRIVATE KEY-----"}
	get := func(path string) retrace.Exchange { return retrace.Exchange{Method: "GET", URL: base + path} }
	post := func(path, body string) retrace.Exchange {
		return retrace.Exchange{Method: "POST", URL: base + path, Form: []byte(body), Body: []byte(private)}
	}
	in64 := func(text string) string { return base64.RawStdEncoding.EncodeToString([]byte(text)) }
	for name, tc := range map[string]struct {
		first, then retrace.Exchange
		not         string // empty: a part of the key
	}{
		"query":              {then: answer("")},
		"small escapes":      {then: get("/database/v1/status?request=7&key=i9t-mjvxEPA7YxU5ve_CdA%3d%3d")},
		"no padding":         {created, answer("i9t-mjvxEPA7YxU5ve_CdA"), ""},
		"form":               {then: form("application/x-www-form-urlencoded", "key="+key)},
		"parts":              {then: parts(`name="key"`, key)},
		"JSON-RPC":           {then: post("/upgrade/request/status", `{"params": {"token": "`+key+`"}}`)},
		"page":               {then: answer("<p>no request with " + key + "</p>")},
		"redirection":        {then: located},
		"binary answer":      {then: answer("\xff\xfe" + key), not: in64("mjvxEPA7Yx")},
		"base64":             {then: answer("Basic " + in64("7:"+key)), not: in64("7:" + key[:10])[4:]},
		"URL of a file":      {then: get("/database/eu1/7/" + key + "/upgraded/sql")},
		"before it is known": {then: broken(`{"request": {"url": "` + base + `/database/eu1/7/` + key + `/notes`)},
		"cut key":            {then: broken(`{"request": {"key": "i9t-mjvxEPA7Yx`)},
		"cut elsewhere":      {created, broken(`see /i9t-mjvxEPA7Yx`), ""},
		"JSON, escaped":      {oddly, answer(`{"message": "i9t\u002BmjvxEPA7YxU5ve\u002FCdA=="}`), ""},
		"slashes, escaped":   {oddly, answer(`{"message": "i9t+mjvxEPA7YxU5ve\/CdA=="}`), ""},
		"other calls":        {then: post("/web/login?token=hunter2hunter2", "password=hunter2"), not: "hunter2"},
		"password":           {then: form("application/x-www-form-urlencoded", "master_pwd=x1y2"), not: "x1y2"},
		"password in a URL":  {then: get("/database/v1/status?password=x1y2&request=7"), not: "x1y2"},
		"file in a form":     {then: parts(`name="dump"; filename="x"`, "INSERT INTO res_partner"), not: "res_partner"},
		"private key": {then: parts(`name="ssh_keys"; filename="id"`, strings.Join(begin, "\n")),
			not: private[4:]},
		"private key in a URL": {then: post("/database/v1/request_sftp_access?ssh_keys="+
			url.QueryEscape(strings.Join(begin, "\n")), ""), not: private[4:]},
		"private key in JSON-RPC": {then: post("/upgrade/request/create",
			`{"params": {"ssh_key": "`+strings.Join(begin, `\n`)+`"}}`), not: private[4:]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text bytes.Buffer
			w, err := recording.NewWriter(&text, recording.Heading{})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []retrace.Exchange{tc.first, tc.then} {
				if e.Method == "" {
					e = get("/")
				}
				if err := w.Write(&e, "", ""); err != nil {
					t.Fatal(err)
				}
			}
			if not := cmp.Or(tc.not, "mjvxEPA7"); strings.Contains(text.String(), not) {
				t.Errorf("%q is in it:\n%s", not, text.String())
			}
			read, err := recording.Read(&text, retrace.New("", nil))
			if err != nil || read.Entries != 2 {
				t.Errorf("%+v, %v", read, err)
			}
		})
	}
}

// TestWriter_manyKeys: however many requests there are, none of their keys is in it.
func TestWriter_manyKeys(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("there are many keys to hide")
	}
	var text bytes.Buffer
	w, err := recording.NewWriter(&text, recording.Heading{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for i := range 125 { // more than are known at a time
			key := fmt.Sprintf("abcdSECRET%05dxyz", i)
			e := retrace.Exchange{Method: "GET", URL: "https://x/database/v1/status?request=1&key=" + key, Body: []byte(key)}
			if err := w.Write(&e, "", ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	if strings.Contains(text.String(), "SECRET") {
		t.Error("a key is in it")
	}
}
