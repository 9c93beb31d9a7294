package control

import (
	"errors"
	"net/http"
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
