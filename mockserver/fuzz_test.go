package mockserver_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/mockserver"
)

// FuzzParameters sends a target in every place a parameter may be in, and holds what the emulator takes it for
// against a model made of the standard library's readers. A target that is not valid is quoted in the failure,
// so what was taken can be seen.
func FuzzParameters(f *testing.F) {
	f.Add("target=a", formType, []byte("target=b&target=c"), true)
	f.Add("target=a&target=b", "", []byte(nil), false)
	f.Add("target=%zz%41+&=&&x", formType+"; charset=x", []byte("%"), false)
	f.Add("", "multipart/form-data; boundary=x", []byte(multiBody), true)
	f.Add("target=%ff%00\"<", "multipart/form-data; boundary=x", []byte(multiBody[:len(multiBody)-4]), true)
	f.Add("", "multipart/form-data; boundary=\"\"", []byte("--\r\n"), true)
	f.Add("target=8.0", "multipart/form-data; boundary=x",
		[]byte("--x\r\nContent-Disposition: form-data; name=target; filename=a\r\n\r\n\r\n--x--"), false)
	// lines without a carriage return, and the last without an end
	f.Add("", "multipart/form-data; boundary=x", []byte("--x\n\n--x--"), true)
	f.Add("", "multipart/form-data; boundary=x", []byte("--x--\n--x\n"), true)
	f.Add("target=a;b=c", "application/x-www-form-urlencoded;=", []byte("tar%67et=x=y"), true)
	srv, err := mockserver.New(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { srv.Close() })
	f.Fuzz(func(t *testing.T, query, contentType string, body []byte, post bool) {
		if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r == '#' || r >= 0x7f }) || len(query) > 1000 ||
			len(body) > 10_000 {
			return // no server gets to see such a query
		}
		method := http.MethodGet
		if post {
			method = http.MethodPost
		}
		status, header, got := direct(t, srv, method, "/database/v1/create?"+query, contentType, body)
		if status != http.StatusOK || !utf8.Valid(got) {
			t.Fatalf("%d %q", status, got)
		}
		a := decode(t, status, header, got)
		want, ok := modelTarget(query, contentType, body)
		if !ok {
			return
		}
		var target any
		for _, failure := range a.Failures {
			switch failure["reason"] {
			case "TARGET:INVALID":
				target = failure["value"]
			case "TARGET:MISSING":
				target = ""
			case "PARAMETERS:INVALID":
				target = "(broken)"
			}
		}
		if valid := slices.Contains([]string{"6.0", "6.1", "7.0", "8.0"}, want); target != any(want) &&
			!(valid && target == nil) {
			t.Fatalf("target %v, want %q: %s", target, want, got)
		}
	})
}

// modelTarget is what the parameter target should be; ok is false where the standard library has another idea
// of what is an error.
func modelTarget(query, contentType string, body []byte) (target string, ok bool) {
	mediaType, args, _ := mime.ParseMediaType(contentType)
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", false
	}
	all := values["target"]
	switch mediaType {
	case formType:
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return "", false
		}
		all = append(values["target"], all...)
	case "multipart/form-data":
		if args["boundary"] == "" {
			return "(broken)", true
		}
		var inBody []string
		r := multipart.NewReader(bytes.NewReader(body), args["boundary"])
		for {
			part, err := r.NextRawPart()
			if err == io.EOF {
				// The library takes some bodies that break off for whole ones: those whose last boundary does
				// not say that it is.
				boundary := "--" + args["boundary"]
				if closed := bytes.LastIndex(body, []byte(boundary+"--")); closed < 0 ||
					closed != bytes.LastIndex(body, []byte(boundary)) {
					return "", false
				}
				break
			}
			if err != nil {
				return "(broken)", true
			}
			value, err := io.ReadAll(part)
			if err != nil {
				return "(broken)", true
			}
			if part.FormName() == "target" {
				inBody = append(inBody, string(value))
			}
		}
		all = append(inBody, all...)
	}
	if len(all) == 0 {
		return "", true
	}
	return strings.ToValidUTF8(all[0], "\uFFFD"), true
}

// FuzzSSHKeys sends any file as ssh_keys: it is refused with lines that are there and quoted as they stand, or
// a key in it was taken.
func FuzzSSHKeys(f *testing.F) {
	f.Add(publicKey("rsa") + "\r\n# comment\n\n" + publicKey("ecdsa"))
	f.Add("\uFEFF" + publicKey("ed25519"))
	f.Add("ssh-rsa AAAA x\nnonsense\n" + publicKey("ed25519"))
	f.Add("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n")
	f.Add(`command="x \" y",no-pty ` + publicKey("ed25519"))
	f.Add("# nothing\n")
	f.Add(" ")
	srv, err := mockserver.New(&mockserver.Options{HTTPSAddr: mockserver.Off})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { srv.Close() })
	if err := srv.Start(); err != nil { // an SFTP server that does not listen grants nothing
		f.Fatal(err)
	}
	_, _, created := direct(f, srv, "GET", "/database/v1/create?"+sample().Encode(), "", nil)
	var a struct {
		Request struct {
			ID  int64
			Key string
		}
	}
	if err := json.Unmarshal(created, &a); err != nil {
		f.Fatal(err)
	}
	m := made{a.Request.ID, a.Request.Key}
	f.Fuzz(func(t *testing.T, file string) {
		if len(file) > 20_000 || !utf8.ValidString(file) {
			return
		}
		body := m.params("ssh_keys", file).Encode()
		status, header, got := direct(t, srv, "POST", "/database/v1/request_sftp_access", formType, []byte(body))
		a := decode(t, status, header, got)
		if strings.TrimSpace(file) == "" {
			diff(t, "reasons", []string{"SSH_KEYS:MISSING"}, a.reasons())
			return
		}
		lines := strings.Split(strings.TrimPrefix(file, "\uFEFF"), "\n")
		if len(a.Failures) == 0 {
			taken := slices.ContainsFunc(lines, func(line string) bool {
				_, _, _, _, err := gossh.ParseAuthorizedKey([]byte(strings.TrimSpace(line)))
				return err == nil
			})
			if !taken {
				t.Fatalf("taken, though no line is a key: %q", file)
			}
			return
		}
		for _, failure := range a.Failures {
			number, _ := failure["line"].(float64)
			value, isString := failure["value"].(string)
			if failure["reason"] != "SSH_KEYS:INVALID" || !isString || number < 1 || int(number) > len(lines) ||
				utf8.RuneCountInString(value) > 80 {
				t.Fatalf("%q: %v", file, failure)
			}
		}
	})
}
