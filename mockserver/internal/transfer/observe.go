package transfer

import (
	"strings"

	"github.com/upgrademock/upgrademock/internal/sshhost"
	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The events that scenarios have no name for.
const (
	onConnect    = "rsync.connect"    // a connection was accepted
	onOffered    = "rsync.offered"    // a key was offered, but not proved; why if it is refused
	onRefused    = "rsync.refused"    // an attempt to log in was refused
	onDenied     = "rsync.denied"     // a command, channel or request was refused
	onFault      = "rsync.fault"      // a fault of rsync.login stood in the answer to transfer/start
	onDisconnect = "rsync.disconnect" // the connection is gone; its last event
)

// Kinds returns what the On of a transfer's event can be.
func Kinds() []string {
	return []string{
		scenario.OnRsyncLogin, scenario.OnRsyncUpload, scenario.OnRsyncDownload,
		onConnect, onOffered, onRefused, onDenied, onFault, onDisconnect,
	}
}

var kinds = map[sshhost.EventKind]string{
	sshhost.EventConnect: onConnect, sshhost.EventOffered: onOffered, sshhost.EventRefused: onRefused,
	sshhost.EventLogin: scenario.OnRsyncLogin, sshhost.EventDenied: onDenied, sshhost.EventDisconnect: onDisconnect,
}

// watch is what is known of a connection beside its Peer.
type watch struct {
	transfer *transfer // nil: not known yet
	fault    string    // that was triggered, until an event has it
}

// watch returns what is known of the connection.
func (h *Host) watch(p sshhost.Peer) *watch {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.watched[p.Conn]
	if w == nil {
		w = &watch{transfer: h.ports[portOf(p)]}
		h.watched[p.Conn] = w
	}
	return w
}

// observe journals what happens on a connection. A fault of the login is part of the event of the login: the one that
// it delays, refuses or breaks off.
func (h *Host) observe(p sshhost.Peer, e sshhost.Event) {
	w := h.watch(p)
	if t, ok := p.Holder.(*transfer); ok {
		w.transfer = t
	}
	if e.Kind == sshhost.EventFault {
		w.fault = e.Name
		return
	}
	event := &journal.Event{
		On: kinds[e.Kind], Auth: e.Method, Op: e.Op, Path: shorten(e.Command), Why: e.Reason,
	}
	switch {
	case w.fault == "" || e.Kind == sshhost.EventOffered:
	case e.Kind == sshhost.EventLogin, e.Kind == sshhost.EventRefused:
		event.On, event.Fault, w.fault = scenario.OnRsyncLogin, w.fault, ""
	case e.Kind == sshhost.EventDisconnect:
		h.record(p, w.transfer, &journal.Event{On: scenario.OnRsyncLogin, Fault: w.fault, Why: e.Reason})
	}
	h.record(p, w.transfer, event)
	if e.Kind == sshhost.EventDisconnect {
		h.mu.Lock()
		delete(h.watched, p.Conn)
		h.mu.Unlock()
	}
}

// record completes an event with whose it is, and journals it.
func (h *Host) record(p sshhost.Peer, t *transfer, e *journal.Event) {
	e.At, e.Session, e.Client, e.PubKey = h.opts.Now(), p.Conn, p.Client, p.Key
	e.User = shorten(p.User)
	h.recordFor(t, e)
}

func (h *Host) recordFor(t *transfer, e *journal.Event) {
	if t != nil {
		e.Request, e.Contract, e.Scenario = t.request.ID(), t.request.Contract(), t.request.Scenario()
	}
	h.opts.Record(e)
}

// recordStart journals a fault that is part of the answer to transfer/start.
func (h *Host) recordStart(t *transfer) {
	why := "known_hosts of the answer is not that of the port"
	if t.fault.Unreachable {
		why = "nothing listens on the port of the answer"
	}
	h.recordFor(t, &journal.Event{At: h.opts.Now(), On: onFault, Op: "transfer/start", Fault: name(t.fault), Why: why})
}

// record journals the session at its end.
func (s *session) record(on string, status uint8, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.total
	r.Command, r.Exit = shorten(s.ssh.Command), int(status)
	if s.ssh.Broken() != nil {
		r.Exit = journal.NoExit
	}
	e := &journal.Event{On: on, Rsync: &r, Size: s.size, Why: s.why(err)}
	e.Received, e.Sent = s.moved()
	switch {
	case s.fired != nil:
		e.Fault, e.Fired = s.name, s.fired
	case s.name != "":
		if e.Why != "" {
			e.Why += "; "
		}
		e.Why += s.name + " was chosen for this session, which ended before it could fire"
	}
	s.ssh.Report(func(p sshhost.Peer) { s.host.record(p, s.transfer, e) })
}

// shorten keeps what a stranger made up from filling the journal, and private keys out of it.
func shorten(text string) string {
	const most = 300
	text = sshkeys.Hide(strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
