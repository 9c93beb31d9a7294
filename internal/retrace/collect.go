package retrace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// A Collector gathers what was seen. It is made by New, and used by one goroutine at a time.
type Collector struct {
	only  string
	known func(string) *scenario.Scenario

	list    []*request          // in the order in which they were seen
	byKey   map[string]*request // by id or token, the latest of that name
	pending map[string]*request // of which only creates that went wrong were seen, by API and contract
	made    map[string]int      // how often create gave that id: once in each run
	more    int                 // requests that are not kept
	calls   int                 // of the platform, all
	journal journalState
	hand    []*scenario.Fault // that were asked for by hand, and were not seen to trigger
	tokens  map[string]string // token → request, of the script API
	queue   []seen            // HTTP exchanges that are not in their order yet
	order   order
}

// New makes a Collector. It keeps only the request of that name, or all for "". known returns a scenario by its name,
// or nil; it may be nil itself.
func New(only string, known func(name string) *scenario.Scenario) *Collector {
	if known == nil {
		known = func(string) *scenario.Scenario { return nil }
	}
	return &Collector{only: only, known: known, byKey: map[string]*request{}, pending: map[string]*request{},
		made: map[string]int{}, tokens: map[string]string{}}
}

// seen is one call, or one thing that scenarios count like a call.
type seen struct {
	on       string // the place, as faults name it
	api      string
	request  string // the request's id; empty for a call that no request has
	made     string // the id of the request that this create made, and the client was told
	contract string
	params   map[string]string // of create
	at       time.Time         // zero: it is not known
	order    time.Time         // its place among the exchanges
	took     time.Duration
	state    string          // that the answer says
	set      map[string]any  // the keys of the answer that a step can set
	log      string          // a part of the log
	logAt    int64           // where it begins
	fault    *scenario.Fault // what went wrong, by its action; nil: nothing did
	idle     bool            // the platform did not do its work, whatever the fault is
	note     string          // what is to be said of the fault
	scenario string          // the name of the one that drove it

	// Of an HTTP exchange of the script API.
	http     bool
	token    string // which names the request
	transfer string // "upload" or "download"
	dumpName string // that is not the usual one
	noHosts  bool   // known_hosts is null
	tooOld   bool   // the client's PostgreSQL is
}

// request is what is kept of one.
type request struct {
	name     string
	api      string
	contract string
	scenario string
	params   map[string]string
	created  bool // create was seen
	nameless bool // its answer is not in the recording
	begun    bool // process was seen, and went well as far as is known
	start    time.Time
	first    time.Time
	last     time.Time
	calls    int
	faulty   int
	places   map[string]*place
	stages   []stage
	changes  []change // of the journal, whose cause is not known yet
	notes    []string
	texts    int // bytes of the texts of its faults
	upgraded scenario.Upgraded
	compat   bool   // process said that the client's PostgreSQL is too old
	open     string // the transfer of the script API that goes on, as far as is known
	logLen   int    // bytes of the log that are kept
	logged   int64  // bytes of the log that were seen; 0: none
}

// place is what was seen at one place: how many calls, and which of them went wrong.
type place struct {
	calls int
	hits  []hit
	lost  int // hits that are not kept
}

// hit is a run of calls that went wrong alike.
type hit struct {
	at, n int // the first one, counted from zero, and how many
	fault scenario.Fault
	key   string // the same for what went wrong alike
	note  string
}

// add takes what was seen, and returns the request and the number of the call at its place.
func (c *Collector) add(s seen) (*request, int) {
	c.calls++
	if !slices.Contains(placeOrder, s.on) {
		return nil, 0
	}
	r := c.requestOf(&s)
	if r == nil || r.api != "" && s.api != r.api {
		return nil, 0
	}
	r.calls++
	r.api, r.scenario = cmp.Or(r.api, s.api), cmp.Or(s.scenario, r.scenario)
	r.contract = cmp.Or(r.contract, s.contract)
	if !s.at.IsZero() {
		if r.first.IsZero() || s.at.Before(r.first) {
			r.first = s.at
		}
		if s.at.After(r.last) {
			r.last = s.at
		}
	}
	s.state = stateName(s.state)
	nth := r.count(s.on)
	if s.fault != nil {
		r.fail(s.on, nth, *s.fault, s.note)
	} else if s.note != "" {
		r.remark(s.note)
	}
	r.settle(&s)
	r.progress(&s)
	return r, nth
}

// requestOf finds or makes the request of a call; nil if none is to be kept.
func (c *Collector) requestOf(s *seen) *request {
	switch {
	case creates(s.on):
		return c.creating(s)
	case s.request == "":
		return nil
	}
	r, ok := c.byKey[s.request]
	if !ok {
		if r = c.adopt(s); r == nil {
			r = c.keep(s.request)
		}
		if r != nil || len(c.byKey) < maxNames {
			c.byKey[s.request] = r
		}
	}
	return r
}

// adopt finds the create of a request that is seen for the first time among those whose answer is not in a recording.
func (c *Collector) adopt(s *seen) *request {
	for _, r := range c.list {
		if !r.nameless || r.api != s.api || c.only != "" && s.request != c.only {
			continue
		}
		maps.DeleteFunc(c.pending, func(_ string, pending *request) bool { return pending == r })
		r.name, r.nameless = s.request, false
		r.remark("the answer to create is not in the recording: that it made this request is a guess")
		return r
	}
	return nil
}

// creating finds the request of a create, which may have no name yet.
func (c *Collector) creating(s *seen) *request {
	key := s.api + " " + s.contract
	r := c.pending[key]
	if r == nil {
		if len(c.list) >= maxRequests && (c.only == "" || s.made != c.only && s.request != c.only) {
			c.more++
			return nil
		}
		r = &request{name: cmp.Or(s.contract, "create"), places: map[string]*place{}, created: true}
		if s.made == "" {
			c.pending[key] = r
		}
		c.list = append(c.list, r)
	}
	if s.params != nil {
		r.params = s.params
	}
	r.nameless = s.made == "" && s.fault == nil && s.idle
	if s.request != "" { // that the client was not told, but the journal knows
		c.byKey[s.request] = r
	}
	if s.made == "" {
		return r
	}
	delete(c.pending, key)
	r.name, r.nameless = s.made, false
	if len(c.made) >= maxNames {
		clear(c.made)
	}
	if c.made[s.made]++; c.made[s.made] > 1 { // of another run
		r.name = fmt.Sprintf("%s/%d", s.made, c.made[s.made])
	}
	if c.only != "" && r.name != c.only {
		c.list = slices.DeleteFunc(c.list, func(other *request) bool { return other == r })
		c.more++
		r = nil // its calls are not kept
	}
	c.byKey[s.made] = r
	return r
}

// keep makes a request of that name; nil if it is not wanted.
func (c *Collector) keep(name string) *request {
	if c.only != "" && name != c.only || len(c.list) >= maxRequests {
		c.more++
		return nil
	}
	r := &request{name: name, places: map[string]*place{}}
	r.remark("its create was not seen, so what went wrong there is not known")
	c.list = append(c.list, r)
	return r
}

// count counts a call at a place, and returns its number from zero.
func (r *request) count(on string) int {
	p := r.places[on]
	if p == nil {
		p = &place{}
		r.places[on] = p
	}
	p.calls++
	return p.calls - 1
}

// fail notes that the nth call of a place went wrong.
func (r *request) fail(on string, nth int, fault scenario.Fault, note string) {
	p := r.places[on]
	if p == nil || nth < 0 {
		return
	}
	fault.On = on
	note = r.bound(&fault, note)
	text, err := json.Marshal(fault)
	if err != nil {
		r.remark(fmt.Sprintf("a fault on %s cannot be written: %v", on, err))
		return
	}
	key := string(text)
	i := len(p.hits)
	for i > 0 && p.hits[i-1].at > nth {
		i--
	}
	if i > 0 {
		last := &p.hits[i-1]
		if nth < last.at+last.n {
			return // it is known already
		}
		if last.key == key && nth == last.at+last.n {
			last.n++
			r.faulty++
			return
		}
	}
	if len(p.hits) >= maxHits {
		r.faulty++
		p.lost++
		return
	}
	alone := scenario.Scenario{When: scenario.When{"api": r.api}, Faults: []scenario.Fault{fault}}
	if err := alone.Validate(); err != nil {
		r.remark(fmt.Sprintf("what went wrong at call %d of %s cannot be put into a scenario: %v", nth+1, on, err))
		return
	}
	r.faulty++
	p.hits = slices.Insert(p.hits, i, hit{at: nth, n: 1, fault: fault, key: key, note: note})
}

// maxTexts bounds the texts of all faults of a request.
const maxTexts = 96 << 10

// bound leaves out of a fault what would make the scenario too long, and adds to the note that it did.
func (r *request) bound(f *scenario.Fault, note string) string {
	size := 0
	if f.HTTP != nil {
		size = len(f.HTTP.Body)
	}
	if f.Failure != nil {
		text, err := json.Marshal(f.Failure)
		size = len(text)
		if err != nil || size > maxText {
			failure := *f.Failure
			failure.More, failure.Message = nil, failure.Message[:min(len(failure.Message), maxText/8)]
			failure.Message = strings.ToValidUTF8(failure.Message, "")
			f.Failure, note = &failure, join(note, "it was longer")
		}
	}
	if r.texts+size <= maxTexts {
		r.texts += size
	} else if f.HTTP != nil {
		answer := *f.HTTP
		answer.Body = ""
		f.HTTP, note = &answer, join(note, fmt.Sprintf("its body of %d bytes is left out", size))
	}
	return note
}

// stateName makes the name of a state fit for a scenario.
func stateName(name string) string {
	const most = 100
	if len(name) > most {
		name = name[:most]
	}
	return strings.TrimSpace(clean(name))
}

// remark keeps a sentence about the request.
func (r *request) remark(text string) {
	if len(r.notes) < maxNotes && !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
	}
}

// Requests returns what was seen, in its order, and how many requests more there are than are kept.
func (c *Collector) Requests() (list []Summary, more int) {
	c.flush()
	for _, r := range c.list {
		list = append(list, r.summary())
	}
	return list, c.more
}

func (r *request) summary() Summary {
	s := Summary{Request: r.name, API: r.api, Contract: r.contract, Calls: r.calls, Faults: r.faulty, First: r.first,
		Last: r.last}
	if n := len(r.stages); n > 0 {
		s.State = r.stages[n-1].state
	}
	return s
}

// Script makes the scenario of the request of that name, or of the only one for "". The error is ErrNothing, or a
// *ChoiceError.
func (c *Collector) Script(name string, opts Options) (*Script, error) {
	list, more := c.Requests()
	switch {
	case c.calls == 0:
		return nil, ErrNothing
	case len(list)+more == 0 && name == "":
		return nil, fmt.Errorf("%w that names a request", ErrNothing)
	case name == "" && len(c.list) == 1 && more == 0:
		return c.write(c.list[0], opts)
	case name == "":
		return nil, &ChoiceError{Requests: list, More: more}
	}
	for _, r := range c.list {
		if r.name == name {
			return c.write(r, opts)
		}
	}
	if r := c.byKey[name]; r != nil && slices.Contains(c.list, r) {
		return c.write(r, opts)
	}
	return nil, &ChoiceError{Asked: name, Requests: list, More: more}
}

// onPlaces are the places at which something was seen, in the language's order.
func (r *request) onPlaces() []string {
	return slices.SortedFunc(maps.Keys(r.places), func(a, b string) int {
		return cmp.Compare(slices.Index(placeOrder, a), slices.Index(placeOrder, b))
	})
}

// placeOrder is the order in which a client comes to the places.
var placeOrder = []string{
	scenario.OnCreate, scenario.OnUpgrade, scenario.OnUpload, scenario.OnRequestSFTPAccess, scenario.OnSFTPLogin,
	scenario.OnSFTPOpen, scenario.OnSFTPWrite, scenario.OnSFTPRead, scenario.OnSFTPClose, scenario.OnProcess,
	scenario.OnStatus, scenario.OnSkipTest, scenario.OnDownload,
	scenario.OnScriptCreate, scenario.OnScriptTransferStart, scenario.OnRsyncLogin, scenario.OnRsyncUpload,
	scenario.OnScriptTransferStop, scenario.OnScriptProcess, scenario.OnScriptStatus, scenario.OnScriptLogs,
	scenario.OnRsyncDownload, scenario.OnScriptWipe,
}
