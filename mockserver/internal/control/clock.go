package control

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

var errNoChange = errors.New("no request changes its state by itself: each waits for a call, for a release, or is at " +
	"the end of its scenario")

func (a api) clock(http.ResponseWriter, *http.Request, query) (any, error) {
	return a.Emulator.Clock(), nil
}

// setClock advances the clock to an instant, or to the next change.
func (a api) setClock(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	var body struct {
		Now string `json:"now"`
	}
	const example = `{"now": "2015-09-09T08:00:00Z"}, or {"now": "next"} for the next change of a request's state`
	if err := decode(r, &body, example); err != nil {
		return nil, err
	}
	var to time.Time
	if body.Now == "next" {
		next := a.Emulator.Clock().Next
		if next == nil {
			return nil, problem{http.StatusConflict, errNoChange}
		}
		to = *next
	} else {
		var err error
		if to, err = time.Parse(time.RFC3339Nano, body.Now); err != nil {
			return nil, badRequest(`"now" is %q: wanted an instant such as "2015-09-09T08:00:00Z", or "next"`, body.Now)
		}
	}
	if err := a.Emulator.Until(to); err != nil {
		return nil, a.failed(http.StatusBadRequest, err)
	}
	return a.Emulator.Clock(), nil
}

// advance lets time pass: by a duration, or until requests are in a state.
func (a api) advance(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	var body struct {
		By      string `json:"by"`
		Until   string `json:"until"`
		Request int64  `json:"request"`
	}
	const example = `{"by": "1h"}, or {"until": "done"}, for one of several requests with {"request": 10534}, too`
	if err := decode(r, &body, example); err != nil {
		return nil, err
	}
	switch {
	case (body.By == "") == (body.Until == ""):
		return nil, badRequest(`wanted either "by" or "until": %s`, example)
	case body.Until != "":
		if err := a.advanceUntil(r, body.Until, body.Request); err != nil {
			return nil, err
		}
		return map[string]any{"now": a.Emulator.Clock().Now}, nil
	case body.Request != 0:
		return nil, badRequest(`"request" goes with "until": a clock is advanced for all requests`)
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

// advanceUntil advances the clock from change to change until the request has been in the state, or if id is 0, each
// one that is under way now.
func (a api) advanceUntil(r *http.Request, state string, id int64) error {
	left := make(map[int64]bool)
	for _, request := range a.all() {
		begun := request.State != "draft" && request.State != "new" // the states before process
		if id == request.ID || id == 0 && begun {
			left[request.ID] = true
		}
	}
	switch {
	case len(left) == 0 && id != 0:
		_, err := a.Requests.Request(id, ViewBrief)
		return a.failed(http.StatusNotFound, err)
	case len(left) == 0:
		return problem{http.StatusConflict, errors.New("no request is under way: process was called for none")}
	}
	for {
		var waiting []string
		for _, request := range a.all() {
			if request.State == state {
				delete(left, request.ID)
			}
			if left[request.ID] {
				waiting = append(waiting, fmt.Sprintf("request %d is %s", request.ID, request.State))
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		next := a.Emulator.Clock().Next
		if next == nil {
			return problem{http.StatusConflict, fmt.Errorf("%s, and %w", strings.Join(waiting, ", "), errNoChange)}
		}
		if err := r.Context().Err(); err != nil {
			return problem{http.StatusServiceUnavailable, err}
		}
		if err := a.Emulator.Until(*next); err != nil {
			return a.failed(http.StatusBadRequest, err)
		}
	}
}

// all are the requests, in brief.
func (a api) all() []Request {
	list, _ := a.Requests.List(Selection{View: ViewBrief})
	return list
}
