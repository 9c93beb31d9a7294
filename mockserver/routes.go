package mockserver

import (
	"net/http"

	"github.com/gorilla/mux"
)

const apiBase = "/database/v1/"

// methods is the API (WIRE section 1). A raw body is a dump: it is never read as parameters.
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

// downloads are the URLs below /database/<region>/<id>/<key>/ (WIRE section 8).
var downloads = []struct {
	path   string
	on     string // what the journal calls it
	handle func(*Server, *call)
}{
	{"status", "page", (*Server).serveStatusPage},
	{"upgraded/notes", "download", (*Server).serveNotes},
	{"original/sql", "download", (*Server).serveOriginalSQL},
	{"original/archive", "download", (*Server).serveOriginal},
	{"upgraded/sql", "download", (*Server).serveUpgradedSQL},
	{"upgraded/archive", "download", (*Server).serveUpgraded},
	{"modules/archive", "download", (*Server).serveModules},
}

func hasSkipTest(o *Options) bool { return profiles[o.Doc].skipTest }

func (s *Server) routes() http.Handler {
	// A path is taken as it comes: a redirect to a cleaner one would turn a POST into a GET.
	r := mux.NewRouter().SkipClean(true)
	for _, m := range methods {
		if m.exists != nil && !m.exists(&s.opts) {
			continue
		}
		handler := s.method(m.name, m.raw, m.handle)
		r.HandleFunc(apiBase+m.name, handler)
		r.HandleFunc(apiBase+m.name+"/", handler)
	}
	for _, d := range downloads {
		r.HandleFunc("/database/"+s.opts.Region+"/{id}/{key}/"+d.path, s.download(d.on, d.handle))
	}
	if s.opts.ControlAddr == "" || s.opts.ControlAddr == Off {
		r.PathPrefix("/_mock").Handler(s.controlHandler())
	}
	r.HandleFunc("/", s.serveFrontPage)
	r.NotFoundHandler = http.HandlerFunc(s.serveNotFound)
	return r
}
