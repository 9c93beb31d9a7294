// Package redact shortens the keys and tokens of requests wherever they stand in a text, so that a journal or log that
// is handed around opens nothing.
//
// Three things are taken for a key: one that is known, also without its padding or cut short; a word in the
// form of one; and the value behind a name such as key, token or password. Percent-encoding, also of what was
// encoded already, and the escapes of JSON and HTML hide none of them.
package redact

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	shown = 4  // bytes of a key
	core  = 22 // characters of a key, without the padding "=="
	token = 58 // characters of a token of the script API (row S2.10)
	head  = 16 // characters by which a known key is found
)

// Keys are the keys that are known. The zero value knows none. Its methods may be called concurrently.
type Keys struct {
	forgetting sync.Mutex // one Forget at a time

	mu    sync.RWMutex
	heads map[[head]byte]struct{} // what the keys begin with, in lower case
	next  map[[head]byte]struct{} // what becomes heads when Forget is done; nil: it is not running
}

// Add makes a key known. One of fewer than 16 characters is not kept.
func (k *Keys) Add(key string) {
	if len(key) < head {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.heads == nil {
		k.heads = make(map[[head]byte]struct{})
	}
	k.heads[folded(key)] = struct{}{}
	if k.next != nil {
		k.next[folded(key)] = struct{}{}
	}
}

// Forget forgets all keys but those that keep returns. Keys that are added meanwhile stay. keep may call Hide.
func (k *Keys) Forget(keep func() []string) {
	k.forgetting.Lock()
	defer k.forgetting.Unlock()
	k.mu.Lock()
	k.next = make(map[[head]byte]struct{})
	k.mu.Unlock()
	keys := keep()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		if len(key) >= head {
			k.next[folded(key)] = struct{}{}
		}
	}
	k.heads, k.next = k.next, nil
}

// Hide returns the text with every key in it shortened to its first four characters and an ellipsis.
func (k *Keys) Hide(text string) string {
	if len(text) <= shown {
		return text
	}
	d := decode(text)
	spans := k.find(d.text)
	if spans == nil {
		return text
	}
	var b strings.Builder
	done := 0
	for _, s := range spans {
		b.WriteString(text[done:d.source(s.from)])
		b.WriteString(Short(d.text[s.from:s.to]))
		done = d.source(s.to)
	}
	return b.String() + text[done:]
}

// Short is a key as it is shown.
func Short(key string) string {
	if len(key) <= shown {
		return key
	}
	return strings.ToValidUTF8(key[:shown], "") + "…"
}

// span is a stretch of a text.
type span struct{ from, to int }

// find returns the keys in a text, ascending.
func (k *Keys) find(text string) []span {
	var spans []span
	add := func(from, to int) {
		if n := len(spans); n > 0 && from < spans[n-1].to {
			spans[n-1].to = max(to, spans[n-1].to)
			return
		}
		spans = append(spans, span{from, to})
	}
	named := namedValues(text)
	for from := 0; from < len(text); {
		if !isWord[text[from]] {
			from++
			continue
		}
		to := from + 1
		for to < len(text) && isWord[text[to]] {
			to++
		}
		for len(named) > 0 && named[0].from < to {
			add(named[0].from, named[0].to)
			named = named[1:]
		}
		if to-from >= head {
			padded := to
			for padded < len(text) && text[padded] == '=' {
				padded++
			}
			if at := k.known(text[from:to]); at >= 0 {
				add(from+at, padded)
			} else if to-from >= core && padded-to == 2 {
				add(to-core, padded)
			} else if k.encoded(text[from:to], 2) {
				add(from, padded)
			} else if LooksLikeKey(text[from:to]) && isEdge(text, from-1) && isEdge(text, to) {
				add(from, to)
			}
		}
		from = to
	}
	for _, s := range named {
		add(s.from, s.to)
	}
	return spans
}

// known returns where in a word a known key begins; -1: nowhere.
func (k *Keys) known(word string) int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if len(k.heads) == 0 {
		return -1
	}
	for at := 0; at+head <= len(word); at++ {
		if _, ok := k.heads[folded(word[at:])]; ok {
			return at
		}
	}
	return -1
}

// encoded reports whether a word stands for text with a known key in it, or for a key's own bytes: in hexadecimal
// digits, or in base64 so often.
func (k *Keys) encoded(word string, depth int) bool {
	const most = 1 << 10 // characters: more is not shown of anything
	word = word[:min(len(word), most)]
	if data, err := hex.DecodeString(word); err == nil &&
		(k.known(string(data)) >= 0 || k.known(base64.RawURLEncoding.EncodeToString(data)) >= 0) {
		return true
	}
	const shortest = head * 4 / 3                                   // characters of base64
	for from := 0; from < 4 && len(word)-from >= shortest; from++ { // other letters may stand before it
		part := word[from:]
		if len(part)%4 == 1 {
			part = part[:len(part)-1]
		}
		data, err := base64.RawURLEncoding.DecodeString(part)
		if err == nil && (k.known(string(data)) >= 0 || depth > 1 && k.encoded(strings.TrimRight(string(data), "="),
			depth-1)) {
			return true
		}
	}
	return false
}

// LooksLikeKey reports whether a word is in the form of a key without its padding, or of a token: 22 or 58 characters
// of URL-safe base64 that alternate between kinds as only random ones do.
func LooksLikeKey(word string) bool {
	if len(word) != core && len(word) != token {
		return false
	}
	changes := 0
	for i := range len(word) {
		if !isWord[word[i]] {
			return false
		}
		if i > 0 && kind(word[i]) != kind(word[i-1]) {
			changes++
		}
	}
	return changes >= 8*len(word)/core
}

func kind(c byte) int {
	switch {
	case 'a' <= c && c <= 'z':
		return 0
	case 'A' <= c && c <= 'Z':
		return 1
	case '0' <= c && c <= '9':
		return 2
	}
	return 3
}

// isEdge reports whether a word may begin behind that byte, or end before it. "+" and "/" are no edges: longer
// base64 has them inside.
func isEdge(text string, at int) bool {
	return at < 0 || at >= len(text) || text[at] != '+' && text[at] != '/'
}

// isWord is the alphabet of URL-safe base64.
var isWord = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		set[c] = true
	}
	return set
}()

// secretNames are what the name of a secret has in it.
var secretNames = []string{"key", "token", "secret", "passw", "authorization"}

var (
	public = regexp.MustCompile(`(?i)^[^a-z]*(?:ssh|public)[^a-z]*keys?[^a-z]*$`)
	named  = regexp.MustCompile(`(?i)([a-z0-9_.\[\]-]*(?:` + strings.Join(secretNames, "|") +
		`)[a-z0-9_.\[\]-]*)["']?[=:]["']?([^\s&;,"'<>(){}]+)`)
)

// IsSecret reports whether the value of a parameter with this name is taken for a key, as that of key, KEY,
// key[] or token. ssh_keys, which are public, are not.
func IsSecret(name string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc(secretNames, func(part string) bool { return strings.Contains(lower, part) }) &&
		!public.MatchString(name)
}

// namedValues are the values that stand behind the name of a secret, as in "request=1;key=…".
func namedValues(text string) []span {
	if strings.IndexByte(text, '=') < 0 && strings.IndexByte(text, ':') < 0 {
		return nil
	}
	var spans []span
	for _, m := range named.FindAllStringSubmatchIndex(text, -1) {
		if !public.MatchString(text[m[2]:m[3]]) {
			spans = append(spans, span{m[4], m[5]})
		}
	}
	return spans
}

// Path returns a path as Hide does, and with the parts shortened that are in a key's place: behind a number, as
// in the URLs of an answer. A method behind a number is too short for that.
func (k *Keys) Path(path string) string {
	if len(path) < core {
		return path
	}
	const shortest = 12
	parts := strings.Split(path, "/")
	for i, part := range parts {
		behind := i > 0 && parts[i-1] != "" && strings.Trim(parts[i-1], "0123456789") == ""
		if behind && len(part) >= shortest || LooksLikeKey(part) {
			parts[i] = Short(part)
		}
	}
	return k.Hide(strings.Join(parts, "/"))
}

func folded(s string) (f [head]byte) {
	for i := range f {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		f[i] = c
	}
	return f
}

// decoded is a text without its escapes.
type decoded struct {
	text string
	at   []int // where in the source each byte begins, and the end; nil: it is the source
}

func (d decoded) source(i int) int {
	if d.at == nil {
		return i
	}
	return d.at[i]
}

// passes is how often what comes out of decoding is decoded again: escapes may stand for escapes.
const passes = 4

func decode(s string) decoded {
	d := decoded{text: s}
	for range passes {
		if strings.IndexByte(d.text, '%') < 0 && strings.IndexByte(d.text, '\\') < 0 &&
			strings.IndexByte(d.text, '&') < 0 {
			break
		}
		b, at := make([]byte, 0, len(d.text)), make([]int, 0, len(d.text)+1)
		for i := 0; i < len(d.text); {
			c, n := unescape(d.text[i:])
			b, at = append(b, c), append(at, d.source(i))
			i += n
		}
		if len(b) == len(d.text) {
			break
		}
		d = decoded{string(b), append(at, len(s))}
	}
	return d
}

// unescape returns the first byte of what s, which is not empty, stands for, and how long it is there.
func unescape(s string) (c byte, n int) {
	switch {
	case s[0] == '%':
		if c, ok := digits(s, 1, 2, 16); ok {
			return c, 3
		}
		if c, ok := digits(s, 4, 2, 16); ok && strings.HasPrefix(s, "%u00") {
			return c, 6
		}
	case strings.HasPrefix(s, `\u00`):
		if c, ok := digits(s, 4, 2, 16); ok {
			return c, 6
		}
	case strings.HasPrefix(s, `\u{`):
		if c, ok := digits(s, 3, 2, 16); ok && strings.HasPrefix(s[5:], "}") {
			return c, 6
		}
	case strings.HasPrefix(s, `\x`):
		if c, ok := digits(s, 2, 2, 16); ok {
			return c, 4
		}
	case s[0] == '\\':
		if c, ok := digits(s, 1, 3, 8); ok {
			return c, 4
		}
	case strings.HasPrefix(s, "&#"):
		if end := strings.IndexByte(s[:min(len(s), 8)], ';'); end > 2 {
			number, base := s[2:end], 10
			if number[0] == 'x' || number[0] == 'X' {
				number, base = number[1:], 16
			}
			if v, err := strconv.ParseUint(number, base, 8); err == nil {
				return byte(v), end + 1
			}
		}
	}
	return s[0], 1
}

// digits reads a byte of n digits at a place of s.
func digits(s string, at, n, base int) (byte, bool) {
	if at+n > len(s) {
		return 0, false
	}
	v, err := strconv.ParseUint(s[at:at+n], base, 8)
	return byte(v), err == nil
}
