package recording

import (
	"encoding/json"
	"io"
	"regexp"
	"sync"

	"github.com/upgrademock/upgrademock/internal/disguise"
	"github.com/upgrademock/upgrademock/internal/retrace"
)

// maxSecrets bounds the keys that a Writer knows.
const maxSecrets = 10_000

// A Writer writes a recording, a line for each exchange, so that one that is broken off can be read. Keys and tokens
// are disguised in it. Its methods may be called concurrently.
type Writer struct {
	mu      sync.Mutex
	w       io.Writer
	hide    *disguise.Disguise
	secrets []string
	known   map[string]bool
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
	return &Writer{w: w, hide: disguise.New(), known: map[string]bool{}}, err
}

// Write writes an exchange; sent and came are the SHA-256 checksums of its bodies, "" for none. Of a body that is a
// dump, e has nothing.
func (w *Writer) Write(e *retrace.Exchange, sent, came string) error {
	place := retrace.Locate(e)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.learn(place.Key)
	w.learnFrom(e.Body)
	hide := w.hide.Replacer(w.secrets)
	copied := *e
	copied.Form, copied.Extra, copied.Body = nil, place.Params, []byte(hide.Replace(string(e.Body)))
	text, err := encode(&copied, sent, came)
	if err == nil && w.err == nil {
		// One write, so that a line is there or not.
		_, w.err = io.WriteString(w.w, hide.Replace(string(text))+"\n")
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
	if key != "" && !w.known[key] && len(w.secrets) < maxSecrets {
		w.known[key] = true
		w.secrets = append(w.secrets, key)
	}
}

// keyOf finds keys in an answer, also in one that broke off.
var keyOf = regexp.MustCompile(`"(?:key|token)"\s*:\s*"([^"\s]+)`)

// learnFrom looks for keys in an answer.
func (w *Writer) learnFrom(body []byte) {
	for _, m := range keyOf.FindAllSubmatch(body, -1) {
		w.learn(string(m[1]))
	}
}
