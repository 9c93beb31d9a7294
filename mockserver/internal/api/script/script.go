// Package script is the emulated API of today's platform, which the upgrade script uses: JSON-RPC calls below
// /upgrade/request/, the log of an upgrade, and the script itself. A call's file is named for it.
package script

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/upgrademock/upgrademock/internal/spelling"
	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Config is what the API needs beside what all APIs share. All fields but Script are required.
type Config struct {
	// Assigned is the host, with or without a port, under which the client of a call finds the emulator over HTTPS
	// and over SSH (row S2.11).
	Assigned func(*http.Request) string
	// StartTransfer opens the SSH server of a transfer for a client that was assigned that host. It returns the port,
	// and the text for the client's known_hosts; nil is null. An error may be platform.Failures.
	StartTransfer func(r *platform.Request, kind, assigned string) (port int, knownHosts *string, err error)
	// StopTransfer closes it. It does nothing if there is none.
	StopTransfer func(id int64)

	Script     string                     // the file that GET /upgrade hands out; "": none
	OptionName func(option string) string // how texts call an option of the emulator
}

// API is the API of the script. Its methods may be called concurrently.
type API struct {
	*api.API
	Config
}

// New makes the API.
func New(shared *api.API, config Config) *API { return &API{API: shared, Config: config} }

const (
	base       = "/upgrade/request/"
	scriptPath = "/upgrade"
)

// method is a JSON-RPC call (row S1.4).
type method struct {
	name     string // its path behind base
	on       string
	required []string // parameters that must be there, as strings
	read     func(*API, *api.Call) error
	handle   func(*API, *api.Call) (any, error)
}

var methods = []method{
	{
		"create",
		scenario.OnScriptCreate,
		[]string{"contract", "target", "aim", "ssh_key"},
		(*API).readCreate,
		(*API).create,
	},
	{
		"transfer/start",
		scenario.OnScriptTransferStart,
		[]string{"token", "transfer_type"},
		(*API).readToken,
		(*API).startTransfer,
	},
	{"transfer/stop", scenario.OnScriptTransferStop, []string{"token"}, (*API).readToken, (*API).stopTransfer},
	{"process", scenario.OnScriptProcess, []string{"token"}, (*API).readToken, (*API).process},
	{"status", scenario.OnScriptStatus, []string{"token"}, (*API).readToken, (*API).status},
	{"wipe", scenario.OnScriptWipe, []string{"contract", "token"}, (*API).readToken, (*API).wipe},
}

// Kinds are what the journal calls the API's calls.
func Kinds() []string {
	var list []string
	for _, m := range methods {
		list = append(list, m.on)
	}
	return append(list, scenario.OnScriptLogs, journal.OnScriptFile)
}

// Handlers are the calls by their paths.
func (a *API) Handlers() map[string]http.HandlerFunc {
	handlers := map[string]http.HandlerFunc{
		base + "logs": a.Serve(api.Endpoint{
			On: scenario.OnScriptLogs, Methods: reading, Read: a.readLogs, Handle: a.logs, Write: a.writeContent,
		}),
		scriptPath: a.Serve(api.Endpoint{
			On: journal.OnScriptFile, Methods: reading, Handle: a.file, Write: a.writeContent,
		}),
	}
	for _, m := range methods {
		handlers[base+m.name] = a.Serve(api.Endpoint{
			On: m.on, Methods: []string{http.MethodPost},
			Read:   func(c *api.Call) error { return a.read(c, m) },
			Handle: func(c *api.Call) (any, error) { return m.handle(a, c) },
			Write:  a.write,
		})
	}
	return handlers
}

// reading are the HTTP methods of what is read.
var reading = []string{http.MethodGet, http.MethodHead}

// Route adds to a router what answers at all other paths of the API.
func (a *API) Route(r *mux.Router) { r.PathPrefix(scriptPath + "/").HandlerFunc(a.notFound()) }

// notFound answers a path at which nothing is (row S1.18).
func (a *API) notFound() http.HandlerFunc {
	return a.Serve(api.Endpoint{
		On: journal.OnUnknown,
		Handle: func(c *api.Call) (any, error) {
			name, below := strings.CutPrefix(c.R.URL.Path, base)
			if !below {
				return nil, c.NotFound("nothing answers at this path; the calls of the script are below " + base)
			}
			names := []string{"logs"}
			for _, m := range methods {
				names = append(names, m.name)
			}
			slices.Sort(names)
			why := "there is no such call."
			if nearest := spelling.Nearest(strings.Trim(name, "/"), names...); nearest != "" {
				why = "there is no such call; did you mean " + base + nearest + "?"
			}
			return nil, c.NotFound(why + " There are: " + strings.Join(names, ", "))
		},
		Write: a.write,
	})
}

// writeContent writes what a handler hands out.
func (a *API) writeContent(c *api.Call, value any, err error) {
	if err != nil {
		a.write(c, nil, err)
	} else {
		value.(api.Content)()
	}
}

// own is what the API keeps with a call.
type own struct{ call rpc }

// Reset is api.Call's.
func (o *own) Reset() { *o = own{} }

func callOf(c *api.Call) *rpc { return &c.Own.(*own).call }

// read reads a call, and finds out whose it is. It reports everything that is wrong with the parameters at once.
func (a *API) read(c *api.Call, m method) error {
	o, ok := c.Own.(*own)
	if !ok {
		o = new(own)
		c.Own = o
	}
	var err error
	if o.call, err = readRPC(c.R); err != nil {
		return err
	}
	c.Params = o.call.shown()
	var wrong []string
	for _, name := range m.required {
		raw, there := o.call.params[name]
		if _, err := o.call.text(name); err != nil {
			wrong = append(wrong, err.Error())
		} else if !there || string(raw) == "null" {
			wrong = append(wrong, name+" is missing: send a string")
		}
	}
	if wrong != nil {
		return badCall{strings.Join(wrong, "; ")}
	}
	return m.read(a, c)
}

// text is a parameter whose type was checked.
func text(c *api.Call, name string) string {
	value, err := callOf(c).text(name)
	if err != nil {
		panic("script: the type of a parameter was not checked: " + err.Error())
	}
	return value
}

// readToken finds the request of a call by its token.
func (a *API) readToken(c *api.Call) error {
	c.ForToken(text(c, "token"))
	return nil
}
