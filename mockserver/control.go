package mockserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/journal"
)

// controlHandler is the API below /_mock/.
func (s *Server) controlHandler() http.Handler { return control.Handler(steered{s}) }

// steered is a Server as the control API sees it.
type steered struct{ *Server }

func (s steered) Requests() []any {
	requests := s.Server.Requests()
	list := make([]any, len(requests))
	for i := range requests {
		list[i] = requests[i]
	}
	return list
}

func (s steered) Request(id int64) (any, error) {
	r, err := s.Server.Request(id)
	return r, inControlWords(err)
}

func (s steered) SetState(id int64, state string, set map[string]any) (any, error) {
	r, err := s.Server.SetState(id, state, set)
	return r, inControlWords(err)
}

func (s steered) Release(id int64) (any, error) {
	r, err := s.Server.Release(id)
	return r, inControlWords(err)
}

func (s steered) Advance(d time.Duration) (time.Time, error) {
	now, err := s.Server.Advance(d)
	return now, inControlWords(err)
}

func inControlWords(err error) error {
	switch {
	case errors.Is(err, ErrNoRequest):
		return control.Refused(http.StatusNotFound, err)
	case errors.Is(err, ErrConflict), errors.Is(err, ErrRealClock):
		return control.Refused(http.StatusConflict, err)
	}
	return err
}

func (s steered) Next(ctx context.Context, f journal.Filter) ([]journal.Event, error) {
	return s.next(ctx, f)
}

func (s steered) Dropped() uint64       { return s.journal.Dropped() }
func (s steered) Advertise() any        { return s.GetAdvertise() }
func (s steered) Metrics() http.Handler { return s.metrics.handler() }
func (s steered) Done() <-chan struct{} { return s.ctx.Done() }

func (s steered) SetAdvertise(body []byte) error {
	var a Advertise
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return fmt.Errorf(`wanted {"url": "http://…", "sftp_host": "…", "sftp_port": 2200}, each optional: %w`, err)
	}
	return s.Server.SetAdvertise(a)
}
