package sshhost

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"
)

// serverVersion is what the server calls itself, after "SSH-2.0-".
const serverVersion = "upgrademock"

// maxAuthTries leaves room for an agent that holds many keys.
const maxAuthTries = 20

// sshServer sets the SSH library up for this connection alone. It must set a handler for everything, since the library
// lets everybody in without one.
func (c *conn) sshServer() *ssh.Server {
	return &ssh.Server{
		Version:                  serverVersion,
		PublicKeyHandler:         func(_ ssh.Context, key ssh.PublicKey) bool { return c.login.offered(key) == nil },
		ServerConfigCallback:     func(ssh.Context) *gossh.ServerConfig { return c.sshConfig() },
		ConnectionFailedCallback: c.handshakeFailed,
		ChannelHandlers: map[string]ssh.ChannelHandler{
			"session": func(_ *ssh.Server, _ *gossh.ServerConn, ch gossh.NewChannel, _ ssh.Context) { c.serveSession(ch) },
			"default": func(_ *ssh.Server, _ *gossh.ServerConn, ch gossh.NewChannel, _ ssh.Context) { c.refuseChannel(ch) },
		},
		RequestHandlers: map[string]ssh.RequestHandler{
			"default": func(_ ssh.Context, _ *ssh.Server, req *gossh.Request) (bool, []byte) {
				c.refuseGlobal(req)
				return false, nil
			},
		},
	}
}

// sshConfig is the configuration of the handshake.
func (c *conn) sshConfig() *gossh.ServerConfig {
	supported := gossh.SupportedAlgorithms()
	config := &gossh.ServerConfig{
		Config: gossh.Config{
			KeyExchanges: supported.KeyExchanges,
			Ciphers:      c.ciphers(supported.Ciphers),
			MACs:         supported.MACs,
		},
		PublicKeyAuthAlgorithms: supported.PublicKeyAuths,
		MaxAuthTries:            maxAuthTries,
		PreAuthConnCallback:     c.login.begin,
		AuthLogCallback:         c.login.decided,
		VerifiedPublicKeyCallback: func(
			meta gossh.ConnMetadata, key gossh.PublicKey, perms *gossh.Permissions, _ string,
		) (*gossh.Permissions, error) {
			return perms, c.login.proved(meta.User(), key)
		},
	}
	if c.host.opts.AllowSHA1 {
		config.PublicKeyAuthAlgorithms = append(config.PublicKeyAuthAlgorithms, gossh.KeyAlgoRSA)
	}
	keys := c.host.opts.HostKeys(c.peer())
	if fault := c.host.opts.Fault(OnHostKeys, c.peer()); fault != nil && len(fault.HostKeys) > 0 {
		keys, c.login.otherKeys = fault.HostKeys, fault
		c.trigger(fault, OnHostKeys, false)
	}
	for _, key := range keys {
		config.AddHostKey(key)
	}
	return config
}

// handshakeFailed notes why a handshake has failed.
func (c *conn) handshakeFailed(_ net.Conn, err error) {
	c.host.opts.Logger.Debug("ssh handshake failed", "remote", c.remote, "error", err)
	reason := strings.TrimPrefix(err.Error(), "ssh: ")
	if _, auth := errors.AsType[*gossh.ServerAuthError](err); auth {
		reason = "no key was accepted"
	}
	if !c.lingering.Load() {
		c.drop(fmt.Errorf("the handshake failed: %s", reason))
	}
}

// login is what happens on the way to the login. Only the goroutine of the handshake uses it, and what follows after.
type login struct {
	conn   *conn
	grant  Grant              // of the user who is logged in
	meta   gossh.ConnMetadata // its User is that of the present attempt; the library's context keeps the first one
	reason string             // why the last key was refused
	final  error              // a login that was refused once stays refused, also for another key of the same user
	tried  bool               // something other than "none" was tried, or the login is complete
	user   string             // of the last attempt
	seen   map[string]bool    // users and fingerprints that were reported as offered

	otherKeys *Fault // showed the client other host keys than the server's; nil if it has seen those
}

func (l *login) begin(meta gossh.ServerPreAuthConn) {
	l.meta = meta
	l.conn.mu.Lock()
	l.conn.client = string(meta.ClientVersion())
	l.conn.mu.Unlock()
}

// offered decides whether key would do for the user of this attempt. The client may not hold the key.
func (l *login) offered(key gossh.PublicKey) error {
	c := l.conn
	user, print := l.meta.User(), gossh.FingerprintSHA256(key)
	_, err := c.host.opts.Login(c.peer(), user, key)
	l.reason = ""
	if err != nil {
		l.reason = err.Error()
	}
	if id := user + " " + print; !l.seen[id] {
		if l.seen == nil {
			l.seen = make(map[string]bool)
		}
		l.seen[id] = true
		c.emitAs(Event{Kind: EventOffered, Method: "publickey", Reason: l.reason}, user, print)
	}
	return err
}

// proved is called when the client has proved that it holds key, which offered had accepted. Only here is it decided
// who the client is.
func (l *login) proved(user string, key gossh.PublicKey) error {
	c := l.conn
	grant, err := c.host.opts.Login(c.peer(), user, key)
	if l.final != nil {
		err = l.final
	}
	if err == nil {
		c.identify(user, gossh.FingerprintSHA256(key), grant.Holder)
		l.grant = grant
		if fault := c.host.opts.Fault(OnLogin, c.peer()); fault != nil {
			if err = c.apply(fault, OnLogin); err != nil {
				err = fmt.Errorf("ordered by the fault %q: %w", fault.Name, err)
				l.final = err
			}
		}
	}
	if err != nil {
		l.reason = err.Error()
		c.identify("", "", nil)
		l.grant = Grant{}
		return err
	}
	c.welcome()
	c.unwatch()
	c.endWhen(grant.Until)
	return nil
}

// identify sets who is logged in.
func (c *conn) identify(user, key string, holder any) {
	c.mu.Lock()
	c.user, c.key, c.holder = user, key, holder
	c.mu.Unlock()
}

// decided is called after each attempt to log in.
func (l *login) decided(meta gossh.ConnMetadata, method string, err error) {
	l.user = meta.User()
	if err == nil {
		l.tried = true
		e := Event{Kind: EventLogin, Method: method}
		if l.otherKeys != nil {
			e.Name, e.Reason = l.otherKeys.Name, acceptedOtherKeys
		}
		l.conn.emit(e)
		return
	}
	reason := l.reason
	l.reason = ""
	switch {
	case method == "none":
		// Every client begins with it to learn what there is. It is reported if nothing else follows.
		return
	case method != "publickey":
		reason = "only public keys are accepted"
	case reason == "" && strings.Contains(err.Error(), `"ssh-rsa" not accepted`):
		reason = "RSA keys must sign with SHA-2 (rsa-sha2-256 or rsa-sha2-512): " +
			"take a newer client, or an ecdsa or ed25519 key"
	case reason == "":
		reason = strings.TrimPrefix(err.Error(), "ssh: ")
	}
	l.tried = true
	l.conn.emitAs(Event{Kind: EventRefused, Method: method, Reason: reason}, l.user, "")
}

// reportUnfinished reports a client that left without having tried any key.
func (l *login) reportUnfinished() {
	if l.user != "" && !l.tried {
		reason := "the client had no key to offer: only public keys are accepted"
		l.conn.emitAs(Event{Kind: EventRefused, Method: "none", Reason: reason}, l.user, "")
	}
}

// What the last event says of a client that was shown other host keys than the server's.
const (
	acceptedOtherKeys = "the client accepted a host key that is not the server's"
	refusedOtherKeys  = "the client refused the host key, which is not the server's"
)

// complete adds to the last event of the connection whether the client accepted other host keys. It returns whose
// connection it was, if there was no login and the fault knows.
func (l *login) complete(e *Event) string {
	fault := l.otherKeys
	if fault == nil {
		return ""
	}
	e.Name = fault.Name
	what := acceptedOtherKeys
	if l.meta == nil { // it never began to log in
		what = refusedOtherKeys
	}
	if e.Reason != "" {
		what += ": " + e.Reason
	}
	e.Reason = what
	if l.conn.loggedIn.Load() {
		return ""
	}
	return fault.User
}
