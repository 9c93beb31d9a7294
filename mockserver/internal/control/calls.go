package control

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/journal"
	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Emulator is what is looked into and steered. Errors that have a status of their own are made with Refused.
type Emulator interface {
	Health() map[string]bool
	Requests() []any
	Request(id int64) (any, error)
	SetState(id int64, state string, set map[string]any) (any, error)
	Release(id int64) (any, error)
	Events(journal.Filter) []journal.Event
	Dropped() uint64
	// Next waits for events; it may return neither events nor an error, to be called again.
	Next(context.Context, journal.Filter) ([]journal.Event, error)
	ClearJournal(journal.Filter)
	Scenarios() []*scenario.Scenario
	AddScenario(*scenario.Scenario) error
	RemoveScenario(name string) int
	Verify(journal.Filter) []verify.Result
	Advance(time.Duration) (time.Time, error)
	Reset(journal.Filter) error
	Advertise() any
	SetAdvertise([]byte) error
	Metrics() http.Handler
	Done() <-chan struct{} // closed when the emulator is about to stop
}

// errWritten says that a handler has answered by itself.
var errWritten = errors.New("control: answered")

type api struct{ e Emulator }

// otherwise gives an error a status, unless the emulator gave it one.
func otherwise(status int, err error) error {
	var p problem
	if err == nil || errors.As(err, &p) {
		return err
	}
	return problem{status, err}
}

func (a api) health(w http.ResponseWriter, _ *http.Request) (any, error) {
	health, code := a.e.Health(), http.StatusOK
	body := map[string]any{"status": "ok"}
	for name, ok := range health {
		body[name] = ok
		if !ok {
			body["status"], code = "starting or stopping", http.StatusServiceUnavailable
		}
	}
	answer(w, code, body)
	return nil, errWritten
}

func (a api) requests(http.ResponseWriter, *http.Request) (any, error) {
	return map[string]any{"requests": a.e.Requests()}, nil
}

func (a api) request(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	request, err := a.e.Request(id)
	return request, otherwise(http.StatusInternalServerError, err)
}

func (a api) setState(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	var body struct {
		State string         `json:"state"`
		Set   map[string]any `json:"set"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.State == "" {
		return nil, badRequest(`"state" is missing: wanted {"state": "done"}, with "set" if need be`)
	}
	for key, value := range body.Set {
		body.Set[key] = plain(value)
	}
	request, err := a.e.SetState(id, body.State, body.Set)
	return request, otherwise(http.StatusBadRequest, err)
}

// plain turns what a decoder that keeps numbers as text returns into the values scripts have.
func plain(value any) any {
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

func (a api) release(_ http.ResponseWriter, r *http.Request) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	request, err := a.e.Release(id)
	return request, otherwise(http.StatusInternalServerError, err)
}

func (a api) journal(_ http.ResponseWriter, r *http.Request) (any, error) {
	f, err := filter(r)
	if err != nil {
		return nil, err
	}
	events := a.e.Events(f)
	if events == nil {
		events = []journal.Event{}
	}
	return map[string]any{"events": events, "dropped": a.e.Dropped()}, nil
}

func (a api) clearJournal(_ http.ResponseWriter, r *http.Request) (any, error) {
	f, err := filter(r)
	if err != nil {
		return nil, err
	}
	a.e.ClearJournal(f)
	return map[string]any{}, nil
}

func (a api) scenarios(http.ResponseWriter, *http.Request) (any, error) {
	list := a.e.Scenarios()
	if list == nil {
		list = []*scenario.Scenario{}
	}
	return map[string]any{"scenarios": list}, nil
}

// addScenario takes a script as the body, YAML or JSON.
func (a api) addScenario(w http.ResponseWriter, r *http.Request) (any, error) {
	data, err := readBody(r)
	if err != nil {
		return nil, err
	}
	script, err := scenario.Parse("the posted scenario", data)
	if err != nil {
		return nil, problem{http.StatusBadRequest, err}
	}
	if script.Upgraded.NamesFiles() && !fromHere(r) {
		return nil, Refused(http.StatusForbidden, errors.New("this scenario names files of the emulator's machine, which can be asked for from that machine only; "+
			"give it to the emulator when it starts (--scenario)"))
	}
	if err := a.e.AddScenario(script); err != nil {
		return nil, otherwise(http.StatusBadRequest, err)
	}
	answer(w, http.StatusCreated, script)
	return nil, errWritten
}

// fromHere tells whether a call comes from this machine, over loopback.
func fromHere(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip.IsLoopback()
}

func (a api) removeScenarios(_ http.ResponseWriter, r *http.Request) (any, error) {
	name := r.URL.Query().Get("name")
	removed := a.e.RemoveScenario(name)
	if name != "" && removed == 0 {
		var have []string
		for _, script := range a.e.Scenarios() {
			have = append(have, script.Name)
		}
		return nil, problem{http.StatusNotFound, fmt.Errorf("no scenario in use is called %q; in use: %s", name, strings.Join(have, ", "))}
	}
	return map[string]any{"removed": removed}, nil
}

func (a api) advance(_ http.ResponseWriter, r *http.Request) (any, error) {
	var body struct {
		By string `json:"by"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(body.By)
	if err != nil {
		return nil, badRequest(`"by" is %q: wanted a duration such as "1h" or "90s"`, body.By)
	}
	if d <= 0 {
		return nil, badRequest(`"by" is %q: time only goes forward`, body.By)
	}
	now, err := a.e.Advance(d)
	if err != nil {
		return nil, otherwise(http.StatusBadRequest, err)
	}
	return map[string]any{"now": now}, nil
}

func (a api) verify(_ http.ResponseWriter, r *http.Request) (any, error) {
	f, err := filter(r)
	if err != nil {
		return nil, err
	}
	results := a.e.Verify(f)
	count := make(map[string]int)
	for _, r := range results {
		count[r.Verdict]++
	}
	if results == nil {
		results = []verify.Result{}
	}
	return map[string]any{
		"results": results, "passed": count[verify.Pass], "failed": count[verify.Fail], "unjudged": count[verify.Unjudged],
	}, nil
}

const defaultWait, maxWait = 30 * time.Second, time.Hour

// wait answers as soon as an event passes that has happened, or happens within the timeout.
func (a api) wait(_ http.ResponseWriter, r *http.Request) (any, error) {
	f, err := filter(r)
	if err != nil {
		return nil, err
	}
	timeout := defaultWait
	if text := r.URL.Query().Get("timeout"); text != "" {
		if timeout, err = time.ParseDuration(text); err != nil || timeout < 0 || timeout > maxWait {
			return nil, badRequest("timeout=%s: wanted a duration of at most %s, such as 30s", text, maxWait)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	for {
		events, err := a.e.Next(ctx, f)
		switch {
		case len(events) > 0:
			return map[string]any{"event": events[0]}, nil
		case errors.Is(err, context.DeadlineExceeded):
			return nil, problem{http.StatusRequestTimeout, fmt.Errorf("nothing like that happened within %s", timeout)}
		case err != nil:
			return nil, problem{http.StatusServiceUnavailable, err}
		}
	}
}

func (a api) reset(_ http.ResponseWriter, r *http.Request) (any, error) {
	f, err := filter(r)
	if err != nil {
		return nil, err
	}
	if err := a.e.Reset(f); err != nil {
		return nil, err
	}
	return map[string]any{}, nil
}

func (a api) advertised(http.ResponseWriter, *http.Request) (any, error) { return a.e.Advertise(), nil }

func (a api) advertise(_ http.ResponseWriter, r *http.Request) (any, error) {
	var body json.RawMessage
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if err := a.e.SetAdvertise(body); err != nil {
		return nil, problem{http.StatusBadRequest, err}
	}
	return a.e.Advertise(), nil
}

func (a api) metrics(w http.ResponseWriter, r *http.Request) (any, error) {
	a.e.Metrics().ServeHTTP(w, r)
	return nil, errWritten
}

// events sends the journal as it grows, as server-sent events. A client that lost the connection goes on with Last-Event-ID.
func (a api) events(w http.ResponseWriter, r *http.Request) (any, error) {
	f, err := filter(r)
	if err != nil {
		return nil, err
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		if _, err := fmt.Sscan(last, &f.After); err != nil {
			return nil, badRequest("Last-Event-ID %q: wanted the seq of an event", last)
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { // an emulator that stops does not wait for its audience
		select {
		case <-a.e.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	control.Flush()
	for {
		events, err := a.e.Next(ctx, f)
		for i := range events {
			data, err := json.Marshal(events[i])
			if err != nil {
				return nil, errWritten
			}
			if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", events[i].Seq, events[i].On, data); err != nil {
				return nil, errWritten
			}
			f.After = events[i].Seq
		}
		if control.Flush() != nil || err != nil {
			return nil, errWritten
		}
	}
}

//go:embed openapi.yaml
var openAPI []byte

func (a api) openapi(w http.ResponseWriter, _ *http.Request) (any, error) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(openAPI)
	return nil, errWritten
}
