package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// What is no such server gets one line that says what it is, not a list of failures.
func TestRun_noSuchServer(t *testing.T) {
	t.Parallel()
	handlers := map[string]struct {
		h    http.HandlerFunc
		says string
	}{
		"a web site": {func(w http.ResponseWriter,
			_ *http.Request) {
			io.WriteString(w, "<html>Welcome to nginx!</html>")
		}, "Welcome to nginx"},
		"not found": {http.NotFound, "404"},
		"a list":    {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "[]") }, "a list"},
		"invalid UTF-8": {func(w http.ResponseWriter,
			_ *http.Request) {
			io.WriteString(w, "{\"failures\": [\"\xff\"]}")
		}, "UTF-8"},
		"a redirect": {func(w http.ResponseWriter,
			r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusFound)
		}, "/login"},
		"hangs": {func(_ http.ResponseWriter,
			r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, "no answer"},
		"resets": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"closed the connection"},
		"floods": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, "larger than"},
		"flows for ever": {func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.WriteString(w, " "); err != nil || r.Context().Err() != nil {
					return
				}
				w.(http.Flusher).Flush()
			}
		}, "no"},
	}
	for name, tt := range handlers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(tt.h)
			defer srv.Close()
			limit := callTime
			if name == "hangs" || name == "flows for ever" {
				limit = 300 * time.Millisecond // no call ends before, on whatever machine
			}
			rep, err := conformance.Run(t.Context(), conformance.Target{URL: srv.URL, Contract: contract},
				&conformance.Options{CallTimeout: limit})
			if !errors.Is(err, conformance.ErrNoServer) || len(rep.Results) != 1 || rep.OK() {
				t.Fatalf("error %v and %d results, want ErrNoServer and one", err, len(rep.Results))
			}
			if res := rep.Results[0]; !strings.Contains(res.Message, tt.says) ||
				!strings.Contains(res.Message, srv.URL) {
				t.Errorf("the message lacks %q or the URL: %s", tt.says, res.Message)
			}
		})
	}
}

// Where nothing listens, or a URL is none, the error says so.
func TestRun_noServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	rep, err := conformance.Run(t.Context(),
		conformance.Target{URL: "http://" + l.Addr().String(), Contract: contract}, nil)
	if !errors.Is(err, conformance.ErrNoServer) || len(rep.Results) != 1 ||
		rep.Results[0].Verdict != conformance.Error || !strings.Contains(rep.Results[0].Message, "refused") {
		t.Errorf("error %v, results %+v", err, rep.Results)
	}
	for _, u := range []string{"", "ftp://127.0.0.1", "127.0.0.1:8480", "http://"} {
		rep, err := conformance.Run(t.Context(), conformance.Target{URL: u, Contract: contract}, nil)
		if !errors.Is(err, conformance.ErrURL) || len(rep.Results) != 1 || rep.Errors != 1 {
			t.Errorf("%q: error %v, results %+v", u, err, rep.Results)
		}
	}
}

// callTime is what a call may take in these tests: so much that a good answer is never late, also on a busy machine.
const callTime = 10 * time.Second

// withinLimits judges a server some of whose calls never end. It makes a run with a short limit for a call, which is
// all that the hanging ones need, and where that does not give what the test wants, because a good answer was late on
// a busy machine, one with callTime, which counts.
func withinLimits(t *testing.T, target conformance.Target, opts conformance.Options,
	judge func(*conformance.Report) error) {
	t.Helper()
	var err error
	for _, opts.CallTimeout = range []time.Duration{500 * time.Millisecond, callTime} {
		var rep *conformance.Report
		if rep, err = conformance.Run(t.Context(), target, &opts); err == nil {
			err = judge(rep)
		}
		if err == nil {
			return
		}
	}
	t.Error(err)
}

// A server that goes wrong in one place only: each check ends by itself and has a verdict of its own.
func TestRun_goesWrongInPlaces(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(w http.ResponseWriter, r *http.Request){
		"status hangs":    func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"status is reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"status floods":   func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 3<<20)) },
		"status is garbage": func(w http.ResponseWriter,
			_ *http.Request) {
			io.WriteString(w, "{\"failures\": \xff\xfe}")
		},
		"status is deep": func(w http.ResponseWriter,
			_ *http.Request) {
			io.WriteString(w, strings.Repeat("[", 100_000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 3)
			s := refserver.New(t)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/status") && r.URL.Query().Get("request") != "999999999" {
					io.Copy(io.Discard, r.Body)
					wrong(w, r)
					return
				}
				s.ServeHTTP(w, r)
			}))
			defer front.Close()
			withinLimits(t, conformance.Target{URL: front.URL, Contract: contract, PublicURL: s.URL()},
				conformance.Options{Wait: time.Second,
					Run: regexp.MustCompile("^(status|create|process)/")},
				func(rep *conformance.Report) error {
					if rep.Failed == 0 || rep.Passed == 0 || len(rep.Results) < 80 {
						return fmt.Errorf("%d passed, %d failed, %d errors, %d skipped",
							rep.Passed, rep.Failed, rep.Errors, rep.Skipped)
					}
					for _, res := range rep.Results {
						if strings.Contains(res.Message, "the suite has a mistake") { // whatever was late
							t.Errorf("%s: %s", res.ID, res.Message)
						}
						if res.ID == "status/answer" && res.Verdict != conformance.Fail {
							return fmt.Errorf("%s: %s %s", res.ID, res.Verdict, res.Message)
						}
					}
					return nil
				})
		})
	}
}

// A run that is stopped says so for each check it did not come to.
func TestRun_stopped(t *testing.T) {
	t.Parallel()
	s := refserver.New(t)
	rep, _ := conformance.Run(t.Context(), conformance.Target{URL: s.URL(), Contract: contract},
		&conformance.Options{Timeout: 100 * time.Millisecond})
	if rep.OK() || rep.Errors == 0 {
		t.Errorf("%d passed, %d errors", rep.Passed, rep.Errors)
	}
}

// A check in the middle of which a run is stopped was not judged: it neither fails, nor passes.
func TestRun_stoppedWithin(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	srv := mockservertest.New(t, &mockserver.Options{OnUpload: func(int64) { cancel() }}, mockservertest.AllowUnknownCalls)
	rep, err := conformance.Run(ctx, conformance.Target{URL: srv.URL(), Contract: contract},
		&conformance.Options{Run: regexp.MustCompile("^(sftp/(large|put|resume)|upload/large)$")})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Errors == 0 {
		t.Errorf("%d passed, and none was stopped", rep.Passed)
	}
	for _, res := range rep.Results {
		if res.Verdict == conformance.Fail || res.Verdict == conformance.Error && !strings.HasPrefix(res.Message, "not ") {
			t.Errorf("%s %s: %s", res.ID, res.Verdict, res.Message)
		}
	}
}

// A server that lets in and then says nothing more costs a call's time, not a check's.
func TestRun_sftpHangs(t *testing.T) {
	t.Parallel()
	s := refserver.New(t, "sftp hangs")
	withinLimits(t, conformance.Target{URL: s.URL(), Contract: contract},
		conformance.Options{
			Run: regexp.MustCompile("^sftp/(session|root|put|exit-status|login-ed25519|exec-refused)$")},
		func(rep *conformance.Report) error {
			verdicts := map[string]conformance.Verdict{}
			for _, res := range rep.Results {
				verdicts[res.ID] = res.Verdict
			}
			if verdicts["sftp/session"] != conformance.Fail || verdicts["sftp/login-ed25519"] != conformance.Pass ||
				verdicts["sftp/root"] != conformance.Skip {
				return fmt.Errorf("verdicts %v", verdicts)
			}
			return nil
		})
}

// What makes every check pointless ends the run before the first, and is one result.
func TestRun_endsBeforeTheChecks(t *testing.T) {
	t.Parallel()
	mock := mockservertest.New(t, nil, mockservertest.AllowUnknownCalls)
	plain, careful := refserver.New(t), refserver.New(t,
		"create/all-problems") // which names the contract only when nothing else is wrong
	const unknown = "M123456-abcxyz"
	for name, tt := range map[string]struct {
		url, contract string
		want          error
	}{
		"the methods' path":          {plain.URL() + "/database/v1", contract, conformance.ErrURL},
		"a query":                    {plain.URL() + "?a=b", contract, conformance.ErrURL},
		"a contract that is unknown": {plain.URL(), unknown, conformance.ErrContract},
		"one that is said last":      {careful.URL(), unknown, conformance.ErrContract},
		"a certificate":              {mock.HTTPSURL(), contract, conformance.ErrCertificate},
		"https where http is spoken": {strings.Replace(mock.URL(), "http:", "https:", 1), contract,
			conformance.ErrScheme},
		"http where https is spoken": {strings.Replace(mock.HTTPSURL(), "https:", "http:", 1), contract,
			conformance.ErrScheme},
		"another path than that of the API": {plain.URL() + "/elsewhere", contract, conformance.ErrNoServer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rep, err := conformance.Run(t.Context(), conformance.Target{URL: tt.url, Contract: tt.contract}, nil)
			if !errors.Is(err, tt.want) || rep.OK() || len(rep.Results) != 1 || rep.Errors != 1 {
				t.Errorf("error %v, %d results, want %v and one", err, len(rep.Results), tt.want)
			}
		})
	}
}
