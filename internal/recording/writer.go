package recording

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/internal/disguise"
	"github.com/upgrademock/upgrademock/internal/retrace"
)

// leftOut stands for a value that is nobody's business.
const leftOut = "left-out"

// maxSecrets bounds the keys that a Writer knows at a time. One that it has forgotten it learns again from the next
// call that has it.
const maxSecrets = 120

// A Writer writes a recording, a line for each exchange, so that one that is broken off can be read. Keys and tokens
// are disguised in it. Its methods may be called concurrently.
type Writer struct {
	mu      sync.Mutex
	w       io.Writer
	hide    *disguise.Disguise
	secrets []string          // the oldest first
	hider   *strings.Replacer // of them; nil: they have changed
	calls   int
	err     error
}

// NewWriter writes the heading.
func NewWriter(w io.Writer, h Heading) (*Writer, error) {
	h.Version = version
	text, err := json.Marshal(h)
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	return &Writer{w: w, hide: disguise.New()}, err
}

// Write writes an exchange; sent and came are the SHA-256 checksums of its bodies, "" for none. Of a body that is a
// dump, e has nothing.
func (w *Writer) Write(e *retrace.Exchange, sent, came string) error {
	place := retrace.Locate(e)
	copied := *e
	copied.Form, copied.Extra = nil, place.Params
	copied.URL = secretQuery.ReplaceAllString(e.URL, "${1}"+leftOut)
	if place.On == "" { // which nobody looks at
		copied.Extra = nil
		copied.URL, _, _ = strings.Cut(e.URL, "?")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.learn(place.Key)
	for name, value := range copied.Extra {
		if !secretName.MatchString(name) {
			continue
		}
		copied.Extra[name] = leftOut
		if len(value) >= 8 { // a shorter one is a word that stands in other places as well
			w.learn(value)
		}
	}
	w.learnPrivate(e)
	w.learnFrom(string(e.Body))
	if w.hider == nil {
		w.hider = w.hide.Replacer(w.secrets)
	}
	copied.Body = []byte(w.hider.Replace(string(e.Body)))
	if e.Partial || e.Broken != "" {
		copied.Body = w.hideEnd(copied.Body)
	}
	text, err := encode(&copied, sent, came)
	if err == nil && w.err == nil {
		// One write, so that a line is there or not.
		_, w.err = io.WriteString(w.w, w.hider.Replace(string(text))+"\n")
	}
	w.calls++
	if err != nil {
		return err
	}
	return w.err
}

// Calls is how many exchanges were written.
func (w *Writer) Calls() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

func (w *Writer) learn(key string) {
	if key == "" || slices.Contains(w.secrets, key) {
		return
	}
	if len(w.secrets) == maxSecrets {
		w.secrets = slices.Delete(w.secrets, 0, 1)
	}
	w.secrets, w.hider = append(w.secrets, key), nil
}

// hideEnd hides the beginning of a key at the end of a body that broke off in its middle.
func (w *Writer) hideEnd(body []byte) []byte {
	for _, key := range w.secrets {
		for n := len(key) - 1; n > disguise.Shown; n-- {
			if rest, ok := bytes.CutSuffix(body, []byte(key[:n])); ok {
				return append(slices.Clip(rest), w.hide.Key(key)[:n]...)
			}
		}
	}
	return body
}

var (
	// secretName matches the names of parameters that are nothing to the platform, and kept secret by others.
	secretName = regexp.MustCompile(`(?i)^(.*[_-](key|token)|.*(secret|passw(or)?d|pwd|auth|session))$`)
	// secretQuery matches these, and SSH keys, in a URL.
	secretQuery = regexp.MustCompile(`(?i)([?&](?:ssh_keys?|[^=&]*[_-](?:key|token)|[^=&]*(?:secret|passw(?:or)?d|pwd|` +
		`auth|session))=)[^&#]+`)
	// keyOf and keyIn find keys in an answer, also in one that broke off.
	keyOf = regexp.MustCompile(`"((?:[a-z]+_)*(?:key|token|secret|password))"\s*:\s*"([^"\s]{5,})`)
	keyIn = regexp.MustCompile(`/database/[a-z0-9]+/[0-9]+/([^/"\s]{5,})`)
)

// learnFrom looks for keys in an answer.
func (w *Writer) learnFrom(body string) {
	for _, m := range keyOf.FindAllStringSubmatch(body, -1) {
		if !strings.HasPrefix(m[1], "ssh_") {
			w.learn(m[2])
		}
	}
	for _, m := range keyIn.FindAllStringSubmatch(body, -1) {
		w.learn(m[1])
	}
}

// learnPrivate learns the lines of private keys that were sent by mistake: refusals quote them.
func (w *Writer) learnPrivate(e *retrace.Exchange) {
	form := string(e.Form)
	if u, err := url.Parse(e.URL); err == nil && u.Query().Has("ssh_keys") {
		form += "\n" + strings.Join(u.Query()["ssh_keys"], "\n")
	}
	if plain, err := url.QueryUnescape(form); err == nil && !strings.Contains(form, "PRIVATE KEY") {
		form = plain
	}
	if form = strings.ReplaceAll(form, `\n`, "\n"); !strings.Contains(form, "PRIVATE KEY") {
		return
	}
	left := maxSecrets / 2 // more lines than a key of 4096 bits has
	for line := range strings.SplitSeq(form, "\n") {
		if line = strings.TrimSpace(line); len(line) >= 16 && !strings.Contains(line, " ") && left > 0 {
			left--
			w.learn(line)
		}
	}
}
