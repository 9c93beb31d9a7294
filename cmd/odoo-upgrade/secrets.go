package main

import (
	"io"
	"sync"

	"github.com/upgrademock/upgrademock/client"
)

// redactor takes keys out of everything that is written through it. It is a second defence, since what is written
// should have no key in it. Each write must be of whole lines.
type redactor struct {
	mu   sync.Mutex
	keys []client.Key
}

// add makes k a secret.
func (r *redactor) add(k client.Key) {
	if k == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, k)
}

func (r *redactor) clean(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return client.Redact(s, r.keys...)
}

func (r *redactor) wrap(w io.Writer) io.Writer { return &redacted{r, w} }

type redacted struct {
	secrets *redactor
	w       io.Writer
}

func (w *redacted) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.w, w.secrets.clean(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// behind is what w writes to, when keys have been taken out.
func behind(w io.Writer) io.Writer {
	if r, ok := w.(*redacted); ok {
		return r.w
	}
	return w
}
