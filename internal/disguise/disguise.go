// Package disguise replaces the keys of requests in recordings by others of the same form, so that a recording can be
// handed around: a key's form can still be judged, but the key cannot be used.
package disguise

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/url"
	"slices"
	"strings"
)

// shown is how many characters of a key are kept, so that keys can be told apart.
const shown = 4

// Disguise replaces each key always by the same one. It is made by New, and may be used concurrently.
type Disguise struct{ salt []byte }

// New makes a Disguise that differs from every other.
func New() *Disguise {
	d := &Disguise{salt: make([]byte, 32)}
	rand.Read(d.salt)
	return d
}

// Replacer replaces the keys in a text, also where they are escaped as in a URL. Keys of no more than four
// characters are left.
func (d *Disguise) Replacer(keys []string) *strings.Replacer {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, key := range keys {
		if len(key) <= shown {
			continue
		}
		alias := d.Key(key)
		pairs = append(pairs, key, alias)
		if esc := url.QueryEscape(key); esc != key {
			pairs = append(pairs, esc, url.QueryEscape(alias))
		}
	}
	return strings.NewReplacer(pairs...)
}

// Key returns what a key is replaced by.
func (d *Disguise) Key(key string) string {
	mac := hmac.New(sha256.New, d.salt)
	mac.Write([]byte(key))
	noise := mac.Sum(nil)
	out := []byte(key)
	last := len(strings.TrimRight(key, "=")) - 1 // its low bits are padding: must stay
	for i := shown; i < last; i++ {
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
