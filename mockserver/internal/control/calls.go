package control

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// errWritten says that a handler has answered by itself.
var errWritten = errors.New("control: answered")

type api struct{ Config }

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

func (a api) requests(http.ResponseWriter, *http.Request, query) (any, error) {
	return map[string]any{"requests": a.Requests.Requests()}, nil
}

func (a api) request(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	request, err := a.Requests.Request(id)
	return request, a.failed(http.StatusInternalServerError, err)
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
	return map[string]any{"events": events, "dropped": a.Journal.Dropped()}, nil
}

func (a api) clearJournal(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	a.Journal.ClearJournal(q.Filter)
	return map[string]any{}, nil
}

func (a api) scenarios(http.ResponseWriter, *http.Request, query) (any, error) {
	list := a.Scenarios.Scenarios()
	if list == nil {
		list = []*scenario.Scenario{}
	}
	return map[string]any{"scenarios": list}, nil
}

// addScenario takes a script as the body, YAML or JSON.
func (a api) addScenario(w http.ResponseWriter, r *http.Request, _ query) (any, error) {
	data, err := readBody(r)
	if err != nil {
		return nil, err
	}
	script, err := scenario.Parse("the posted scenario", data)
	if err != nil {
		return nil, problem{http.StatusBadRequest, err}
	}
	if len(script.Files()) > 0 && !fromHere(r) {
		return nil, problem{http.StatusForbidden, errors.New("this scenario names files of the emulator's " +
			"machine, which can be asked for from that machine only; " +
			"give it to the emulator when it starts, with " + a.OptionName("Scenarios"))}
	}
	if err := a.Scenarios.AddScenario(script); err != nil {
		return nil, a.failed(http.StatusBadRequest, err)
	}
	answer(w, http.StatusCreated, script)
	return nil, errWritten
}

// fromHere reports whether a call comes from this machine, over loopback.
func fromHere(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip.IsLoopback()
}

func (a api) removeScenarios(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	removed := a.Scenarios.RemoveScenario(q.name)
	if q.name != "" && removed == 0 {
		var have []string
		for _, script := range a.Scenarios.Scenarios() {
			have = append(have, script.Name)
		}
		return nil, problem{http.StatusNotFound, fmt.Errorf("no scenario in use is called %q; in use: %s", q.name,
			strings.Join(have, ", "))}
	}
	return map[string]any{"removed": removed}, nil
}

func (a api) advance(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	var body struct {
		By string `json:"by"`
	}
	if err := decode(r, &body, `{"by": "1h"}`); err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(body.By)
	if err != nil {
		return nil, badRequest(`"by" is %q: wanted a duration such as "1h" or "90s"`, body.By)
	}
	if d <= 0 {
		return nil, badRequest(`"by" is %q: time only goes forward`, body.By)
	}
	now, err := a.Emulator.Advance(d)
	if err != nil {
		return nil, a.failed(http.StatusBadRequest, err)
	}
	return map[string]any{"now": now}, nil
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
	a.Metrics().ServeHTTP(w, r)
	return nil, errWritten
}

// events sends the journal as it grows, as server-sent events. A client that lost the connection goes on with
// Last-Event-ID.
func (a api) events(w http.ResponseWriter, r *http.Request, q query) (any, error) {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		var err error
		if q.After, err = strconv.ParseUint(last, 10, 64); err != nil {
			return nil, badRequest("Last-Event-ID %q: wanted the seq of an event, such as 17", last)
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { // an emulator that stops does not wait for its audience
		select {
		case <-a.Done:
			cancel()
		case <-ctx.Done():
		}
	}()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	control.Flush()
	if r.Method == http.MethodHead {
		return nil, errWritten
	}
	for {
		events, err := a.Journal.Next(ctx, q.Filter)
		for i := range events {
			data, err := json.Marshal(events[i])
			if err != nil {
				return nil, errWritten
			}
			e := &events[i]
			if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.On, data); err != nil {
				return nil, errWritten
			}
			q.After = events[i].Seq
		}
		if control.Flush() != nil || err != nil {
			return nil, errWritten
		}
	}
}

//go:embed openapi.yaml
var openAPI []byte

func (a api) openapi(w http.ResponseWriter, _ *http.Request, _ query) (any, error) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(openAPI)
	return nil, errWritten
}
