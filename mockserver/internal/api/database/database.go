// Package database is the emulated API of the official page, /database/v1: its methods, parameters and answers,
// and the page of a request. A method's file is named for it.
package database

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Config is what the API needs beside what all APIs share.
type Config struct {
	Edition       string   // of the page that is emulated, for messages
	SkipTest      bool     // the edition has the method skip_test
	Targets       []string // versions that a database can be upgraded to
	FailureStatus int      // HTTP status of answers with failures
	// LivePage is the URL of the page that shows the emulator, for a link on this server; "" if there is none.
	LivePage func() string
	// SFTPAddr is where the SFTP server listens; "" if it does not.
	SFTPAddr func() string
	// AdvertisedSFTP is where clients find it that called the server as that host; 0 is the port of SFTPAddr.
	AdvertisedSFTP func(called string) (host string, port int)
}

// API is /database/v1. Its methods may be called concurrently.
type API struct {
	*api.API
	Config
}

// New makes the API.
func New(shared *api.API, config Config) *API { return &API{API: shared, Config: config} }

const base = "/database/v1/"

// method is a method of the API (docs/fidelity.md, section 1).
type method struct {
	name    string
	dump    bool // the body is a dump, and never read as parameters
	creates bool // it makes the request that it is about
	exists  func(*API) bool
	handle  func(*API, *api.Call) (any, error)
}

var methods = []method{
	{name: scenario.OnCreate, creates: true, handle: (*API).create},
	{name: scenario.OnUpload, dump: true, handle: (*API).upload},
	{name: scenario.OnRequestSFTPAccess, handle: (*API).requestSFTPAccess},
	{name: scenario.OnProcess, handle: (*API).process},
	{name: scenario.OnStatus, handle: (*API).status},
	{name: scenario.OnSkipTest, exists: func(a *API) bool { return a.SkipTest }, handle: (*API).skipTest},
	{name: scenario.OnUpgrade, dump: true, creates: true, handle: (*API).upgrade},
}

// allowed are the HTTP methods that all answer alike (row 1.5).
var allowed = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut}

// Methods are the names of the methods of all editions.
func Methods() []string {
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = m.name
	}
	return names
}

// Handlers are the methods that the edition has, by their paths.
func (a *API) Handlers() map[string]http.HandlerFunc {
	handlers := make(map[string]http.HandlerFunc)
	for _, m := range methods {
		if m.exists == nil || m.exists(a) {
			handler := a.Serve(api.Endpoint{
				On: m.name, Methods: allowed, Dump: m.dump,
				Read:   func(c *api.Call) error { return a.read(c, m) },
				Handle: func(c *api.Call) (any, error) { return m.handle(a, c) },
				Write:  a.write,
			})
			handlers[base+m.name], handlers[base+m.name+"/"] = handler, handler
		}
	}
	return handlers
}

// Route adds the URLs of the answers, and the front page, to a router.
func (a *API) Route(r *mux.Router) {
	fail := func(c *api.Call, err error) { a.write(c, nil, err) }
	urls := a.Downloads(fail)
	urls["status"] = a.URL(journal.OnPage, a.statusPage, fail)
	notFound := a.NotFound()
	r.HandleFunc("/database/"+a.Region+"/{id}/{key}/{url:.+}", func(w http.ResponseWriter, r *http.Request) {
		if handle := urls[mux.Vars(r)["url"]]; handle != nil {
			handle(w, r)
		} else {
			notFound(w, r)
		}
	})
	r.HandleFunc("/", a.frontPage)
	r.NotFoundHandler = notFound
}

// own is what the API keeps with a call.
type own struct {
	params params
	answer described // to create, upgrade and status
}

// Reset is api.Call's.
func (o *own) Reset() { *o = own{params: o.params.emptied()} }

func ownOf(c *api.Call) *own { return c.Own.(*own) }

// read reads the parameters, and finds out whose call it is.
func (a *API) read(c *api.Call, m method) error {
	o, ok := c.Own.(*own)
	if !ok {
		o = new(own)
		c.Own = o
	}
	if m.dump {
		o.params.readQuery(c.R)
	} else if err := o.params.read(c.R); err != nil {
		return badParameters(err)
	}
	c.Params = o.params.list
	if m.creates {
		c.ForNew(createParams(&o.params))
		return nil
	}
	id := o.params.get("request")
	c.ForRequest(platform.Ref{ID: id, Key: o.params.get("key")})
	if id == "" {
		c.Event.Contract = o.params.get("contract")
	}
	return nil
}
