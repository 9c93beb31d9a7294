package mockserver_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// TestKeys_journal holds that the journal and the log show no key, wherever a client puts it.
func TestKeys_journal(t *testing.T) {
	t.Parallel()
	var log, lines safeBuffer
	w := onWire(t, &mockserver.Options{
		DataDir: t.TempDir(), JournalWriter: &lines,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	m := w.create()
	key, escaped := m.key, url.QueryEscape(m.key)
	bare := strings.TrimRight(key, "=")
	var twice strings.Builder
	for i := range len(key) {
		fmt.Fprintf(&twice, "%%25%02X", key[i])
	}
	for _, call := range []struct {
		method, path string
		header       http.Header
		body         string
	}{
		{"GET", "/database/v1/status?request=%d&key=" + escaped, nil, ""},
		{"GET", "/database/v1/status?request=%d&KEY=" + escaped, nil, ""},
		{"GET", "/database/v1/status?request=%d&key[]=" + escaped, nil, ""},
		{"GET", "/database/v1/status?request=%d&token=" + escaped, nil, ""},
		{"GET", "/database/v1/status?request=%d;key=" + key, nil, ""},
		{"GET", "/database/v1/status?request=" + bare, nil, ""},
		{"GET", "/database/v1/status?" + escaped, nil, ""},
		{"GET", "/database/v1/status?x=" + twice.String(), nil, ""},
		{"GET", "/database/v1/status?x=" + strings.Repeat("x", 190) + "-" + escaped, nil, ""},
		{"GET", "/database/v1/status?request=%d&contract=" + escaped, nil, ""},
		{"GET", "/database/v1/stat/%d/" + key, nil, ""},
		{"GET", "/database/v1/" + bare + "/" + strings.Repeat("x", 390), nil, ""},
		{"GET", "/database/v1/status/" + twice.String(), nil, ""},
		{"GET", "/database/us1/%d/" + key + "/status", nil, ""},
		{"GET", "/database/eu1/%d/" + key + "/upgraded/archiv", nil, ""},
		{"GET", "/database/eu1/%d/" + key + "/status", nil, ""},
		{"GET", "/database/eu1/1/" + key + "x/status", nil, ""},
		{"GET", "/database/v1/status", http.Header{"User-Agent": {"client/1 " + key}}, ""},
		{"GET", "/database/v1/status", http.Header{"User-Agent": {strings.Repeat("x", 190) + " " + key}}, ""},
		{
			"POST", "/database/v1/process", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			`{"request": %d, "key": "` + key + `"}`,
		},
		{
			"POST", "/database/v1/create", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			"contract=" + escaped + "&email=" + escaped + "&filename=" + escaped,
		},
		{"KEY" + bare, "/database/v1/status", nil, ""},
	} {
		path := strings.Replace(call.path, "%d", fmt.Sprint(m.id), 1)
		body := strings.Replace(call.body, "%d", fmt.Sprint(m.id), 1)
		w.do(call.method, w.base+path, call.header, strings.NewReader(body))
	}
	// A server that finds its requests in the data directory knows their keys, too; and what a foreign key
	// looks like.
	foreign := "B7-xR2mVq_9LwZt3Ks0YhQ=="
	w.do("GET", w.base+"/database/v1/status?a="+url.QueryEscape(foreign)+"&token=abcdefgh", nil, nil)
	events, err := json.Marshal(w.srv.Events(journal.Filter{}))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(w.srv.Events(journal.Filter{On: "status"})); n < 10 {
		t.Fatalf("%d events of status: the calls did not come in", n)
	}
	for name, text := range map[string]string{"journal": string(events), "journal file": lines.String(),
		"log": log.String()} {
		plain := text
		for range 3 { // escapes are undone
			if p, err := url.PathUnescape(strings.ReplaceAll(plain, "%!", "")); err == nil {
				plain = p
			}
		}
		for _, secret := range []string{key[:16], foreign[:16], "abcdefgh"} {
			for _, text := range []string{text, plain} {
				if at := strings.Index(text, secret); at >= 0 {
					t.Errorf("the %s shows a key: …%s…", name, text[max(0, at-100):min(len(text), at+60)])
				}
			}
		}
	}
}

// TestKeys_afterARestart holds that the keys of requests that were kept are known.
func TestKeys_afterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := mockserver.New(&mockserver.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	direct(t, first, "POST", "/database/v1/create?"+sample().Encode(), "", nil)
	key := first.Requests()[0].Key
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := mockserver.New(&mockserver.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	direct(t, second, "GET", "/database/v1/status?x="+strings.TrimRight(key, "="), "", nil)
	diff(t, "what the journal shows", map[string]string{"x": key[:4] + "…"}, second.Events(journal.Filter{})[0].Params)
}

// TestLog_verbose holds that the log at level debug has every event: the call's path, state and fault, and
// all of SFTP.
func TestLog_verbose(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	w := onWire(t, &mockserver.Options{
		Scenarios: scripted(t, "name: one\nfaults: [{on: status, skip: 1, times: 1, reset: true}]\n"),
		Logger:    slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	m := w.create()
	w.grant(m, "ed25519")
	c := w.login(m, "ed25519")
	f, err := c.Create("/db_name.dump")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	w.status(m)
	await := func(on string, n int) { // a client may be done before its call is
		t.Helper()
		for after := uint64(0); n > 0; n-- {
			e, err := w.srv.Await(t.Context(), journal.Filter{On: on, After: after})
			if err != nil {
				t.Fatal(err)
			}
			after = e.Seq
		}
	}
	await("status", 1)
	if resp, err := w.http.Post(w.base+"/database/v1/status?"+m.params().Encode(), "", nil); err == nil {
		resp.Body.Close()
		t.Errorf("the call was not reset: %s", resp.Status)
	}
	await("status", 2)
	w.good("process", m.params())
	await("sftp.put", 1)
	await("process", 1)
	for _, want := range []string{
		fmt.Sprintf("on=create method=GET path=/database/v1/create request=%d contract=M123456-abcdef status=200 state=draft",
			m.id),
		"on=sftp.login session=1 ", fmt.Sprintf("on=sftp.put session=1 path=/db_name.dump request=%d", m.id),
		`written="[{From:0 To:5}]"`,
		`fault="faults[0]: status reset" fired.at=0 fired.received=0 fired.sent=0`,
		"on=state ", "from=draft to=pending",
	} {
		if !bytes.Contains([]byte(log.String()), []byte(want)) {
			t.Errorf("the log does not have %q:\n%s", want, log.String())
		}
	}
}

// TestPrivateKeys holds that neither an answer nor the journal nor the log has anything of a private key,
// wherever a client puts it.
func TestPrivateKeys(t *testing.T) {
	t.Parallel()
	var log, lines safeBuffer
	w := onWire(t, &mockserver.Options{
		JournalWriter: &lines, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	m := w.create()
	signer, err := gossh.ParsePrivateKey(fixtures.Key("ecdsa"))
	if err != nil {
		t.Fatal(err)
	}
	private := string(fixtures.Key("ed25519"))
	body := strings.Join(strings.Split(strings.TrimSpace(private), "\n")[1:6], "")
	shown := ""
	for _, text := range []string{
		private, strings.ReplaceAll(private, "\n", " "), strings.ReplaceAll(private, "\n", "%0A"),
		"> " + strings.ReplaceAll(private, "\n", "\n> "),
		base64.StdEncoding.EncodeToString([]byte(private)), body, body[:100], body[100:],
	} {
		for _, name := range []string{"ssh_keys", "ssh_key", "SSH_KEYS", "contract", "x"} {
			shown += w.call("request_sftp_access", m.params(name, text)).Body
		}
		header := http.Header{"Content-Type": {formType}}
		// as a form that is none
		shown += w.send("POST", "request_sftp_access?"+m.params().Encode(), header, strings.NewReader(text)).Body
		header = http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}
		shown += w.send("POST", "request_sftp_access?"+m.params().Encode(), header,
			strings.NewReader("--x\r\n"+text+"\r\n--x--\r\n")).Body
		contentType, form := multipartForm(t, "@ssh_keys", publicKey("ecdsa")+text)
		shown += w.send("POST", "request_sftp_access?"+m.params().Encode(), http.Header{"Content-Type": {contentType}},
			strings.NewReader(form)).Body
		w.do("GET", w.base+"/database/v1/"+url.PathEscape(text), http.Header{
			"User-Agent": {strings.ReplaceAll(text, "\n", " ")}}, nil)
		for _, config := range []*gossh.ClientConfig{
			{User: text, Auth: []gossh.AuthMethod{gossh.PublicKeys(signer)}},
			{User: m.user(), Auth: []gossh.AuthMethod{gossh.Password(text)}},
		} {
			config.HostKeyCallback = gossh.InsecureIgnoreHostKey()
			if conn, err := gossh.Dial("tcp", w.sftpAddr, config); err == nil {
				conn.Close()
				t.Error("a login with nonsense succeeded")
			}
		}
	}
	events, err := json.Marshal(w.srv.Events(journal.Filter{}))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"an answer": shown, "the journal": string(events),
		"the journal file": lines.String(), "the log": log.String()} {
		if len(text) == 0 {
			t.Errorf("%s is empty", name)
		}
		text = strings.NewReplacer("\\n", "", "> ", "", "%0A", "").Replace(text)
		for _, secret := range []string{body, base64.StdEncoding.EncodeToString([]byte(private))} {
			for at := 0; at+10 <= len(secret); at++ {
				part := secret[at : at+10]
				if i := strings.Index(text, part); i >= 0 && !strings.Contains(publicKey("ed25519"), part) {
					t.Fatalf("%s has %q of a private key: …%s…", name, part, text[max(0, i-200):min(len(text), i+60)])
				}
			}
		}
	}
}
