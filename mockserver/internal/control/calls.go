package control

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"

	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// errWritten says that a handler has answered by itself.
var errWritten = errors.New("control: answered")

type api struct {
	Config
	rates   *rates
	streams *streams
}

// failed gives an error of the emulator its status, and that one if it has none of its own.
func (a api) failed(status int, err error) error {
	if err == nil {
		return nil
	}
	return problem{cmp.Or(a.Status(err), status), err}
}

func (a api) health(w http.ResponseWriter, _ *http.Request, _ query) (any, error) {
	health, lost := a.Emulator.Health()
	code := http.StatusOK
	body := map[string]any{"status": "ok", "version": version.String()}
	for name, ok := range health {
		body[name] = ok
		if !ok {
			body["status"], code = "starting or stopping", http.StatusServiceUnavailable
		}
	}
	if lost != nil {
		body["status"], code = lost.Error(), http.StatusServiceUnavailable
	}
	answer(w, code, body)
	return nil, errWritten
}

func (a api) setState(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	var body struct {
		State string         `json:"state"`
		Set   map[string]any `json:"set"`
	}
	if err := decode(r, &body, `{"state": "done", "set": {"customer_message": "text"}}, "set" if need be`); err != nil {
		return nil, err
	}
	if body.State == "" {
		return nil, badRequest(`"state" is missing: wanted {"state": "done"}, with "set" if need be`)
	}
	for key, value := range body.Set {
		body.Set[key] = scriptValue(value)
	}
	request, err := a.Requests.SetState(id, body.State, body.Set)
	return request, a.failed(http.StatusBadRequest, err)
}

// scriptValue turns what a decoder that keeps numbers as text returns into the values scripts have.
func scriptValue(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
	case []any:
		texts := make([]string, 0, len(v))
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				return value
			}
			texts = append(texts, text)
		}
		return texts
	}
	return value
}

func (a api) release(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	request, err := a.Requests.Release(id)
	return request, a.failed(http.StatusInternalServerError, err)
}

func (a api) journal(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	events := a.Journal.Events(q.Filter)
	if events == nil {
		events = []journal.Event{}
	}
	answer := map[string]any{"events": events, "dropped": a.Journal.Dropped()}
	if n := len(events); n > 0 && n == q.Limit {
		answer["next"] = events[n-1].Seq
	}
	return answer, nil
}

func (a api) clearJournal(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	a.Journal.ClearJournal(q.Filter)
	return map[string]any{}, nil
}

func (a api) verify(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	results := a.Emulator.Verify(q.Filter)
	count := make(map[string]int)
	for _, r := range results {
		count[r.Verdict]++
	}
	if results == nil {
		results = []Outcome{}
	}
	return map[string]any{
		"results": results, "passed": count[verify.Pass], "failed": count[verify.Fail], "unjudged": count[verify.Unjudged],
	}, nil
}

// wait answers as soon as an event passes that has happened, or happens within the timeout.
func (a api) wait(_ http.ResponseWriter, r *http.Request, q query) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), q.timeout)
	defer cancel()
	for {
		events, err := a.Journal.Next(ctx, q.Filter)
		switch {
		case len(events) > 0:
			return map[string]any{"event": events[0]}, nil
		case errors.Is(err, context.DeadlineExceeded):
			return nil, problem{http.StatusRequestTimeout,
				fmt.Errorf("nothing like that happened within %s", q.timeout)}
		case err != nil:
			return nil, problem{http.StatusServiceUnavailable, err}
		}
	}
}

func (a api) reset(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	if err := a.Emulator.Reset(Scope{Request: q.Request, Contract: q.Contract}); err != nil {
		return nil, err
	}
	return map[string]any{}, nil
}

// capsule answers with a capsule of a request, of a contract, or of everything.
func (a api) capsule(w http.ResponseWriter, r *http.Request, q query) (any, error) {
	var b bytes.Buffer // it is small
	err := a.Emulator.WriteCapsule(r.Context(), &b, Scope{Request: q.Request, Contract: q.Contract})
	if err != nil {
		return nil, a.failed(http.StatusInternalServerError, err)
	}
	name := "upgrademock.capsule"
	if q.Request != 0 {
		name = fmt.Sprintf("request-%d.capsule", q.Request)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	h.Set("Cache-Control", "no-store")
	w.Write(b.Bytes())
	return nil, errWritten
}

func (a api) advertised(http.ResponseWriter, *http.Request, query) (any, error) {
	return a.Emulator.Advertise(), nil
}

func (a api) advertise(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	var body Advertise
	const sample = `{"url": "http://127.0.0.1:8480", "sftp_host": "127.0.0.1", "sftp_port": 2200, "transfer_port": 2201}`
	if err := decode(r, &body, sample+", each key optional"); err != nil {
		return nil, err
	}
	if err := a.Emulator.SetAdvertise(body); err != nil {
		return nil, problem{http.StatusBadRequest, err}
	}
	return a.Emulator.Advertise(), nil
}

func (a api) metrics(w http.ResponseWriter, r *http.Request, _ query) (any, error) {
	a.Metrics.ServeHTTP(w, r)
	return nil, errWritten
}

//go:embed openapi.yaml
var openAPI []byte

func (a api) openapi(w http.ResponseWriter, _ *http.Request, _ query) (any, error) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(openAPI)
	return nil, errWritten
}
