package mockserver

import (
	"net/http"
	"sync"

	"github.com/gorilla/mux"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

const apiBase = "/database/v1/"

// methods is the API (docs/fidelity.md, section 1). A raw body is a dump: it is never read as parameters.
var methods = []struct {
	name   string
	raw    bool
	exists func(*Options) bool // nil: in every edition
	handle func(*Server, *call) answer
}{
	{name: "create", handle: (*Server).handleCreate},
	{name: "upload", raw: true, handle: (*Server).handleUpload},
	{name: "request_sftp_access", handle: (*Server).handleSFTPAccess},
	{name: "process", handle: (*Server).handleProcess},
	{name: "status", handle: (*Server).handleStatus},
	{name: "skip_test", exists: hasSkipTest, handle: (*Server).handleSkipTest},
	{name: "upgrade", raw: true, handle: (*Server).handleUpgrade},
}

// downloads are the URLs below /database/<region>/<id>/<key>/ (docs/fidelity.md, section 8).
var downloads = []struct {
	path   string
	on     string // what the journal calls it
	handle func(*Server, *call)
}{
	{"status", journal.OnPage, (*Server).serveStatusPage},
	{"upgraded/notes", scenario.OnDownload, (*Server).serveNotes},
	{"original/sql", scenario.OnDownload, (*Server).serveOriginalSQL},
	{"original/archive", scenario.OnDownload, (*Server).serveOriginal},
	{"upgraded/sql", scenario.OnDownload, (*Server).serveUpgradedSQL},
	{"upgraded/archive", scenario.OnDownload, (*Server).serveUpgraded},
	{"modules/archive", scenario.OnDownload, (*Server).serveModules},
}

func hasSkipTest(o *Options) bool { return profiles[o.Edition].skipTest }

// routes answers every path. The methods, which are polled, are found by their path alone, and the URLs share one route: each route is a
// regular expression, which costs time at every start and, until one fits, in every call.
func (s *Server) routes() http.Handler {
	calls := make(map[string]http.HandlerFunc)
	for _, m := range methods {
		if m.exists == nil || m.exists(&s.opts) {
			handler := s.method(m.name, m.raw, m.handle)
			calls[apiBase+m.name], calls[apiBase+m.name+"/"] = handler, handler
		}
	}
	others := s.otherRoutes()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handle := calls[r.URL.Path]; handle != nil {
			handle(w, r)
		} else {
			others.ServeHTTP(w, r)
		}
	})
}

// endingAfterDoubt has the connection of a call end with its answer where another reader may see another end of its body: the call may have had both a
// length and chunks (RFC 9112 section 6.3), or chunks in HTTP/1.0, of which net/http leaves no trace. So what follows it is never a call.
func endingAfterDoubt(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) && (r.ContentLength != 0 || r.Method != http.MethodGet && r.Method != http.MethodHead) {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) otherRoutes() http.Handler {
	urls := make(map[string]http.HandlerFunc)
	for _, d := range downloads {
		urls[d.path] = s.download(d.on, d.handle)
	}
	// A path is taken as it comes: a redirect to a cleaner one would turn a POST into a GET.
	r := mux.NewRouter().SkipClean(true)
	r.HandleFunc("/database/"+s.opts.Region+"/{id}/{key}/{url:.+}", func(w http.ResponseWriter, r *http.Request) {
		if handle := urls[mux.Vars(r)["url"]]; handle != nil {
			handle(w, r)
		} else {
			s.serveNotFound(w, r)
		}
	})
	if s.opts.ControlAddr == "" || s.opts.ControlAddr == Off {
		control := sync.OnceValue(s.controlHandler) // most servers in tests are never asked
		r.PathPrefix("/_mock").HandlerFunc(func(w http.ResponseWriter, r *http.Request) { control().ServeHTTP(w, r) })
	}
	r.HandleFunc("/", s.serveFrontPage)
	r.NotFoundHandler = http.HandlerFunc(s.serveNotFound)
	return r
}
