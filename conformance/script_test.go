package conformance_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// newMock is an emulator that may be called in every way.
func newMock(t *testing.T, opts *mockserver.Options) *mockserver.Server {
	return mockservertest.New(t, opts, mockservertest.AllowUnknownCalls, mockservertest.AllowUnmetExpectations)
}

// The emulator passes every check of the script API, over HTTP and HTTPS.
func TestScript_mock(t *testing.T) {
	t.Parallel()
	srv := newMock(t, nil)
	pem, err := os.ReadFile(srv.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for url, skips := range map[string]int{srv.URL(): 3, srv.HTTPSURL(): 1} {
		if testing.Short() && url == srv.HTTPSURL() {
			continue
		}
		rep := judged(t, conformance.Target{URL: url, Contract: contract},
			&conformance.Options{API: conformance.APIScript, Level: conformance.LevelAssumed, RootCAs: pool})
		for _, res := range rep.Results {
			if res.Verdict == conformance.Skip {
				t.Logf("%s: %s", res.ID, res.Message)
			}
		}
		if rep.Skipped != skips {
			t.Errorf("%s: %d checks were skipped, want %d", url, rep.Skipped, skips)
		}
	}
}

// A recording is judged offline as the server was, word for word, and the tokens in it cannot be used.
func TestScript_replay(t *testing.T) {
	t.Parallel()
	srv := newMock(t, nil)
	var recording bytes.Buffer
	target := conformance.Target{URL: srv.URL(), Contract: contract}
	rep := run(t, target, &conformance.Options{API: conformance.APIScript, Level: conformance.LevelAssumed,
		Record: &recording})
	for _, req := range srv.Requests() {
		if strings.Contains(recording.String(), req.Key) {
			t.Fatalf("the token of request %d is in the recording", req.ID)
		}
	}
	srv.Close() // offline is offline
	again, err := conformance.Replay(t.Context(), &recording, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rep.Results, again.Results, timeless); diff != "" {
		t.Errorf("judged differently (-live +replayed):\n%s", diff)
	}
}

// With Production: one request, one call at a time, and what is judged at the end by a later run.
func TestScript_production(t *testing.T) {
	t.Parallel()
	srv := newMock(t, nil)
	target := conformance.Target{URL: srv.URL(), Contract: contract, Email: "someone@example.com"}
	var saved *conformance.Saved
	first := judged(t, target, &conformance.Options{API: conformance.APIScript, Production: true,
		Pause: time.Millisecond, Save: func(s conformance.Saved) { saved = &s }})
	if n := len(srv.Requests()); n != 1 || len(first.Created) != 1 || first.Created[0].API != conformance.APIScript {
		t.Errorf("%d requests made, %v listed, want one", n, first.Created)
	}
	if saved == nil || first.Passed < 25 {
		t.Fatalf("saved %v, %d passed", saved != nil, first.Passed)
	}
	second := judged(t, target, &conformance.Options{Production: true, Pause: time.Millisecond, Resume: saved,
		Wait: 30 * time.Second})
	verdicts := map[string]conformance.Verdict{}
	for _, res := range second.Results {
		verdicts[res.ID] = res.Verdict
	}
	for _, id := range []string{"reaches-done", "download", "logs-range", "exit-status", "state-names"} {
		if verdicts["script/"+id] != conformance.Pass {
			t.Errorf("script/%s: %q after resuming, want pass", id, verdicts["script/"+id])
		}
	}
	if n := len(srv.Requests()); n != 1 || verdicts["script/create-answer"] == conformance.Pass {
		t.Errorf("%d requests in the end, create-answer %s", n, verdicts["script/create-answer"])
	}
}

// Where a check fails, its message has no token, though the answer that it shows has.
func TestScript_tokensAreHidden(t *testing.T) {
	t.Parallel()
	srv := newMock(t, nil)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.HasSuffix(r.URL.Path, "/status") {
			fmt.Fprintf(w, `{"result": {"status": 5, "you": %q}}`, body)
			return
		}
		srv.ServeHTTP(w, r)
	}))
	defer front.Close()
	rep := run(t, conformance.Target{URL: front.URL, Contract: contract}, &conformance.Options{
		API: conformance.APIScript, Run: regexp.MustCompile("^script/(status|host|create|content)")})
	if rep.Failed == 0 {
		t.Fatal("no check failed")
	}
	for _, res := range rep.Results {
		for _, req := range srv.Requests() {
			if strings.Contains(res.Message, req.Key) {
				t.Errorf("%s shows the token of request %d: %s", res.ID, req.ID, res.Message)
			}
		}
	}
}

// only is an emulator that has nothing but the paths below prefix. The rest answers with that body.
func only(t *testing.T, prefix, body string) string {
	srv := newMock(t, nil)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, prefix) {
			http.Error(w, body, http.StatusNotFound)
			return
		}
		srv.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// A server is judged by what it has, and nothing is made where it is only looked for.
func TestAPI_whatTheServerHas(t *testing.T) {
	t.Parallel()
	both := newMock(t, nil)
	for name, tt := range map[string]struct {
		url    string
		api    conformance.API
		groups string // that are judged
		left   conformance.API
		err    error
	}{
		"both":              {url: both.URL(), groups: "create script"},
		"the database's":    {url: both.URL(), api: conformance.APIDatabase, groups: "create"},
		"the script's":      {url: both.URL(), api: conformance.APIScript, groups: "script"},
		"only the database": {url: only(t, "/database/", "no"), groups: "create", left: conformance.APIScript},
		"only the script": {url: only(t, "/upgrade/", `{"detail": "Not Found"}`), groups: "script",
			left: conformance.APIDatabase},
		"all of one": {url: only(t, "/database/", "no"), api: conformance.APIAll, err: conformance.ErrNoServer},
		"neither":    {url: only(t, "/elsewhere/", "nothing here"), err: conformance.ErrNoServer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rep, err := conformance.Run(t.Context(), conformance.Target{URL: tt.url, Contract: contract},
				&conformance.Options{API: tt.api, Run: regexp.MustCompile("^(create/succeeds|script/create-answer)$")})
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			var groups []string
			for _, res := range rep.Results {
				group, _, _ := strings.Cut(res.ID, "/")
				groups = append(groups, group)
				if err == nil && res.Verdict != conformance.Pass {
					t.Errorf("%s: %s %s", res.ID, res.Verdict, res.Message)
				}
			}
			if err == nil && strings.Join(groups, " ") != tt.groups {
				t.Errorf("judged %v, want %s", groups, tt.groups)
			}
			if tt.left != "" && (len(rep.LeftOut) != 1 || rep.LeftOut[0].API != tt.left ||
				!strings.Contains(rep.LeftOut[0].Reason, "HTTP 404")) {
				t.Errorf("left out %+v, want %s", rep.LeftOut, tt.left)
			}
			if name == "neither" && !strings.Contains(err.Error(), "nothing here") {
				t.Errorf("the error does not show what came: %v", err)
			}
		})
	}
}
