package sshkeys_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
)

// pair is a key pair as files.
type pair struct {
	public  string            // as authorized_keys has it
	private map[string]string // by form
}

// pairs are the fixtures' keys, the same in each run: where random ones are cut decides what they look like.
func pairs(t testing.TB) map[string]pair {
	t.Helper()
	all, err := madePairs()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// madePairs makes them once: encryption takes long.
var madePairs = sync.OnceValues(func() (map[string]pair, error) {
	all := map[string]pair{}
	for _, name := range []string{"ed25519", "ecdsa", "rsa"} {
		key, err := gossh.ParseRawPrivateKey(fixtures.Key(name))
		if err != nil {
			return nil, err
		}
		if ed, ok := key.(*ed25519.PrivateKey); ok {
			key = *ed
		}
		signer, err := gossh.NewSignerFromKey(key)
		if err != nil {
			return nil, err
		}
		openssh, err := gossh.MarshalPrivateKey(key, "john@example.com")
		if err != nil {
			return nil, err
		}
		encrypted, err := gossh.MarshalPrivateKeyWithPassphrase(key, "john@example.com", []byte("secret"))
		if err != nil {
			return nil, err
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		p := pair{
			public: strings.TrimSpace(string(gossh.MarshalAuthorizedKey(signer.PublicKey()))) + " john@example.com",
			private: map[string]string{
				"OpenSSH":           string(pem.EncodeToMemory(openssh)),
				"OpenSSH encrypted": string(pem.EncodeToMemory(encrypted)),
				"PKCS8":             string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
				"PuTTY": "PuTTY-User-Key-File-3: ssh-" + name + "\r\nEncryption: none\r\nComment: john\r\nPublic-Lines: 1\r\n" +
					wrap(base64.StdEncoding.EncodeToString(signer.PublicKey().Marshal()), 64) + "\r\nPrivate-Lines: 2\r\n" +
					wrap(base64.StdEncoding.EncodeToString(pkcs8), 64) + "\r\nPrivate-MAC: " + hex.EncodeToString(pkcs8[:20]) + "\r\n",
				"DER": string(pkcs8),
				"JWK": `{"kty":"OKP","crv":"Ed25519","d":"` + base64.RawURLEncoding.EncodeToString(pkcs8) + `"}`,
			},
		}
		switch key := key.(type) {
		case *rsa.PrivateKey:
			block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
			p.private["PKCS1"] = string(pem.EncodeToMemory(block))
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(key)
			if err != nil {
				return nil, err
			}
			p.private["SEC1"] = string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
		}
		all[name] = p
	}
	return all, nil
})

func wrap(s string, width int) string {
	var b strings.Builder
	for len(s) > width {
		b.WriteString(s[:width] + "\n")
		s = s[width:]
	}
	return b.String() + s
}

// mistakes are what may happen to a file on its way, beside being the wrong one.
var mistakes = map[string]func(string) string{
	"as it is":          func(s string) string { return s },
	"CRLF":              func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
	"without header":    func(s string) string { _, rest, _ := strings.Cut(s, "\n"); return rest },
	"from the middle":   func(s string) string { return s[len(s)/3:] },
	"the last lines":    func(s string) string { return s[len(s)*2/3:] },
	"cut":               func(s string) string { return s[:len(s)/2] },
	"a dash is missing": func(s string) string { return strings.Replace(s, "-----BEGIN", "----BEGIN", 1) },
	"in lower case":     func(s string) string { return strings.Replace(s, "PRIVATE KEY", "private key", 2) },
	"quoted":            func(s string) string { return "> " + strings.ReplaceAll(s, "\n", "\n> ") },
	"commented":         func(s string) string { return "# " + strings.ReplaceAll(s, "\n", "\n# ") },
	"indented":          func(s string) string { return "\t" + strings.ReplaceAll(s, "\n", "\n\t") },
	"numbered":          func(s string) string { return "1: " + strings.ReplaceAll(s, "\n", "\n2: ") },
	"in one line":       func(s string) string { return strings.ReplaceAll(s, "\n", " ") },
	"joined":            func(s string) string { return strings.ReplaceAll(s, "\n", "") },
	"literal \\n":       func(s string) string { return strings.ReplaceAll(s, "\n", `\n`) },
	"%0A":               func(s string) string { return strings.ReplaceAll(s, "\n", "%0A") },
	"percent-encoded":   url.QueryEscape,
	"encoded twice":     func(s string) string { return url.QueryEscape(url.PathEscape(s)) },
	"JSON": func(s string) string {
		data, _ := json.Marshal(map[string]string{"key": s})
		return string(data)
	},
	"a shell's variable": func(s string) string { return `KEY="` + s + `"` },
	"base64 of it":       func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"wrapped base64":     func(s string) string { return wrap(base64.StdEncoding.EncodeToString([]byte(s)), 76) },
	"narrow base64":      func(s string) string { return wrap(base64.StdEncoding.EncodeToString([]byte(s)), 12) },
	"hex of it":          func(s string) string { return hex.EncodeToString([]byte(s)) },
	"hex with colons": func(s string) string {
		return strings.TrimSpace(strings.ReplaceAll(fmt.Sprintf("% x", s), " ", ":"))
	},
	"hex dump": func(s string) string { return hex.Dump([]byte(s)) },
	"UTF-16": func(s string) string {
		var b bytes.Buffer
		for _, u := range utf16.Encode([]rune("\uFEFF" + s)) {
			b.Write([]byte{byte(u), byte(u >> 8)})
		}
		return b.String()
	},
	"narrow": func(s string) string { return wrap(strings.ReplaceAll(s, "\n", ""), 10) },
	"words":  func(s string) string { return strings.ReplaceAll(wrap(strings.ReplaceAll(s, "\n", ""), 4), "\n", " ") },
	"reverse": func(s string) string {
		lines := strings.Split(s, "\n")
		return strings.Join(append(lines[1:], lines[0]), "\n")
	},
}

// leaked returns what of a text is in what is shown, 8 characters at least that are not in the headers of keys or
// in the public one.
func leaked(text, shown, public string) string {
	known := public +
		"\n-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n-----BEGIN OPENSSH PRIVATE KEY-----\n-----BEGIN RSA " +
		"PRIVATE KEY-----\n-----BEGIN EC PRIVATE KEY-----"
	for i := 0; i+8 <= len(text); i++ {
		if part := text[i : i+8]; strings.Contains(shown, part) && !strings.Contains(known, part) &&
			!strings.ContainsAny(part, "\n\r") {
			return part
		}
	}
	return ""
}

// TestPrivateKeys_areNeverShown holds that nothing of a private key is quoted or kept, whatever became of it on
// its way.
func TestPrivateKeys_areNeverShown(t *testing.T) {
	t.Parallel()
	for name, p := range pairs(t) {
		if testing.Short() && name != "ed25519" {
			continue
		}
		for form, private := range p.private {
			for mistake, make := range mistakes {
				text := strings.ToValidUTF8(make(private), "\uFFFD")
				for around, whole := range map[string]string{
					"alone": text, "behind the public key": p.public + "\n" + text, "before it": text + "\n" + p.public,
					"behind it in its line": p.public + " " + text,
				} {
					_, problems := sshkeys.Parse(whole)
					shown := sshkeys.Show(whole)
					for _, problem := range problems {
						shown += "\n" + problem.Quote
					}
					if part := leaked(text, shown, p.public); part != "" {
						t.Errorf("%s, %s, %s, %s: %q of it is shown in\n%.300s", name, form, mistake, around, part, shown)
					}
					if problems == nil && around == "alone" && mistake != "commented" {
						t.Errorf("%s, %s, %s: there is nothing wrong with it", name, form, mistake)
					}
				}
			}
		}
	}
}

// TestPrivateKeys_areOneProblem holds that a private key that can be recognised is reported as one, and once.
func TestPrivateKeys_areOneProblem(t *testing.T) {
	t.Parallel()
	for name, p := range pairs(t) {
		for form, private := range p.private {
			for mistake, make := range mistakes {
				switch mistake {
				case "from the middle", "the last lines", "commented", "reverse", "hex dump", "narrow", "words", "narrow base64",
					"without header", "numbered":
					continue // they show less
				}
				if form == "JWK" && mistake == "cut" || form == "OpenSSH encrypted" && mistake == "in lower case" {
					continue
				}
				if form == "DER" && (strings.ContainsAny(private, "\n\r") || !slices.Contains(
					[]string{"as it is", "percent-encoded", "base64 of it", "hex of it", "hex with colons", "cut"}, mistake)) {
					continue // it is several lines, or hardly anything is left of it
				}
				text := strings.ToValidUTF8(make(private), "\uFFFD")
				keys, problems := sshkeys.Parse(text + "\n" + p.public + "\n")
				if len(problems) != 1 || !strings.Contains(problems[0].Why, "this is a private key; send the public one") ||
					problems[0].Line != 1 {
					t.Errorf("%s, %s, %s: %+v, want one private key\n%.200q", name, form, mistake, problems, text)
				}
				if len(keys) != 1 {
					t.Errorf("%s, %s, %s: %d keys, want the public one", name, form, mistake, len(keys))
				}
			}
		}
	}
}

// TestHide holds that a private key is hidden wherever it stands, and that nothing else is.
func TestHide(t *testing.T) {
	t.Parallel()
	for name, p := range pairs(t) {
		for form, private := range p.private {
			for mistake, make := range mistakes {
				switch mistake {
				case "hex dump", "hex with colons", "numbered":
					continue // in these, no run is long
				}
				text := strings.ToValidUTF8(make(private), "\uFFFD")
				if form == "DER" || len(text) < 60 {
					continue
				}
				if got := sshkeys.Hide(text); got != sshkeys.Hidden {
					t.Errorf("%s, %s, %s: %.200q", name, form, mistake, got)
				}
			}
		}
		for _, text := range []string{p.public, p.public + "\n# mine\n" + p.public} {
			if got := sshkeys.Hide(text); got != text {
				t.Errorf("a public key is hidden: %q", text)
			}
		}
	}
	for _, text := range []string{
		"", "short", "openchs.70.cdump", "curl/7.88.1", "john.doe+upgrade@a-long-host-name.example.com",
		strings.Repeat("x", 200),
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
		"/database/v1/request_sftp_access/and/more/of/a/path/that/goes/on", "f0b5a0de-1c6e-4e0c-9d4c-2f3a9f0b7a11",
		"MyCompanyProductionDatabaseBackup_2024-01-31_23-59-59_nightly.sql.gz",
		"the file is not there: private.dump cannot be opened here",
	} {
		if got := sshkeys.Hide(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// TestHide_paths holds that paths and URLs stay readable, and that a key in one does not.
func TestHide_paths(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/home/user/project/scenarios/upgraded.zip",
		"/tmp/TestUpgradedArchiveIsGone1234567/001/scenarios/upgraded.zip",
		"/tmp/TestRun_builtInScenarios_ServerErrorForAWhile3412341/002/Upgraded.zip",
		"/home/user/project/" + strings.Repeat("abcdefgh12", 7) + "/upgraded.zip",
		"/home/user/project/" + strings.Repeat("aB3", 25) + "/upgraded.zip",
		"/home/user/" + strings.Repeat("Aa1Bb2Cc3Dd4Ee5", 5) + "/upgraded.zip",
		"/home/user/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/upgraded.zip",
		"/home/user/A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0U1v2W3x4Y5z6A7b8C9d0/upgraded.zip",
		"/var/lib/docker/overlay2/3f2a9c0e5b7d1846af90c2e4d6b8a0f13f2a9c0e5b7d1846af90c2e4d6b8a0f1/merged/upgraded.zip",
		"/var/lib/jenkins/workspace/MyCompany-Odoo-15-Upgrade-PR-123@2/ci/Scenario_A1/Upgraded.zip",
		"/private/var/folders/z8/5q1_x7yd2Kb9Jc_3T0000gn/T/TestServe123/001/upgraded.zip",
		"/builds/My-Group/My-Odoo-Project/V15-To-V16/2024-01-31T12-00-00/Out/upgraded.zip",
		"C:/Users/JohnDoe/AppData/Local/Temp/GoBuild12/TestX/Y1/upgraded.zip",
		"../../Projects/MyCompany/Odoo15/Upgrade/Scenarios/A1/B2/C3/D4/upgraded.zip",
		"https://upgrade.odoo.com/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/upgraded/archive",
		"http://127.0.0.1:8480/database/v1/status?request=10534&contract=M123456-AbCdEf&filename=MyDump2024.zip",
	} {
		for _, text := range []string{
			path, "platform: the scenario's file: open " + path + ": no such file or directory",
			`wanted the file "` + path + `", found nothing`, "--out=" + path + " " + path,
		} {
			if got := sshkeys.Hide(text); got != text {
				t.Errorf("%q became %q", text, got)
			}
		}
	}
	for name, p := range pairs(t) {
		for form, private := range p.private {
			digits := regexp.MustCompile(`-----[^-]+-----|\s`).ReplaceAllString(private, "")
			if form == "DER" || len(digits) < 60 {
				continue
			}
			for _, text := range []string{
				"/database/v1/upload/" + digits, "https://upgrade.odoo.com/database/v1/upload?key=" + url.QueryEscape(digits),
				"/tmp/" + private, "open /tmp/" + digits + ": no such file or directory",
			} {
				if got := sshkeys.Hide(text); got != sshkeys.Hidden {
					t.Errorf("%s, %s: %.200q", name, form, got)
				}
			}
		}
	}
}

// TestParse holds what is said of lines that are no accepted key.
func TestParse(t *testing.T) {
	t.Parallel()
	p := pairs(t)
	rsaKey, ed := p["rsa"].public, p["ed25519"].public
	lost := strings.ReplaceAll(rsaKey, "+", " ")
	blob := wrap(strings.Fields(ed)[1], 70)
	for name, tc := range map[string]struct {
		text  string
		keys  int
		lines []int
		quote string
		says  string
	}{
		"a key": {text: ed, keys: 1},
		"RFC 4716": {
			text: "---- BEGIN SSH2 PUBLIC KEY ----\r\nComment: \"john\"\r\n" + blob + "\r\n---- END SSH2 PUBLIC KEY ----\r\n" +
				ed, keys: 1,
			lines: []int{1}, quote: "---- BEGIN SSH2 PUBLIC KEY ----", says: "ssh-keygen -i -f FILE",
		},
		"RFC 4716 without an end": {
			text: ed + "\n---- BEGIN SSH2 PUBLIC KEY ----\n" + blob, keys: 1,
			lines: []int{2}, quote: "---- BEGIN SSH2 PUBLIC KEY ----", says: "ssh-keygen -i -f FILE",
		},
		"RFC 4716 twice in one line each": {
			text:  strings.Repeat("---- BEGIN SSH2 PUBLIC KEY ---- "+blob[:60]+" ---- END SSH2 PUBLIC KEY ----\n", 2),
			lines: []int{1, 2}, quote: "---- BEGIN SSH2 PUBLIC KEY ----", says: "ssh-keygen -i -f FILE",
		},
		"PKCS8, public": {text: "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----", lines: []int{1},
			quote: "-----BEGIN PUBLIC KEY-----", says: "-m PKCS8"},
		"PEM, public": {text: "-----BEGIN RSA PUBLIC KEY-----\nMFkw", lines: []int{1},
			quote: "-----BEGIN RSA PUBLIC KEY-----", says: "-m PEM"},
		"a certificate": {text: "-----BEGIN CERTIFICATE-----\nMFkwEwYH\n-----END CERTIFICATE-----\nx",
			lines: []int{1, 4}, says: "neither a public key"},
		"lost plus": {text: lost, lines: []int{1}, quote: strings.Join(strings.Fields(lost)[:2], " "),
			says: "%2B"},
		"lost plus behind options": {text: "no-pty " + lost, lines: []int{1}, quote: "…", says: "%2B"},
		"words": {text: "this is my key", lines: []int{1}, quote: "this is my key",
			says: "neither a public key"},
		"a sentence": {text: "please find my public key attached to this message of today", lines: []int{1},
			quote: "…", says: "neither a public key"},
		"comments alone": {text: "# mine\n", lines: []int{1}, quote: "# mine", says: "no public key at all"},
		"a long comment": {text: "# " + strings.Repeat("abcdefgh ", 10), lines: []int{1}, quote: "…",
			says: "no public key at all"},
		"many short ones": {text: "abc12\ndef34\nghi56\njkl78\nmno90\npqr11\nstu22\nvwx33\nyza44\n", lines: []int{
			1, 2, 3, 4, 5, 6, 7, 8, 9}, quote: "…", says: "neither"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys, problems := sshkeys.Parse(tc.text)
			var lines []int
			for _, problem := range problems {
				lines = append(lines, problem.Line)
				if tc.quote != "" && problem.Quote != cutTo80(tc.quote) || !strings.Contains(problem.Why, tc.says) {
					t.Errorf("%+v; want %q, quoted as %q", problem, tc.says, tc.quote)
				}
			}
			if diff := cmp.Diff(tc.lines, lines); diff != "" || len(keys) != tc.keys {
				t.Errorf("%d keys, want %d; lines (-want +got):\n%s", len(keys), tc.keys, diff)
			}
		})
	}
}

func cutTo80(s string) string { return s[:min(len(s), 80)] }

// FuzzParse holds that what is quoted and kept of any text holds nothing that could be of a private key.
func FuzzParse(f *testing.F) {
	f.Add(
		"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB\n-----END OPENSSH " +
			"PRIVATE KEY-----\n")
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPjEvZp7ojE9JJ3hDIqzLjhcgb3mzn4r2hTvRpsUQqYp x\nnonsense\n")
	f.Add("%2D%2D\\n> \\u0041 AAAA 3082")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "\uFFFD")
		if len(text) > 4000 {
			return
		}
		_, problems := sshkeys.Parse(text)
		unsure := 0
		for _, p := range problems {
			if len([]rune(p.Quote)) > 80 || p.Line < 1 || p.Line > strings.Count(text, "\n")+1 {
				t.Errorf("%q: %+v", text, p)
			}
			if p.Quote != sshkeys.Hidden && !strings.Contains(p.Quote, " AAAA") && !strings.Contains(p.Quote, "BEGIN") {
				last := rune(-1)
				for _, r := range p.Quote {
					if r != last && r > ' ' {
						unsure++
					}
					last = r
				}
			}
		}
		if unsure > 43 {
			t.Errorf("%q: %d characters are quoted that may be of a private key: %+v", text, unsure, problems)
		}
		sshkeys.Show(text)
		sshkeys.Hide(text)
	})
}
