package retrace

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Events of SFTP and rsync that the language has no name for.
const (
	onSFTPFault  = "sftp.fault"
	onSFTPAbort  = "sftp.abort"
	onSFTPGone   = "sftp.disconnect"
	onRsyncFault = "rsync.fault"
)

// journalState is what of a journal must be remembered from one event to the next.
type journalState struct {
	seq      uint64
	sessions map[uint64]*session // of SFTP, that go on
	transfer map[int64]string    // request → the fault that its next transfer/start has
}

// session is one of SFTP.
type session struct {
	login  int            // its number among the logins; -1: it is not counted yet
	opened map[string]int // the latest number at a place
}

// maxSessions bounds the sessions whose end is missing.
const maxSessions = 10_000

// Event takes an event of a journal. A journal may hold several runs, one after the other, in each of which the
// numbers begin again.
func (c *Collector) Event(e *journal.Event) {
	if e.Seq <= c.journal.seq || c.journal.sessions == nil {
		c.journal = journalState{sessions: map[uint64]*session{}, transfer: map[int64]string{}}
	}
	c.journal.seq = e.Seq
	switch {
	case e.On == journal.OnState:
		c.changed(e)
	case strings.HasPrefix(e.On, "sftp."):
		c.sftp(e)
	case strings.HasPrefix(e.On, "rsync."):
		c.rsync(e)
	default:
		c.called(e)
	}
}

// changed keeps a change of state until its cause is known.
func (c *Collector) changed(e *journal.Event) {
	if r := c.byKey[id(e)]; r != nil {
		r.settleAll()
		r.changes = append(r.changes, change{e.From, e.To, e.At})
	}
}

// settleAll bounds the changes that wait for a call.
func (r *request) settleAll() {
	if len(r.changes) >= maxStages {
		r.settle(nil)
	}
}

func id(e *journal.Event) string {
	if e.Request == 0 {
		return ""
	}
	return strconv.FormatInt(e.Request, 10)
}

// called takes an HTTP exchange.
func (c *Collector) called(e *journal.Event) {
	s := seen{on: e.On, api: scenario.APIDatabase, request: id(e), contract: e.Contract, at: e.At, state: e.State,
		scenario: e.Scenario}
	if strings.HasPrefix(e.On, "script.") {
		s.api = scenario.APIScript
	}
	switch e.On {
	case journal.OnPage, journal.OnUnknown, journal.OnData, journal.OnScriptFile:
		return
	case scenario.OnCreate, scenario.OnUpgrade, scenario.OnScriptCreate:
		s.params = e.Params
		if e.Fault == "" {
			s.made = s.request
		}
		if s.made == "" && e.Fault == "" && len(e.Failures) == 0 && e.Status == 0 {
			return // the client broke it off before anything was known of it
		}
	}
	s.fault, s.note = c.faultOf(e)
	s.idle = e.State == ""
	if s.fault == nil && len(e.Failures) > 0 {
		s.note = fmt.Sprintf("the emulator itself refused a call of %s with %s: the same call is refused again", e.On,
			strings.Join(e.Failures, ", "))
	}
	r, _ := c.add(s)
	if r == nil || e.On != scenario.OnScriptTransferStart || s.fault != nil && !worked(s.fault) || len(e.Failures) > 0 {
		return
	}
	nth := r.count(scenario.OnRsyncLogin)
	if text := c.journal.transfer[e.Request]; text != "" {
		c.failAs(r, scenario.OnRsyncLogin, nth, text)
		delete(c.journal.transfer, e.Request)
	}
}

// faultOf is the fault that an event names, nil if it names none.
func (c *Collector) faultOf(e *journal.Event) (*scenario.Fault, string) {
	if e.Fault == "" {
		return nil, ""
	}
	f, note, ok := c.fault(e.Fault, e.Scenario)
	if !ok {
		return nil, "the journal names a fault in a way that is not known here: " + e.Fault
	}
	if note == "" {
		return f, ""
	}
	switch { // as much as the journal has
	case f.Failure != nil && len(e.Failures) > 0 && !strings.HasPrefix(e.On, "script."):
		f.Failure.Reason = e.Failures[0]
	case f.HTTP != nil:
		f.HTTP.Status = e.Status
		f.HTTP.ContentType = "text/html"
		if e.Sent > 0 {
			f.HTTP.Body = "<html><h1>" + strconv.Itoa(e.Status) + " " + http.StatusText(e.Status) + "</h1></html>\n"
		}
		if e.RetryAfter > 0 {
			f.HTTP.Headers = map[string]string{"Retry-After": strconv.Itoa(int(e.RetryAfter.Seconds()))}
		}
	}
	return f, note
}

// fault is the fault of that description, completed from the scenario of that name; note says what is made up.
func (c *Collector) fault(text, name string) (f *scenario.Fault, note string, ok bool) {
	made, index, ok := undescribe(text)
	if !ok {
		return nil, "", false
	}
	switch {
	case c.detail(&made, index, c.known(name)):
	case made.Failure != nil, made.HTTP != nil:
		note = "the text of the answer is made up: a journal has none"
	case made.Error != "", made.KnownHosts != nil:
		note = "the text is made up: a journal has none"
	}
	return &made, note, true
}

// failAs notes that the nth call of a place met the fault of that description.
func (c *Collector) failAs(r *request, on string, nth int, text string) {
	if f, note, ok := c.fault(text, r.scenario); ok {
		r.fail(on, nth, *f, note)
	}
}

// sftp takes an event of an SFTP session.
func (c *Collector) sftp(e *journal.Event) {
	if e.Request == 0 {
		return
	}
	at := c.journal.sessions[e.Session]
	if at == nil {
		if len(c.journal.sessions) >= maxSessions {
			clear(c.journal.sessions)
		}
		at = &session{login: -1, opened: map[string]int{}}
		c.journal.sessions[e.Session] = at
	}
	add := func(on string) (*request, int) {
		r, nth := c.add(seen{on: on, api: scenario.APIDatabase, request: id(e), contract: e.Contract, at: e.At,
			scenario: e.Scenario})
		at.opened[on] = nth
		return r, nth
	}
	switch e.On {
	case scenario.OnSFTPLogin:
		if at.login < 0 {
			_, at.login = add(e.On)
		}
	case scenario.OnSFTPOpen:
		add(e.On)
		for flag, on := range map[string]string{"write": scenario.OnSFTPWrite, "read": scenario.OnSFTPRead} {
			if strings.Contains(e.Flags, flag) {
				add(on)
			}
		}
	case scenario.OnSFTPClose:
		add(e.On)
	case onSFTPFault:
		c.sftpFault(e, at, add)
	case onSFTPAbort:
		c.brokeOff(e, at)
	case onSFTPGone:
		delete(c.journal.sessions, e.Session)
	}
}

// sftpFault takes a fault that has fired: at a call that no other event tells of, or at an open file.
func (c *Collector) sftpFault(e *journal.Event, at *session, add func(string) (*request, int)) {
	on := "sftp." + e.Op
	switch e.Op {
	case "hostkey", "login":
		on = scenario.OnSFTPLogin
		if at.login < 0 {
			_, at.login = add(on)
		}
	case "open", "close":
		add(on)
	}
	nth, ok := at.opened[on]
	if r := c.byKey[id(e)]; r != nil && ok {
		c.failAs(r, on, nth, e.Fault)
	}
}

// brokeOff takes a file that was not closed. Without a fault it was the client, or the network, that broke off.
func (c *Collector) brokeOff(e *journal.Event, at *session) {
	r := c.byKey[id(e)]
	on, moved := scenario.OnSFTPRead, e.Read
	if len(e.Written) > 0 {
		on, moved = scenario.OnSFTPWrite, e.Written
	}
	nth, ok := at.opened[on]
	if e.Fault != "" || r == nil || len(moved) == 0 || !ok {
		return
	}
	r.fail(on, nth, scenario.Fault{Disconnect: true, After: max(moved[len(moved)-1].To, 1)},
		cmp.Or(e.Why, "the session broke off")+": no fault of the platform, but it can be made one")
}

// rsync takes an event of a transfer of the script API.
func (c *Collector) rsync(e *journal.Event) {
	r := c.byKey[id(e)]
	switch e.On {
	case onRsyncFault:
		c.journal.transfer[e.Request] = e.Fault
	case scenario.OnRsyncLogin:
		if p := placeOf(r, e.On); p != nil && e.Fault != "" {
			c.failAs(r, e.On, p.calls-1, e.Fault)
		}
	case scenario.OnRsyncUpload, scenario.OnRsyncDownload:
		s := seen{on: e.On, api: scenario.APIScript, request: id(e), contract: e.Contract, at: e.At,
			scenario: e.Scenario}
		s.fault, s.note = c.faultOf(e)
		if moved := max(e.Received, e.Sent); s.fault == nil && e.Rsync != nil && e.Rsync.Exit != 0 && moved > 0 {
			s.fault = &scenario.Fault{Disconnect: true, After: moved}
			s.note = cmp.Or(e.Why, "the session broke off") + ": no fault of the platform, but it can be made one"
		}
		if r, _ := c.add(s); r != nil && s.fault == nil && e.On == scenario.OnRsyncDownload && e.Rsync != nil {
			r.fetched(e.Rsync)
		}
	}
}

// fetched finds out which files of the result were there, by those that a client asks for (row S5.11).
func (r *request) fetched(run *journal.Rsync) {
	asked := strings.Split(run.Command, " /data/")[1:]
	if len(asked) < 2 || run.Exit != 0 || len(run.Files) < run.Count {
		return
	}
	there := func(name string) bool {
		return slices.ContainsFunc(run.Files, func(f journal.File) bool {
			return f.Name == name || strings.HasPrefix(f.Name, name+"/")
		})
	}
	u := &r.upgraded
	if u.Missing.Archive = !there(asked[0]); !u.Missing.Archive && usualDump(asked[0]) {
		u.DumpName = nil
	} else if !usualDump(asked[0]) {
		u.DumpName = &asked[0]
	}
	for _, name := range asked[1:] {
		switch name {
		case "upgrade-report.html":
			u.Missing.Report = !there(name)
		case "upgrade.log":
			u.Missing.Log = !there(name)
		}
	}
}

// usualDump reports whether the upgraded dump has the name that the emulator gives it.
func usualDump(name string) bool { return name == "upgraded.zip" || name == "upgraded.dump" }

func placeOf(r *request, on string) *place {
	if r == nil {
		return nil
	}
	return r.places[on]
}
