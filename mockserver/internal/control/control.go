// Package control is the API below /_mock/: it looks into the emulator and steers it. It is apart from the emulated API, and
// may have a listener of its own.
//
// JSON in and out; problems are {"error": "…"} with a 4xx status. openapi.yaml describes it, and a test holds the two together.
package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	"github.com/upgrademock/upgrademock/mockserver/internal/journal"
)

// Base is where the API begins.
const Base = "/_mock"

const maxBody = 1 << 20 // of a call

// problem is an error with the status it answers.
type problem struct {
	status int
	err    error
}

func (p problem) Error() string { return p.err.Error() }
func (p problem) Unwrap() error { return p.err }

// Refused is an error that answers with the status.
func Refused(status int, err error) error { return problem{status, err} }

func badRequest(format string, args ...any) error {
	return problem{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

// Handler serves the API for an emulator.
func Handler(e Emulator) http.Handler {
	a := api{e}
	r := mux.NewRouter().SkipClean(true)
	for _, route := range a.routes() {
		handle := route.handle
		r.HandleFunc(Base+route.path, func(w http.ResponseWriter, r *http.Request) {
			value, err := handle(w, r)
			switch {
			case errors.Is(err, errWritten):
			case err != nil:
				answerProblem(w, err)
			default:
				answer(w, http.StatusOK, value)
			}
		}).Methods(route.method)
	}
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, problemBody{"nothing is at " + r.URL.Path + "; see " + Base + "/openapi.yaml for what there is"})
	})
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusMethodNotAllowed, problemBody{r.Method + " is not possible at " + r.URL.Path + "; see " + Base + "/openapi.yaml"})
	})
	// A page in the developer's browser must not be able to steer the emulator.
	return http.NewCrossOriginProtection().Handler(r)
}

type route struct {
	method, path string
	handle       func(http.ResponseWriter, *http.Request) (any, error)
}

func (a api) routes() []route {
	return []route{
		{"GET", "/healthz", a.health},
		{"GET", "/requests", a.requests},
		{"GET", "/requests/{id}", a.request},
		{"POST", "/requests/{id}/state", a.setState},
		{"POST", "/requests/{id}/release", a.release},
		{"GET", "/journal", a.journal},
		{"DELETE", "/journal", a.clearJournal},
		{"GET", "/scenarios", a.scenarios},
		{"POST", "/scenarios", a.addScenario},
		{"DELETE", "/scenarios", a.removeScenarios},
		{"POST", "/clock/advance", a.advance},
		{"GET", "/verify", a.verify},
		{"GET", "/wait", a.wait},
		{"POST", "/reset", a.reset},
		{"GET", "/advertise", a.advertised},
		{"PUT", "/advertise", a.advertise},
		{"GET", "/metrics", a.metrics},
		{"GET", "/events", a.events},
		{"GET", "/openapi.yaml", a.openapi},
	}
}

type problemBody struct {
	Error string `json:"error"`
}

func answerProblem(w http.ResponseWriter, err error) {
	var p problem
	status := http.StatusInternalServerError
	if errors.As(err, &p) {
		status = p.status
	}
	answer(w, status, problemBody{err.Error()})
}

func answer(w http.ResponseWriter, status int, value any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		fmt.Fprintf(&b, "{\"error\": %q}\n", err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// decode reads a JSON body strictly; where it is wrong, the position is part of the message.
func decode(r *http.Request, into any) error {
	data, err := readBody(r)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	err = dec.Decode(into)
	if err == nil && dec.More() {
		err = errors.New("there is more after the JSON value")
	}
	if err == nil {
		return nil
	}
	offset := dec.InputOffset()
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	case errors.Is(err, io.ErrUnexpectedEOF):
		offset = int64(len(data))
	case errors.Is(err, io.EOF):
		return badRequest("the body is empty; wanted JSON")
	}
	line, column := position(data, offset)
	return badRequest("line %d, column %d: %w", line, column, err)
}

func position(data []byte, offset int64) (line, column int) {
	before := data[:min(max(offset, 0), int64(len(data)))]
	return 1 + bytes.Count(before, []byte("\n")), max(1, len(before)-(bytes.LastIndexByte(before, '\n')+1))
}

func readBody(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, badRequest("the body cannot be read: %w", err)
	}
	if len(data) > maxBody {
		return nil, problem{http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", maxBody)}
	}
	return data, nil
}

func pathID(r *http.Request) (int64, error) {
	text := mux.Vars(r)["id"]
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, badRequest("%q is no request id: wanted a number", text)
	}
	return id, nil
}

// filter reads request, contract, on, and since (an instant, or the number of an event) from the query.
func filter(r *http.Request) (journal.Filter, error) {
	q := r.URL.Query()
	f := journal.Filter{Contract: q.Get("contract"), On: q.Get("on")}
	if text := q.Get("request"); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id <= 0 {
			return f, badRequest("request=%s: wanted a request's id", text)
		}
		f.Request = id
	}
	if text := q.Get("since"); text != "" {
		if seq, err := strconv.ParseUint(text, 10, 64); err == nil {
			f.After = seq
		} else if f.Since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return f, badRequest("since=%s: wanted an instant such as 2015-09-09T07:13:49Z, or the seq of an event", text)
		}
	}
	return f, nil
}
