package control

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"github.com/upgrademock/upgrademock/internal/bytesize"
)

func (a api) sessions(_ http.ResponseWriter, _ *http.Request, q query) (any, error) {
	list := []Session{}
	for _, s := range a.rates.measure(a.Emulator.Sessions(), time.Now()) {
		if q.Request == 0 || q.Request == s.Request {
			list = append(list, s)
		}
	}
	return pageOf("sessions", list, q), nil
}

// rates measures how fast sessions are, from one look at them to the next.
type rates struct {
	mu   sync.Mutex
	last map[sessionKey]sample
}

type sessionKey struct {
	kind    string
	session uint64
}

type sample struct {
	at     time.Time
	offset int64
	rate   int64
}

// measureTime is how long a rate is measured for at least: several may look at the same time.
const measureTime = 500 * time.Millisecond

// measure sets the sessions' rates.
func (r *rates) measure(list []Session, now time.Time) []Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[sessionKey]sample, len(list))
	for i := range list {
		s := &list[i]
		key := sessionKey{s.Kind, s.Session}
		before, known := r.last[key]
		if !known {
			before = sample{at: s.Since}
		}
		if took := now.Sub(before.at); took >= measureTime || !known {
			rate := int64(float64(max(0, s.Offset-before.offset)) / max(took, time.Millisecond).Seconds())
			before = sample{now, s.Offset, rate}
		}
		s.Rate, next[key] = before.rate, before
	}
	r.last = next
	return list
}

// pathSession reads which session a call is about.
func pathSession(r *http.Request) (kind string, session uint64, err error) {
	vars := mux.Vars(r)
	kind = vars["kind"]
	if kind != SFTP && kind != Rsync {
		return "", 0, badRequest("%s", unknown("kind of session", kind, []string{SFTP, Rsync}))
	}
	if session, err = strconv.ParseUint(vars["session"], 10, 64); err != nil {
		return "", 0, badRequest("%q is no session: wanted a number", vars["session"])
	}
	return kind, session, nil
}

func (a api) endSession(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	kind, session, err := pathSession(r)
	if err == nil {
		err = a.failed(http.StatusInternalServerError, a.Emulator.EndSession(kind, session))
	}
	return map[string]any{}, err
}

// cutSession ends a session when its transfer has come to a byte.
func (a api) cutSession(_ http.ResponseWriter, r *http.Request, _ query) (any, error) {
	kind, session, err := pathSession(r)
	if err != nil {
		return nil, err
	}
	var body struct {
		At string `json:"at"`
	}
	if err := decode(r, &body, `{"at": "1MiB"}, the offset in the file`); err != nil {
		return nil, err
	}
	at, err := bytesize.Parse(body.At, strconv.Quote)
	if err != nil {
		return nil, badRequest(`"at": %v`, err)
	}
	return map[string]any{}, a.failed(http.StatusInternalServerError, a.Emulator.CutSession(kind, session, at))
}
