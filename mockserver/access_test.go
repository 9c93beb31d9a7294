package mockserver_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
)

// ssh_keys comes as a multipart file, a multipart field, a form field or in the query, key and request beside
// it or in the query (row 5.1), and what it says opens the share (row 5.2).
func TestSFTPAccess_waysOfKeys(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		m := w.create()
		w.upload(m, []byte("SELECT 1;\n"))
		id := m.params().Get("request")
		everything := m.params("ssh_keys", publicKey("ed25519"))
		fileType, fileBody := multipartForm(t, "@ssh_keys", publicKey("ed25519"))
		fieldType, fieldBody := multipartForm(t, "ssh_keys", publicKey("ed25519"))
		allType, allBody := multipartForm(t, "request", id, "key", m.key, "@ssh_keys", publicKey("ed25519"))
		for name, tc := range map[string]struct {
			query             url.Values
			contentType, body string
		}{
			"multipart file":                  {m.params(), fileType, fileBody},
			"multipart field":                 {m.params(), fieldType, fieldBody},
			"multipart with key and request":  {nil, allType, allBody},
			"form":                            {m.params(), formType, pairs("ssh_keys", publicKey("ed25519")).Encode()},
			"form with key and request":       {nil, formType, everything.Encode()},
			"query":                           {everything, "", ""},
			"query, with the key as a script": {nil, "", ""},
		} {
			query := tc.query.Encode()
			if strings.HasSuffix(name, "script") { // spaces escaped, and nothing else
				query = "key=" + m.key + "&request=" + id + "&ssh_keys=" + strings.ReplaceAll(strings.ReplaceAll(publicKey("ecdsa"),
					" ", "%20"), "+", "%2B")
				query = strings.TrimSpace(query)
			}
			for _, method := range []string{"POST", "GET"} {
				a := w.send(method, "request_sftp_access?"+query, http.Header{"Content-Type": {tc.contentType}},
					strings.NewReader(tc.body))
				if len(a.Failures) > 0 {
					t.Fatalf("%s, %s: %s", name, method, a.Body)
				}
			}
			key := "ed25519"
			if strings.HasSuffix(name, "script") {
				key = "ecdsa"
			}
			if _, err := w.login(m, key).Stat("/db_name.dump"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// What an authorized_keys file may look like, and who gets in with it (row 5.2).
func TestSFTPAccess_files(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	rsa, ecdsa, ed := strings.TrimSpace(publicKey("rsa")), strings.TrimSpace(publicKey("ecdsa")),
		strings.TrimSpace(publicKey("ed25519"))
	bare := strings.Join(strings.Fields(ed)[:2], " ")
	for name, tc := range map[string]struct {
		file string
		in   []string
	}{
		"rsa":                    {rsa, []string{"rsa"}},
		"ecdsa":                  {ecdsa, []string{"ecdsa"}},
		"ed25519":                {ed, []string{"ed25519"}},
		"all three":              {rsa + "\n" + ecdsa + "\n" + ed + "\n", []string{"rsa", "ecdsa", "ed25519"}},
		"no last line end":       {ecdsa + "\n" + ed, []string{"ecdsa", "ed25519"}},
		"CRLF":                   {rsa + "\r\n\r\n# x\r\n" + ed + "\r\n", []string{"rsa", "ed25519"}},
		"comments and blanks":    {"# my keys\n\n   \n\t# more\n  " + ed + "  \n#" + rsa + "\n", []string{"ed25519"}},
		"no comment behind":      {bare, []string{"ed25519"}},
		"a long comment behind":  {bare + " john doe <john@example.com> # laptop", []string{"ed25519"}},
		"options in front":       {`no-pty,command="echo hi there" ` + ed, []string{"ed25519"}},
		"the same key twice":     {ed + "\n" + ed + "\n", []string{"ed25519"}},
		"byte order mark":        {"\uFEFF" + ed, []string{"ed25519"}},
		"tabs between the parts": {strings.ReplaceAll(bare, " ", "\t"), []string{"ed25519"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.with(t)
			m := w.create()
			w.good("request_sftp_access", m.params("ssh_keys", tc.file))
			for _, key := range []string{"rsa", "ecdsa", "ed25519", "foreign"} {
				wanted := strings.Contains(strings.Join(tc.in, " ")+" ", key+" ")
				if _, err := w.dial(m, key); (err == nil) != wanted {
					t.Errorf("%s: %v, wanted in: %v", key, err, wanted)
				}
			}
		})
	}
}

// Every line that is no key is reported, with its number and the beginning of what it says (docs/fidelity.md,
// section 2).
func TestSFTPAccess_badKeys(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	ed := publicKey("ed25519")
	type bad struct {
		Line  float64
		Value string
	}
	for name, tc := range map[string]struct {
		file string
		want []bad
	}{
		"nonsense":              {"nonsense", []bad{{1, "nonsense"}}},
		"behind good ones":      {ed + "\n# x\n" + ed + "ssh-rsa AAAA\n", []bad{{5, "ssh-rsa AAAA"}}},
		"several":               {"a\n" + ed + "b\r\n\n c ", []bad{{1, "a"}, {3, "b"}, {5, "c"}}},
		"comments alone":        {"# nothing\n\n# here\n", []bad{{1, "# nothing"}}},
		"long line":             {strings.Repeat("é", 100), []bad{{1, strings.Repeat("é", 80)}}},
		"exactly 80 characters": {strings.Repeat("x", 80), []bad{{1, strings.Repeat("x", 80)}}},
		"private key":           {string(fixtures.Key("ed25519")), []bad{{1, "-----BEGIN OPENSSH PRIVATE KEY-----"}}},
		"private key in one line": {
			strings.ReplaceAll(string(fixtures.Key("ecdsa")), "\n", " "), []bad{{1, "-----BEGIN OPENSSH PRIVATE KEY-----"}},
		},
		"cut in the middle": {ed[:50], []bad{{1, ed[:50]}}},
		"DSA":               {"ssh-dss " + dsaBlob, []bad{{1, ("ssh-dss " + dsaBlob)[:80]}}},
		"PuTTY's":           {"---- BEGIN SSH2 PUBLIC KEY ----\n", []bad{{1, "---- BEGIN SSH2 PUBLIC KEY ----"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := w.with(t).call("request_sftp_access", m.params("ssh_keys", tc.file))
			var got []bad
			for _, f := range a.Failures {
				if f["reason"] != "SSH_KEYS:INVALID" {
					t.Errorf("reason %v", f["reason"])
				}
				line, _ := f["line"].(float64)
				value, _ := f["value"].(string)
				got = append(got, bad{line, value})
				if !strings.Contains(f["message"].(string), fmt.Sprintf("line %d ", int(line))) {
					t.Errorf("message %q does not name the line", f["message"])
				}
			}
			diff(t, "lines", tc.want, got)
			for _, secret := range []string{"ed25519", "ecdsa"} {
				for line := range strings.Lines(string(fixtures.Key(secret))) {
					if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-") && strings.Contains(a.Body, line) {
						t.Errorf("the answer quotes a private key: %s", a.Body)
					}
				}
			}
		})
	}
	for _, empty := range []string{"", " \n\t\r\n"} {
		diff(t, "empty", []string{"SSH_KEYS:MISSING"}, w.call("request_sftp_access", m.params("ssh_keys", empty)).reasons())
	}
	// What is wrong with the keys is told together with what is wrong with the rest (row 1.8).
	diff(t, "all at once", []string{"KEY:MISSING", "REQUEST:MISSING", "SSH_KEYS:INVALID"},
		w.call("request_sftp_access", pairs("ssh_keys", "nonsense")).reasons())
	// Nothing of a call that failed is in force.
	w.call("request_sftp_access", m.params("ssh_keys", ed+"nonsense"))
	if _, err := w.dial(m, "ed25519"); err == nil {
		t.Error("a key of a refused call opens the share")
	}
}

// dsaBlob is a public key of a type that nobody uses any more, p = 23.
const dsaBlob = "AAAAB3NzaC1kc3MAAAABFwAAAAELAAAAAQQAAAABCSAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"

// The answer has what a client needs to log in (rows 5.4 to 5.6).
func TestSFTPAccess_answer(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		m := w.create("filename", "openchs.70.cdump")
		a := w.grant(m, "ed25519")
		host, digits, err := net.SplitHostPort(w.sftpAddr)
		if err != nil {
			t.Fatal(err)
		}
		port, _ := strconv.ParseFloat(digits, 64)
		diff(t, "request", map[string]any{
			"hostname": host, "sftp_port": port, "sftp_user": m.user(), "shared_file": "openchs.70.cdump",
			"request_id": float64(m.id), "sample_command": "sftp -P " + digits + " " + m.user() + "@" + host,
		}, a.Request)
	})
	t.Run("under another name", func(t *testing.T) {
		t.Parallel()
		w := onWire(t, &mockserver.Options{SFTPHostname: "sftp.example.com"})
		a := w.grant(w.create(), "ed25519")
		if a.Request["hostname"] != "sftp.example.com" || !strings.HasSuffix(a.Request["sample_command"].(string),
			"@sftp.example.com") {
			t.Error(a.Body)
		}
	})
	t.Run("under the name by which we were called", func(t *testing.T) {
		t.Parallel()
		w := onWire(t, nil)
		_, port, _ := net.SplitHostPort(w.host())
		w.base = "http://localhost:" + port
		if a := w.grant(w.create(), "ed25519"); a.Request["hostname"] != "localhost" {
			t.Error(a.Body)
		}
	})
	t.Run("IPv6", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Skipf("this machine has no IPv6 loopback: %v", err)
		}
		l.Close()
		w := onWire(t, &mockserver.Options{HTTPAddr: "[::1]:0", SFTPAddr: "[::1]:0"})
		a := w.grant(w.create(), "ed25519")
		_, port, _ := net.SplitHostPort(w.sftpAddr)
		if a.Request["hostname"] != "::1" || a.Request["sample_command"] != "sftp -P "+port+" user_10534@[::1]" {
			t.Error(a.Body)
		}
	})
	t.Run("no SFTP server", func(t *testing.T) {
		t.Parallel()
		w := onWire(t, &mockserver.Options{SFTPAddr: mockserver.Off})
		a := w.call("request_sftp_access", w.create().params("ssh_keys", publicKey("rsa")))
		diff(t, "reasons", []string{"SERVER:ERROR"}, a.reasons())
	})
}

// The port is 2200 unless a flag says otherwise, which is the command's business; here is that it can be chosen
// (row 5.8).
func TestSFTPAccess_port(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	if w := onWire(t, &mockserver.Options{SFTPAddr: addr}); w.sftpAddr != addr {
		t.Errorf("the SFTP server listens on %s, not on %s", w.sftpAddr, addr)
	}
}

// A second call replaces the keys (row 5.7); a key of one request opens no other's share; only public keys open
// anything (row 5.10).
func TestSFTPAccess_logins(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m, other, none := w.create(), w.create(), w.create()
	w.grant(m, "rsa")
	w.grant(other, "ecdsa")
	early := w.login(m, "rsa")
	w.grant(m, "ed25519")

	for _, tc := range []struct {
		who made
		key string
		in  bool
	}{
		{m, "ed25519", true}, {m, "rsa", false}, {m, "ecdsa", false}, {m, "foreign", false},
		{other, "ecdsa", true}, {other, "ed25519", false}, {none, "ed25519", false}, {none, "rsa", false},
		{made{id: 1}, "ed25519", false}, {made{id: -m.id}, "ed25519", false},
	} {
		if _, err := w.dial(tc.who, tc.key); (err == nil) != tc.in {
			t.Errorf("%s with %s: %v, wanted in: %v", tc.who.user(), tc.key, err, tc.in)
		}
	}
	if _, err := early.Stat("/db_name.dump"); err != nil {
		t.Errorf("a session that was open before the keys were replaced: %v", err)
	}
	for name, auth := range map[string][]gossh.AuthMethod{
		"nothing":  nil,
		"password": {gossh.Password(m.key)},
		"questions": {gossh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
			return make([]string, len(questions)), nil
		})},
	} {
		conn, err := gossh.Dial("tcp", w.sftpAddr, &gossh.ClientConfig{User: m.user(), Auth: auth,
			HostKeyCallback: gossh.InsecureIgnoreHostKey()})
		if err == nil {
			conn.Close()
			t.Errorf("login with %s", name)
		}
	}
}

// The SSH host key is ECDSA P-256 and the one that known_hosts names (row 5.9).
func TestSFTPAccess_hostKey(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	var shown gossh.PublicKey
	_, err := gossh.Dial("tcp", w.sftpAddr, &gossh.ClientConfig{
		User: "x", HostKeyCallback: func(_ string, _ net.Addr, key gossh.PublicKey) error {
			shown = key
			return nil
		}})
	if err == nil || shown == nil {
		t.Fatalf("login as x: %v", err)
	}
	if shown.Type() != "ecdsa-sha2-nistp256" || !bytes.Equal(shown.Marshal(), w.srv.HostKeys()[0].Marshal()) {
		t.Errorf("host key of type %s", shown.Type())
	}
}

// A server with host keys of several types shows each client the one that it knows, and known_hosts names all;
// a client that pins any of them notices another one (row 5.9).
func TestSFTPAccess_hostKeys(t *testing.T) {
	t.Parallel()
	opts := mockserver.Options{Scenarios: scripted(t,
		"name: other\nfaults: [{on: sftp.login, skip: 4, hostkey: changed}]\n")}
	for _, name := range []string{"rsa", "ed25519", "ecdsa"} {
		key, err := gossh.ParsePrivateKey(fixtures.Key(name))
		if err != nil {
			t.Fatal(err)
		}
		opts.SFTPHostKeys = append(opts.SFTPHostKeys, key)
	}
	w := onWire(t, &opts)
	m := w.create()
	w.grant(m, "ed25519")
	if got := bytes.Count(readFile(t, w.knownHosts), []byte("\n")); got != 3 {
		t.Errorf("known_hosts has %d lines, want 3", got)
	}
	known, err := knownhosts.New(w.knownHosts)
	if err != nil {
		t.Fatal(err)
	}
	login := func(algorithm string) error {
		c, err := gossh.Dial("tcp", w.sftpAddr, &gossh.ClientConfig{
			User: m.user(), Auth: []gossh.AuthMethod{gossh.PublicKeys(opts.SFTPHostKeys[1])}, HostKeyCallback: known,
			HostKeyAlgorithms: []string{algorithm},
		})
		if err == nil {
			c.Close()
		}
		return err
	}
	// phpseclib 2 knows the last alone
	algorithms := []string{gossh.KeyAlgoECDSA256, gossh.KeyAlgoED25519, gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSA}
	for _, algorithm := range algorithms {
		if err := login(algorithm); err != nil {
			t.Errorf("a client that knows only %s: %v", algorithm, err)
		}
	}
	for _, algorithm := range algorithms {
		if err := login(algorithm); err == nil || !strings.Contains(err.Error(), "key mismatch") {
			t.Errorf("a client that knows only %s, when the keys have changed: %v", algorithm, err)
		}
	}
}

// The access is temporary: it ends with its time, with the state it was for, and its open sessions end with it
// (rows 5.3, 5.18).
func TestSFTPAccess_ends(t *testing.T) {
	t.Parallel()
	t.Run("time", func(t *testing.T) {
		t.Parallel()
		clock := new(mockserver.ManualClock)
		w := onWire(t, &mockserver.Options{Clock: clock})
		m := w.create()
		w.grant(m, "rsa")
		clock.Advance(24*time.Hour - time.Second)
		session := w.login(m, "rsa")
		clock.Advance(time.Second)
		if _, err := w.dial(m, "rsa"); err == nil {
			t.Error("login after 24 hours")
		}
		if _, err := session.Stat("/db_name.dump"); err == nil {
			t.Error("an open session goes on after 24 hours")
		}
		w.grant(m, "rsa")
		w.login(m, "rsa")
	})
	t.Run("chosen time", func(t *testing.T) {
		t.Parallel()
		clock := new(mockserver.ManualClock)
		w := onWire(t, &mockserver.Options{Clock: clock, SFTPAccessTTL: time.Minute})
		m := w.create()
		w.grant(m, "rsa")
		clock.Advance(59 * time.Second)
		w.login(m, "rsa")
		clock.Advance(time.Second)
		if _, err := w.dial(m, "rsa"); err == nil {
			t.Error("login after a minute")
		}
	})
	t.Run("process", func(t *testing.T) {
		t.Parallel()
		w := onWire(t, nil)
		m := w.create()
		w.grant(m, "rsa")
		session := w.login(m, "rsa")
		w.put(session, "/db_name.dump", []byte("SELECT 1;\n"))
		w.good("process", m.params())
		if err := session.Wait(); err == nil {
			t.Error("the session ended in order")
		}
		if _, err := w.dial(m, "rsa"); err == nil {
			t.Error("login in state pending with the access for the upload")
		}
		w.await(m, "done")
		if _, err := w.dial(m, "rsa"); err == nil {
			t.Error("login in state done with the access for the upload")
		}
		w.grant(m, "rsa")
		same(t, "the upgraded dump", w.slurp(w.login(m, "rsa"), "/upgraded_db_name.dump"), []byte("SELECT 1;\n"))
	})
	if _, err := mockserver.New(&mockserver.Options{SFTPAccessTTL: -1}); err == nil {
		t.Error("an access that lasts less than nothing")
	}
}
