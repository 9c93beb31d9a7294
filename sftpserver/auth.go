package sftpserver

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

// connKey finds the conn in the context of gliderlabs/ssh.
type connKey struct{}

// sshServer sets the SSH library up: everything is either asked of the conn or refused.
func (s *Server) sshServer() *ssh.Server {
	return &ssh.Server{
		Version: serverVersion,
		ConnCallback: func(ctx ssh.Context, raw net.Conn) net.Conn {
			ctx.SetValue(connKey{}, raw.(*conn))
			return raw
		},
		// Without an explicit handler the library lets everybody in.
		PublicKeyHandler: func(ctx ssh.Context, key ssh.PublicKey) bool {
			return connOf(ctx).offered(key) == nil
		},
		ServerConfigCallback:     func(ctx ssh.Context) *gossh.ServerConfig { return connOf(ctx).sshConfig() },
		ConnectionFailedCallback: func(raw net.Conn, err error) { raw.RemoteAddr().(peer).conn.failed(err) },
		ChannelHandlers: map[string]ssh.ChannelHandler{
			"session": func(_ *ssh.Server, _ *gossh.ServerConn, ch gossh.NewChannel, ctx ssh.Context) {
				connOf(ctx).session(ch)
			},
			"default": func(_ *ssh.Server, _ *gossh.ServerConn, ch gossh.NewChannel, ctx ssh.Context) {
				connOf(ctx).refuseChannel(ch)
			},
		},
		RequestHandlers: map[string]ssh.RequestHandler{
			"default": func(ctx ssh.Context, _ *ssh.Server, req *gossh.Request) (bool, []byte) {
				connOf(ctx).refuseGlobal(req)
				return false, nil
			},
		},
	}
}

func connOf(ctx ssh.Context) *conn { return ctx.Value(connKey{}).(*conn) }

// sshConfig is a fresh configuration for each connection, since the library keeps and changes it.
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
		PreAuthConnCallback:     func(meta gossh.ServerPreAuthConn) { c.auth.begin(c, meta) },
		AuthLogCallback:         c.tried,
		VerifiedPublicKeyCallback: func(meta gossh.ConnMetadata, key gossh.PublicKey, perms *gossh.Permissions, _ string) (*gossh.Permissions, error) {
			return perms, c.login(meta.User(), key)
		},
	}
	if c.srv.opts.AllowSHA1 {
		config.PublicKeyAuthAlgorithms = append(config.PublicKeyAuthAlgorithms, gossh.KeyAlgoRSA)
	}
	keys := c.srv.opts.HostKeys
	if fault := c.ask(OpHostKey, Flags{}); fault != nil && len(fault.HostKeys) > 0 {
		keys, c.auth.otherKeys = fault.HostKeys, fault
		c.strike(fault, OpHostKey, 0, nil)
	}
	for _, key := range keys {
		config.AddHostKey(key)
	}
	return config
}

// failed is told why a handshake came to nothing.
func (c *conn) failed(err error) {
	c.srv.opts.Logger.Debug("ssh handshake failed", "remote", c.remote, "error", err)
	reason := strings.TrimPrefix(err.Error(), "ssh: ")
	if _, auth := errors.AsType[*gossh.ServerAuthError](err); auth {
		reason = "no key was accepted"
	}
	if !c.lingering.Load() {
		c.drop(fmt.Errorf("the handshake failed: %s", reason))
	}
}

// authState is what happened on the way to the login. Only the goroutine of the handshake uses it, and what follows
// after.
type authState struct {
	meta    gossh.ConnMetadata // its User is that of the attempt being made; the library's context keeps the first one
	reason  string             // why the last key was refused
	final   error              // a login that was refused once stays refused, also for another key of the same user
	tried   bool               // something other than "none" was tried, or the login is complete
	user    string             // of the last attempt
	offered map[string]bool    // fingerprints that were told as offered

	otherKeys *Fault // showed the client other host keys than the server's; nil: it has seen those
}

func (a *authState) begin(c *conn, meta gossh.ServerPreAuthConn) {
	a.meta = meta
	c.mu.Lock()
	c.client = string(meta.ClientVersion())
	c.mu.Unlock()
}

// offered decides whether key would do for the user of this attempt. It proves nothing: the client may not hold the
// key.
func (c *conn) offered(key gossh.PublicKey) error {
	a := &c.auth
	user, print := a.meta.User(), gossh.FingerprintSHA256(key)
	share, err := c.srv.opts.Shares.Share(user, key)
	if err == nil && share == nil {
		err = ErrDenied
	}
	a.reason = ""
	if err != nil {
		a.reason = err.Error()
	}
	if id := user + " " + print; !a.offered[id] {
		if a.offered == nil {
			a.offered = make(map[string]bool)
		}
		a.offered[id] = true
		c.emit(Event{Kind: EventOffered, User: user, Key: print, Method: "publickey", Reason: a.reason})
	}
	return err
}

// login is called when the client has proved that it holds key, which offered had accepted. Who it is, and what it
// sees, is decided here only.
func (c *conn) login(user string, key gossh.PublicKey) error {
	a := &c.auth
	share, err := c.srv.opts.Shares.Share(user, key)
	if err == nil && share == nil {
		err = ErrDenied
	}
	if a.final != nil {
		err = a.final
	}
	if err == nil {
		c.mu.Lock()
		c.user, c.key, c.share = user, gossh.FingerprintSHA256(key), share
		c.mu.Unlock()
		if fault := c.ask(OpLogin, Flags{}); fault != nil {
			if err = c.meet(fault, OpLogin); err != nil {
				err = fmt.Errorf("ordered by the fault %q: %w", fault.Name, err)
				a.final = err
			}
		}
	}
	if err != nil {
		a.reason = err.Error()
		c.mu.Lock()
		c.user, c.key, c.share = "", "", nil
		c.mu.Unlock()
		return err
	}
	c.welcome()
	return nil
}

// tried is told of each attempt to log in, after it was decided.
func (c *conn) tried(meta gossh.ConnMetadata, method string, err error) {
	a := &c.auth
	a.user = meta.User()
	if err == nil {
		a.tried = true
		e := Event{Kind: EventLogin, Method: method}
		if a.otherKeys != nil {
			e.Name, e.Reason = a.otherKeys.Name, acceptedOtherKeys
		}
		c.emit(e)
		return
	}
	reason := a.reason
	a.reason = ""
	switch {
	case method == "none":
		// Every client begins with it to learn what there is. It is told if nothing else follows.
		return
	case method != "publickey":
		reason = "only public keys are accepted"
	case reason == "" && strings.Contains(err.Error(), `"ssh-rsa" not accepted`):
		reason = "RSA keys must sign with SHA-2 (rsa-sha2-256 or rsa-sha2-512): take a newer client, or an ecdsa or ed25519 key"
	case reason == "":
		reason = strings.TrimPrefix(err.Error(), "ssh: ")
	}
	a.tried = true
	c.emit(Event{Kind: EventRefused, User: a.user, Method: method, Reason: reason})
}

// What the last event says of a client that was shown other host keys than the server's.
const (
	acceptedOtherKeys = "the client accepted a host key that is not the server's"
	refusedOtherKeys  = "the client refused the host key, which is not the server's"
)

// last completes the last event of the connection.
func (a *authState) last(e *Event, loggedIn bool) {
	fault := a.otherKeys
	if fault == nil {
		return
	}
	e.Name = fault.Name
	if !loggedIn {
		e.User = fault.User
	}
	said := acceptedOtherKeys
	if a.meta == nil { // it never began to log in
		said = refusedOtherKeys
	}
	if e.Reason != "" {
		said += ": " + e.Reason
	}
	e.Reason = said
}

// tellUnfinished tells of a client that left without having tried any key.
func (a *authState) tellUnfinished(c *conn) {
	if a.user != "" && !a.tried {
		c.emit(Event{Kind: EventRefused, User: a.user, Method: "none", Reason: "the client had no key to offer: only public keys are accepted"})
	}
}
