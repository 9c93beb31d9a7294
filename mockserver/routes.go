package mockserver

import (
	"maps"
	"net/http"
	"sync"

	"github.com/gorilla/mux"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/api/database"
	"github.com/upgrademock/upgrademock/mockserver/internal/api/script"
	"github.com/upgrademock/upgrademock/mockserver/internal/control"
)

// openAPIs makes the emulated APIs.
func (s *Server) openAPIs() {
	var waits api.Waits
	if s.observer.skipper != nil {
		waits = s.observer.skipper
	}
	shared := api.New(api.Config{
		Platform: s.platform, Scripts: s.scripts, Keys: &s.keys, Logger: s.log, Record: s.observer.record,
		Now: s.opts.Clock.Now, Timed: s.timed, Stall: s.patience.stall,
		Closing: s.ctx, Conns: &s.conns,
		Region: s.opts.Region, MaxDump: s.opts.MaxDump, PublicURL: func() string { return s.advertise.Load().URL },
		Waits: waits, BeforeProcess: s.opts.BeforeProcess, OnUpload: s.opts.OnUpload,
	})
	s.database = database.New(shared, database.Config{
		Edition: s.opts.Edition, SkipTest: profiles[s.opts.Edition].skipTest, Targets: s.opts.Targets,
		FailureStatus: s.opts.FailureStatus,
		LivePage:      s.livePage,
		SFTPAddr:      s.SFTPAddr,
		AdvertisedSFTP: func(called string) (string, int) {
			a := s.advertise.Load()
			if a.SFTPHost == "" {
				return s.client.sftpHost(called), a.SFTPPort
			}
			return a.SFTPHost, a.SFTPPort
		},
	})
	s.script = script.New(shared, script.Config{
		Assigned: s.assigned, StartTransfer: s.startTransfer, StopTransfer: s.transfers.Stop,
		Script: s.opts.Script, OptionName: s.opts.OptionName,
	})
}

// livePage is where the front page links to: a path of this server, or the listener that the control API has.
func (s *Server) livePage() string {
	if !s.controlsApart() {
		return control.Base + "/"
	}
	if url := s.AdminURL(); s.addr("control") != "" {
		return url + "/"
	}
	return ""
}

// controlsApart reports whether the control API has a listener of its own.
func (s *Server) controlsApart() bool { return s.opts.ControlAddr != "" && s.opts.ControlAddr != Off }

// routes answers every path. The methods are found in a map by their path, all else by gorilla/mux.
// Deliberately not all by mux: to find a method, it takes 0.6 µs and 7 allocations more than the map, and a whole poll
// takes 1.8 µs (BenchmarkStatus), or 12 µs with the network; see bench/README.md.
func (s *Server) routes() http.Handler {
	calls := s.database.Handlers()
	maps.Copy(calls, s.script.Handlers())
	// A path is taken as it comes: a redirect to a cleaner one would turn a POST into a GET.
	others := mux.NewRouter().SkipClean(true)
	s.database.Route(others)
	s.script.Route(others)
	if !s.controlsApart() {
		handler := sync.OnceValue(s.controlHandler) // a sixth of the time of making a server; most are never asked
		others.PathPrefix(control.Base).
			HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler().ServeHTTP(w, r) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handle := calls[r.URL.Path]; handle != nil {
			handle(w, r)
		} else {
			others.ServeHTTP(w, r)
		}
	})
}

// endingAfterDoubt has the connection of a call end with its answer where another reader may see another end of
// its body: the call may have had both a length and chunks (RFC 9112 section 6.3), or chunks in HTTP/1.0, of
// which net/http leaves no trace. So what follows it is never a call.
func endingAfterDoubt(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		old := !r.ProtoAtLeast(1, 1) &&
			(r.ContentLength != 0 || r.Method != http.MethodGet && r.Method != http.MethodHead)
		if len(r.TransferEncoding) > 0 || old {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
