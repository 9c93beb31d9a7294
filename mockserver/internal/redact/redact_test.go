package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver/internal/redact"
)

const (
	key   = "u4_Tz9-bQ1kXo0PpWm7LcA==" // that is known
	other = "B7-xR2mVq_9LwZt3Ks0YhQ==" // that is not
)

// everyByte is the text with every byte percent-encoded.
func everyByte(text string) string {
	var b strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&b, "%%%02x", text[i])
	}
	return b.String()
}

func inJSON(text string) string {
	var b strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&b, `\u%04X`, text[i])
	}
	return b.String()
}

// bytesOf is what a key stands for.
func bytesOf(key string) []byte {
	b, err := base64.URLEncoding.DecodeString(key)
	if err != nil {
		panic(err)
	}
	return b
}

func TestHide(t *testing.T) {
	t.Parallel()
	var keys redact.Keys
	keys.Add(key)
	for _, tc := range []struct{ name, text, want string }{
		{"the key alone", key, "u4_T…"},
		{"without padding", strings.TrimRight(key, "="), "u4_T…"},
		{"cut short", key[:17], "u4_T…"},
		{"in lower case", strings.ToLower(key), "u4_t…"},
		{"in a misspelt URL", "/database/eu1/10534/" + key + "/upgradd/archive", "/database/eu1/10534/u4_T…/upgradd/archive"},
		{"behind other letters", "user_10534_" + key + " logs in", "user_10534_u4_T… logs in"},
		{"before other letters", key[:22] + "xyz", "u4_T…"},
		{"twice", key + " and " + key, "u4_T… and u4_T…"},
		{"encoded", "?a=" + url.QueryEscape(key) + "&b", "?a=u4_T…&b"},
		{"encoded twice", "?a=" + url.QueryEscape(url.QueryEscape(key)) + "&b", "?a=u4_T…&b"},
		{"encoded byte by byte", "/x/" + everyByte(key) + "/y", "/x/u4_T…/y"},
		{"encoded byte by byte, twice", "/x/" + everyByte(everyByte(key)) + "/y", "/x/u4_T…/y"},
		{"in JSON", `{"a":"` + strings.ReplaceAll(key, "=", `\u003d`) + `"}`, `{"a":"u4_T…"}`},
		{"in JSON, byte by byte", `{"a":"` + inJSON(key) + `"}`, `{"a":"u4_T…"}`},
		{"in HTML", "<p>" + strings.ReplaceAll(key, "=", "&#61;") + "</p>", "<p>u4_T…</p>"},
		{"in JavaScript", "a=" + strings.ReplaceAll(key, "=", `\u{3d}`), "a=u4_T…"},
		{"in JavaScript, by escape", "a=" + strings.ReplaceAll(key, "=", "%u003d"), "a=u4_T…"},
		{"in octal", "a=" + strings.ReplaceAll(key, "=", `\075`), "a=u4_T…"},
		{"in base64", "/x/" + base64.StdEncoding.EncodeToString([]byte(key)) + "/y", "/x/dTRf…/y"},
		{"in base64 of a login", "Basic " + base64.StdEncoding.EncodeToString([]byte("10534:"+key)), "Basic MTA1…"},
		{"in base64 twice", base64.RawURLEncoding.EncodeToString([]byte(base64.RawURLEncoding.EncodeToString([]byte(key)))),
			"ZFRS…"},
		{"in base64 behind other letters", "xy" + base64.StdEncoding.EncodeToString([]byte(key)), "xydT…"},
		{"in hexadecimal", "a " + hex.EncodeToString([]byte(key)) + " b", "a 7534… b"},
		{"its bytes in hexadecimal", "a " + strings.ToUpper(hex.EncodeToString(bytesOf(key))) + " b", "a BB8F… b"},
		{"other base64", base64.StdEncoding.EncodeToString([]byte("nothing that anybody hides")),
			"bm90aGluZyB0aGF0IGFueWJvZHkgaGlkZXM="},
		{"a checksum", "d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e"},
		{"one that is not known", "a " + other + " b", "a B7-x… b"},
		{"not known, encoded", "a=" + url.QueryEscape(other), "a=B7-x…"},
		{"not known, behind other letters", "x_" + other, "x_B7-x…"},
		{"not known, without padding", other[:22], "B7-x…"},
		{"behind a name", "10534;key=12345678", "10534;key=1234…"},
		{"behind a name in capitals", "10534,KEY=12345678&x", "10534,KEY=1234…&x"},
		{"behind a name, encoded", "10534%26key%3D12345678", "10534%26key%3D1234…"},
		{"behind a name in brackets", "key[]=12345678;b", "key[]=1234…;b"},
		{"behind another name", "api_token:12345678 x", "api_token:1234… x"},
		{"in quotes", `{"secret":"12345678"}`, `{"secret":"1234…"}`},
		{"a short value", "key=abc", "key=abc"},
		{"nothing", "", ""},
		{"a method", "/database/v1/request_sftp_access", "/database/v1/request_sftp_access"},
		{"a file", "Backup20150909Database.dump", "Backup20150909Database.dump"},
		{"a database", "2f1d40a4-6be2-11e5-a837-0800200c9a66", "2f1d40a4-6be2-11e5-a837-0800200c9a66"},
		{"SSH keys", "ssh_keys=ssh-ed25519", "ssh_keys=ssh-ed25519"},
		{"a sentence", "the key is wrong: 10534 has another key: think", "the key is wrong: 10534 has another key: think"},
		{"broken escapes", `100%, 5%2, \u00, \x, &#; &#999;`, `100%, 5%2, \u00, \x, &#; &#999;`},
	} {
		if got := keys.Hide(tc.text); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if got := new(redact.Keys).Hide(key[:20]); got != key[:20] {
		t.Errorf("with no key known: %q", got)
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	var keys redact.Keys
	keys.Add(key)
	for path, want := range map[string]string{
		"/database/us1/10534/" + other[:22] + "/status":       "/database/us1/10534/B7-x…/status",
		"/database/eu1/10534/something-else/upgraded/archive": "/database/eu1/10534/some…/upgraded/archive",
		"/database/v1/" + other[:22]:                          "/database/v1/B7-x…",
		"/database/v1/status/10534/process":                   "/database/v1/status/10534/process",
		"/database/v1/request_sftp_access/":                   "/database/v1/request_sftp_access/",
		"/x/" + key:                                           "/x/u4_T…",
	} {
		if got := keys.Path(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	var keys redact.Keys
	keys.Add(key)
	keys.Add(other)
	const third = "Zk3-P0sVbn_81TyqLfWc6A=="
	keys.Forget(func() []string {
		keys.Add(third)
		if got := keys.Hide(key); got != "u4_T…" {
			t.Errorf("while forgetting: %q", got)
		}
		return []string{other}
	})
	if got := keys.Hide(key[:18] + " " + other[:18] + " " + third[:18]); got != key[:18]+" B7-x… Zk3-…" {
		t.Errorf("after forgetting one: %q", got)
	}
}

func TestIsSecret(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"key": true, "KEY": true, "key[]": true, "Key ": true, "access_token": true, "request_key": true, "password": true,
		"ssh_keys": false, "ssh-key": false, "ssh_keys[]": false, "request": false, "contract": false, "": false,
	} {
		if got := redact.IsSecret(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// FuzzHide holds that a known key never stands in what is shown, whatever is around it.
func FuzzHide(f *testing.F) {
	f.Add("", "")
	f.Add("key=", "&x=%")
	f.Add("%", "%3D")
	f.Add(`\u00`, "&#")
	f.Fuzz(func(t *testing.T, before, after string) {
		var keys redact.Keys
		keys.Add(key)
		for _, form := range []string{key, url.QueryEscape(key), url.QueryEscape(url.QueryEscape(key)), everyByte(key)} {
			got := keys.Hide(before + form + after)
			if strings.Contains(decoded(got), key[:head]) && !strings.Contains(decoded(before), key[:head]) &&
				!strings.Contains(decoded(after), key[:head]) {
				t.Errorf("%q shows the key: %q", before+form+after, got)
			}
		}
	})
}

const head = 16

// decoded undoes escapes as a reader would.
func decoded(text string) string {
	for range 3 {
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
	}
	var s string
	if json.Unmarshal([]byte(`"`+text+`"`), &s) == nil {
		text = s
	}
	return html.UnescapeString(text)
}
