package transfer

import (
	"errors"
	"fmt"
	"net"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/sshhost"
	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
)

// Why a login is refused.
var (
	errUser    = errors.New("the user of a transfer is " + User)
	errOver    = errors.New("there is no transfer at this port any more")
	errKey     = errors.New("the key is not the one that the request was created with")
	errNoKey   = errors.New("no transfer that is open is of a request with this key")
	errOrdered = errors.New("the scenario refuses the login")
)

// login decides who may log in: the request's key alone (row S4.6).
func (h *Host) login(p sshhost.Peer, user string, key gossh.PublicKey) (sshhost.Grant, error) {
	wire := sshkeys.Wire(key)
	t := h.ofPort(p)
	switch {
	case user != User:
		return sshhost.Grant{}, errUser
	case h.isShared(p):
		if t = h.ofKey(wire); t == nil {
			return sshhost.Grant{}, errNoKey
		}
	case t == nil:
		return sshhost.Grant{}, errOver
	case t.key != wire:
		return sshhost.Grant{}, errKey
	}
	if fails := t.request.MayTransfer(t.kind); len(fails) > 0 {
		return sshhost.Grant{}, fmt.Errorf("%w: %s", errOver, fails[0].Why)
	}
	serve := func(s *sshhost.Session) uint32 { return uint32(t.serve(s)) }
	return sshhost.Grant{Serve: serve, Until: t.ctx, Holder: t}, nil
}

func portOf(p sshhost.Peer) int {
	if tcp, ok := p.Local.(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

// isShared reports whether the client came to the port of all transfers.
func (h *Host) isShared(p sshhost.Peer) bool { return h.port != 0 && portOf(p) == h.port }

// ofPort returns the transfer whose own port the client came to, nil if there is none.
func (h *Host) ofPort(p sshhost.Peer) *transfer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ports[portOf(p)]
}

// ofKey returns the transfer with the key that was started last, nil if there is none.
func (h *Host) ofKey(wire string) *transfer {
	return h.last(func(t *transfer) bool { return t.key == wire })
}

// last returns, of the transfers that the condition is true for, the one that was started last.
func (h *Host) last(is func(*transfer) bool) (last *transfer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.transfers {
		if is(t) && (last == nil || last.number < t.number) {
			last = t
		}
	}
	return last
}

// fault is what shall go wrong on the way to a session.
func (h *Host) fault(at sshhost.Moment, p sshhost.Peer) *sshhost.Fault {
	switch at {
	case sshhost.OnHostKeys:
		return h.hostKeyFault(p)
	case sshhost.OnLogin:
		return p.Holder.(*transfer).loginFault()
	}
	return nil
}

// hostKeyFault shows other host keys than those in known_hosts. At the port of all transfers it is not known yet who
// connects: the first connection after the start of such a transfer is taken to be its own.
func (h *Host) hostKeyFault(p sshhost.Peer) *sshhost.Fault {
	t := h.ofPort(p)
	if h.isShared(p) {
		t = h.last(func(t *transfer) bool { return t.changesHostKey() && !t.otherKey })
	}
	if t == nil || !t.changesHostKey() {
		return nil
	}
	keys, err := h.opts.OtherKeys()
	if err != nil {
		h.opts.Logger.Error("no other host keys can be made; the usual ones are shown", "err", err)
		return nil
	}
	h.mu.Lock()
	t.otherKey = true
	h.mu.Unlock()
	h.watch(p).transfer = t
	return &sshhost.Fault{Name: name(t.fault), HostKeys: keys, User: User}
}

func (t *transfer) changesHostKey() bool { return t.fault != nil && t.fault.HostKey != "" }

// loginFault is what goes wrong when the client has shown that it holds the key.
func (t *transfer) loginFault() *sshhost.Fault {
	f := t.fault
	if f == nil {
		return nil
	}
	fault := &sshhost.Fault{
		Name: name(f), Ends: f.Disconnect || f.Reset, Reset: f.Reset, Delay: f.Delay, Rate: f.Rate,
	}
	if f.Refuse {
		fault.Refuse = errOrdered
	}
	if !fault.Ends && !f.Refuse && f.Delay == 0 && f.Rate == 0 {
		return nil // it was in the answer to transfer/start, or in the host keys
	}
	return fault
}
