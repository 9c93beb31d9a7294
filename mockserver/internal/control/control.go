// Package control is the API below /_mock/: it looks into the emulator and steers it. It is apart from the
// emulated API, and may have a listener of its own.
//
// JSON in and out; problems are {"error": "…"} with a 4xx status. openapi.yaml describes it, and a test holds
// the two together.
package control

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"github.com/upgrademock/upgrademock/mockserver/internal/livepage"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Base is where the API begins.
const Base = "/_mock"

// problem is an error with the status it answers.
type problem struct {
	status int
	err    error
}

func (p problem) Error() string { return p.err.Error() }
func (p problem) Unwrap() error { return p.err }

func badRequest(format string, args ...any) error {
	return problem{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

// Handler serves the API.
func Handler(config Config) http.Handler {
	config.Heartbeat = cmp.Or(config.Heartbeat, DefaultHeartbeat)
	a := api{Config: config, rates: new(rates), streams: new(streams)}
	r := mux.NewRouter().SkipClean(true)
	for _, route := range a.routes() {
		methods := []string{route.method}
		if route.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		// A file's name has slashes in it.
		path := strings.ReplaceAll(route.path, "{path}", "{path:.+}")
		r.HandleFunc(Base+path, a.serve(route)).Methods(methods...)
	}
	page := livepage.Handler(Base)
	r.Handle(Base, http.RedirectHandler(Base+"/", http.StatusPermanentRedirect)).Methods("GET", "HEAD")
	r.Handle(Base+"/", page).Methods("GET", "HEAD")
	r.PathPrefix(Base+"/page/").Handler(page).Methods("GET", "HEAD")
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound,
			problemBody{Error: "nothing is at " + r.URL.Path + "; see " + Base + "/openapi.yaml for what there is"})
	})
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		allowed := methodsAt(r, req)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		answer(w, http.StatusMethodNotAllowed, problemBody{
			Error: fmt.Sprintf("%s is not possible at %s: choose %s; see %s/openapi.yaml",
				req.Method, req.URL.Path, strings.Join(allowed, ", "), Base)})
	})
	// A page in the developer's browser must not be able to steer the emulator.
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusForbidden, problemBody{Error: "a page of another site may not steer the " +
			"emulator; open " + Base + "/ of the emulator's own address, or call it from a program"})
	}))
	return a.keepPagesOut(protection.Handler(r))
}

// serve reads a call's parameters, has it handled, and writes the answer.
func (a api) serve(route route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		told := a.tell(route, r)
		q, err := a.readQuery(r, route.query)
		if err == nil && !route.body {
			err = noBody(r)
		}
		var value any
		if err == nil {
			value, err = route.handle(w, r, q)
		}
		told(err)
		switch {
		case errors.Is(err, errWritten):
		case err != nil:
			answerProblem(w, err)
		default:
			answer(w, http.StatusOK, value)
		}
	}
}

// methodsAt are the methods that are possible at the path of a call.
func methodsAt(router *mux.Router, r *http.Request) []string {
	var possible []string
	all := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete}
	for _, method := range all {
		try := r.Clone(r.Context())
		try.Method = method
		var match mux.RouteMatch
		if router.Match(try, &match) && match.MatchErr == nil {
			possible = append(possible, method)
		}
	}
	return possible
}

type route struct {
	method, path string   // GET is HEAD, too
	query        []string // the parameters of the query string
	body         bool     // whether there is one
	handle       func(http.ResponseWriter, *http.Request, query) (any, error)
}

func (a api) routes() []route {
	return []route{
		{"GET", "/healthz", nil, false, a.health},
		{"GET", "/about", nil, false, a.about},
		{"GET", "/requests", []string{"contract", "state", "search", "order", "after", "limit", "view"}, false, a.requests},
		{"GET", "/requests/{id}", []string{"view"}, false, a.request},
		{"GET", "/requests/{id}/timeline", nil, false, a.timeline},
		{"GET", "/requests/{id}/scenario", nil, false, a.retraced},
		{"GET", "/requests/{id}/files", byPage, false, a.files},
		{"GET", "/requests/{id}/files/{path}", nil, false, a.file},
		{"POST", "/requests/{id}/fault", nil, true, a.fault},
		{"DELETE", "/requests/{id}/access", nil, false, a.endAccess},
		{"POST", "/requests/{id}/state", nil, true, a.setState},
		{"POST", "/requests/{id}/release", nil, false, a.release},
		{"GET", "/journal", slices.Concat(byEvent, byPage), false, a.journal},
		{"DELETE", "/journal", byEvent, false, a.clearJournal},
		{"GET", "/scenarios", byPage, false, a.scenarios},
		{"POST", "/scenarios", nil, true, a.addScenario},
		{"DELETE", "/scenarios", []string{"name"}, false, a.removeScenarios},
		{"GET", "/scenarios/{name}", nil, false, a.scenario},
		{"POST", "/scenarios/check", nil, true, a.checkScenario},
		{"GET", "/builtin", byPage, false, a.builtin},
		{"GET", "/builtin/{name}", nil, false, a.builtinText},
		{"GET", "/sessions", append([]string{"request"}, byPage...), false, a.sessions},
		{"DELETE", "/sessions/{kind}/{session}", nil, false, a.endSession},
		{"POST", "/sessions/{kind}/{session}/cut", nil, true, a.cutSession},
		{"GET", "/clock", nil, false, a.clock},
		{"PUT", "/clock", nil, true, a.setClock},
		{"POST", "/clock/advance", nil, true, a.advance},
		{"GET", "/verify", []string{"request", "contract", "since"}, false, a.verify},
		{"GET", "/wait", []string{"request", "contract", "on", "since", "timeout"}, false, a.wait},
		{"POST", "/reset", byScope, false, a.reset},
		{"GET", "/capsule", byScope, false, a.capsule},
		{"GET", "/advertise", nil, false, a.advertised},
		{"PUT", "/advertise", nil, true, a.advertise},
		{"GET", "/ca.pem", nil, false, a.authority},
		{"GET", "/known_hosts", nil, false, a.knownHosts},
		{"GET", "/env", nil, false, a.environment},
		{"GET", "/metrics", nil, false, a.metrics},
		{"GET", "/events", append(slices.Clone(byEvent), "limit"), false, a.events},
		{"GET", "/openapi.yaml", nil, false, a.openapi},
	}
}

type problemBody struct {
	Error    string             `json:"error"`
	Mistakes []scenario.Mistake `json:"mistakes,omitempty"` // in a scenario
}

func answerProblem(w http.ResponseWriter, err error) {
	var p problem
	status := http.StatusInternalServerError
	if errors.As(err, &p) {
		status = p.status
	}
	body := problemBody{Error: err.Error()}
	if wrong, ok := errors.AsType[*scenario.Error](err); ok {
		body.Mistakes = wrong.Mistakes
	}
	answer(w, status, body)
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

func pathID(r *http.Request) (int64, error) {
	text := mux.Vars(r)["id"]
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, badRequest("%q is no request id: wanted a number", text)
	}
	return id, nil
}
