// Package disguise replaces the keys of requests in recordings by others of the same form, so that a recording can be
// handed around: a key's form can still be judged, but the key cannot be used.
package disguise

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Shown is how many characters of a key are kept, so that keys can be told apart.
const Shown = 4

// Disguise replaces each key always by the same one. It is made by New, and may be used concurrently.
type Disguise struct{ salt []byte }

// New makes a Disguise that differs from every other.
func New() *Disguise {
	d := &Disguise{salt: make([]byte, 32)}
	rand.Read(d.salt)
	return d
}

// Replacer replaces the keys in a text, also where they are escaped as in URLs or JSON, or are in base64. Keys of no
// more than four characters are left.
func (d *Disguise) Replacer(keys []string) *strings.Replacer {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, key := range keys {
		if len(key) <= Shown {
			continue
		}
		as, alias := forms(key), forms(d.Key(key))
		for i, form := range as {
			if i == 0 || form != key {
				pairs = append(pairs, form, alias[i])
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// padding is what is at the end of a key in base64. Without it, nothing of most keys needs to be escaped.
const padding = "="

// forms are the ways in which a key may stand in a text: as many, and in the same order, for keys of the same form.
func forms(key string) []string {
	bare := strings.TrimRight(key, padding)
	forms := []string{key, url.QueryEscape(key), lowerEscapes.ReplaceAllStringFunc(url.QueryEscape(key), strings.ToLower),
		jsonEscapes.Replace(bare), strings.ReplaceAll(bare, "/", `\/`), bare}
	// Base64 has three forms, as the key begins at the first, the second or the third byte of three; the characters in
	// which other bytes have a part are not in them.
	for before := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), bare...))
		from := (before*8 + 5) / 6
		text = text[from : (before+len(bare))*8/6]
		forms = append(forms, text, toURL.Replace(text))
	}
	return forms
}

var (
	lowerEscapes = regexp.MustCompile(`%[0-9A-F]{2}`)
	jsonEscapes  = strings.NewReplacer("+", `\u002B`, "/", `\u002F`)
	toURL        = strings.NewReplacer("+", "-", "/", "_")
)

// Key returns what a key is replaced by.
func (d *Disguise) Key(key string) string {
	mac := hmac.New(sha256.New, d.salt)
	mac.Write([]byte(key))
	noise := mac.Sum(nil)
	out := []byte(key)
	last := len(strings.TrimRight(key, "=")) - 1 // its low bits are padding: must stay
	for i := Shown; i < last; i++ {
		n := noise[i%len(noise)] + byte(i)
		switch c := out[i]; {
		case 'a' <= c && c <= 'z':
			out[i] = 'a' + n%26
		case 'A' <= c && c <= 'Z':
			out[i] = 'A' + n%26
		case '0' <= c && c <= '9':
			out[i] = '0' + n%10
		}
	}
	return string(out)
}
