package sshkeys

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	gossh "golang.org/x/crypto/ssh"
)

// Show is what a journal may keep of a text that looks like an authorized_keys file: its public keys, and what
// Parse would quote.
func Show(text string) string {
	var shown []string
	short := tooShortForAKey(text)
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line)); err == nil {
			line = key.Type() + " " + Wire(key) // what stands around it may be anything
		} else if line != "" {
			line = quote(line, func() bool { return short })
		}
		if line != "" && (line != Hidden || len(shown) == 0 || shown[len(shown)-1] != Hidden) {
			shown = append(shown, line)
		}
		if len(shown) > maxProblems {
			break
		}
	}
	return strings.Join(shown, "\n")
}

// Hide returns a text from anywhere as it may be kept: Hidden if it may be part of a private key, else as it is.
func Hide(text string) string {
	const shortest = 32 // no private key is shorter
	if len(text) < shortest || !isDense(text) && !saysPrivate(text) {
		return text
	}
	return Hidden
}

// saysPrivate reports whether a text has the words that go with a private key.
func saysPrivate(text string) bool {
	letters := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, text)
	possible := strings.Contains(letters, "private") || strings.Contains(letters, "putty") ||
		strings.Contains(letters, "agesecret") || strings.Contains(text, `"d`) || strings.Contains(text, "\x02\x01")
	if !possible {
		return false
	}
	for _, form := range formsOf(text) {
		if isPrivate(form) {
			return true
		}
	}
	return false
}

const (
	maxWord  = 16 // characters of a word that may be shown of a text that is no key
	maxWords = 40 // characters of all words; the shortest private key has 43
)

// tooShortForAKey reports whether a text holds too little to be part of a private key, whatever it is encoded as,
// beside public keys.
func tooShortForAKey(text string) bool {
	if saysPrivate(text) {
		return false
	}
	total := 0
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if public := publicBeginning(line); public != "" {
			line = line[len(public):]
			if _, _, _, _, err := gossh.ParseAuthorizedKey([]byte(public)); err == nil {
				continue // with its comment, which is never shown
			}
		} else if _, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line)); err == nil {
			continue
		}
		word, last := 0, rune(-1)
		for _, r := range line {
			switch {
			case r == unicode.ReplacementChar || r != '\t' && unicode.IsControl(r):
				return false // binary
			case unicode.IsSpace(r):
				word = 0
			case r != last: // the same once more says nothing
				word++
				total++
			}
			last = r
			if word > maxWord || total > maxWords {
				return false
			}
		}
	}
	return true
}

// maxLooked is how much of a line is looked at in all its forms: no private key is longer.
const maxLooked = 16 << 10

// formsOf are the forms in which a line may be meant: as it is, without the marks of a quotation, and with
// escapes, base64 and hexadecimal digits undone, also one within another.
func formsOf(line string) []string {
	if len(line) > maxLooked {
		line = line[:maxLooked]
	}
	const most = 16
	forms := []string{line}
	for i := 0; i < len(forms) && len(forms) < most; i++ {
		for _, change := range []func(string) string{unescaped, unquoted, decoded, narrowed} {
			form := change(forms[i])
			known := form == ""
			for _, f := range forms {
				known = known || f == form
			}
			if !known {
				forms = append(forms, form)
			}
		}
	}
	return forms
}

var (
	escapes = strings.NewReplacer(`\r`, "", `\n`, "\n", `\t`, "\t", `\/`, "/", `\"`, `"`, `\\`, `\`)
	percent = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	unicod  = regexp.MustCompile(`\\u00[0-9A-Fa-f]{2}`)
)

// unescaped undoes one layer of the escapes of URLs and of JSON.
func unescaped(s string) string {
	s = percent.ReplaceAllStringFunc(s, func(e string) string {
		c, err := url.PathUnescape(e)
		if err != nil {
			return e
		}
		return c
	})
	s = unicod.ReplaceAllStringFunc(s, func(e string) string {
		c, err := hex.DecodeString(e[len(e)-2:])
		if err != nil {
			return e
		}
		return string(c)
	})
	return escapes.Replace(s)
}

// narrowed is a line of UTF-16 in one byte per character.
func narrowed(s string) string { return strings.NewReplacer("\x00", "", "\uFFFD", "").Replace(s) }

// unquoted is a line without the marks before it: of a mail, a comment, a list, a string.
func unquoted(s string) string { return strings.TrimLeft(s, " \t>|*#;:,'\"`+") }

// decoded is what base64 or hexadecimal digits stand for; "" if the line is neither.
func decoded(s string) string {
	digits := strings.NewReplacer(" ", "", "\t", "", "\n", "", ":", "", ",", "", "0x", "", "'", "", `"`, "").Replace(s)
	if len(digits) < 16 {
		return ""
	}
	if data, err := hex.DecodeString(digits[:len(digits)&^1]); err == nil {
		return string(data)
	}
	digits = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(digits, "="))
	data, err := base64.RawStdEncoding.DecodeString(digits[:len(digits)&^3])
	if err != nil {
		return ""
	}
	return string(data)
}

var (
	// privateWords are what private keys have in them, in lower case and without blanks and marks: those in PEM,
	// OpenSSH's and PuTTY's, BIND's and age's, and as OpenSSL prints them.
	privateWords = regexp.MustCompile(
		`(?:begin|end)[a-z0-9]{0,20}privatekey|opensshkeyv1|puttyuserkeyfile|^privatelines|^privatemac|` +
			`privatekeyformat|privateexponent|privatekey\(|agesecretkey1`)
	privateJWK = regexp.MustCompile(`"d"\s*:\s*"`)
	// privateDER is how PKCS #1, PKCS #8 and SEC 1 begin: a sequence whose first member is the version.
	privateDER = regexp.MustCompile(`(?s)^0.{1,4}\x02\x01[\x00\x01]`)
	marks      = regexp.MustCompile(`[^a-z0-9(]+`)
)

// isPrivate reports whether a line shows that it is of a private key.
func isPrivate(form string) bool {
	return privateWords.MatchString(marks.ReplaceAllString(strings.ToLower(form), "")) ||
		privateJWK.MatchString(form) && strings.Contains(form, "kty") ||
		privateDER.MatchString(strings.ToValidUTF8(form, "\uFFFD"))
}
