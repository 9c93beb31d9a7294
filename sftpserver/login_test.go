package sftpserver_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/sftpserver"
)

// attempts is what the journal says about logins, as short lines.
func (h *host) attempts() []string {
	var list []string
	for _, e := range h.events.all(sftpserver.EventOffered, sftpserver.EventRefused, sftpserver.EventLogin) {
		line := fmt.Sprintf("%s %s %s", e.Kind, e.User, e.Method)
		if e.Reason != "" {
			line += ": " + e.Reason
		}
		list = append(list, line)
	}
	return list
}

// login tries to log in, and waits until the server has seen the end of it.
func (h *host) login(config *gossh.ClientConfig) error {
	h.tb.Helper()
	before := len(h.events.all(sftpserver.EventDisconnect))
	c, err := gossh.Dial("tcp", h.addr, config)
	if err == nil {
		c.Close()
	}
	h.events.await(h.tb, before+1, sftpserver.EventDisconnect)
	return err
}

func TestLogin_everyKeyType(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		h := start(t)
		key := signer(t, kind)
		h.share.keys = []gossh.PublicKey{key.PublicKey()}
		if err := h.login(clientConfig(user, gossh.PublicKeys(key))); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		logins := h.events.all(sftpserver.EventLogin)
		if len(logins) != 1 || logins[0].User != user || logins[0].Key != gossh.FingerprintSHA256(key.PublicKey()) {
			t.Errorf("%s: reported %+v", kind, logins)
		}
	}
}

// TestLogin_refused tries every way but the right one.
func TestLogin_refused(t *testing.T) {
	t.Parallel()
	stranger := signer(t, "ecdsa")
	const noKey = "refused user_10534 none: the client had no key to offer: only public keys are accepted"
	never := func(string, string, []string, []bool) ([]string, error) { return []string{"secret"}, nil }
	for _, test := range []struct {
		name string
		user string
		auth []gossh.AuthMethod
		want []string
	}{
		{"nothing", user, nil, []string{noKey}},
		// The client does not try what the server does not offer.
		{"password", user, []gossh.AuthMethod{gossh.Password("secret")},
			[]string{noKey}},
		{"keyboard-interactive", user, []gossh.AuthMethod{gossh.KeyboardInteractive(never)},
			[]string{noKey}},
		{"another key", user, []gossh.AuthMethod{gossh.PublicKeys(stranger)}, []string{
			`offered user_10534 publickey: the key is not one of "user_10534": sftpserver: permission denied`,
			`refused user_10534 publickey: the key is not one of "user_10534": sftpserver: permission denied`}},
		{"another user", "user_2", []gossh.AuthMethod{gossh.PublicKeys(stranger)}, []string{
			`offered user_2 publickey: there is no user "user_2": sftpserver: permission denied`,
			`refused user_2 publickey: there is no user "user_2": sftpserver: permission denied`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			if err := h.login(clientConfig(test.user, test.auth...)); err == nil {
				t.Error("logged in")
			}
			if diff := cmp.Diff(test.want, h.attempts()); diff != "" {
				t.Errorf("journal (-want +got):\n%s", diff)
			}
		})
	}
}

// forged is a signer that offers a public key it does not hold.
type forged struct {
	public gossh.PublicKey
	gossh.Signer
}

func (f forged) PublicKey() gossh.PublicKey { return f.public }

// TestLogin_keyThatIsOnlyOffered is CVE-2024-45337: the one who is logged in is the one whose key has signed.
func TestLogin_keyThatIsOnlyOffered(t *testing.T) {
	t.Parallel()
	h := start(t)
	other := signer(t, "ecdsa")
	h.shares.users["user_2"] = &share{name: "other.dump", keys: []gossh.PublicKey{other.PublicKey()}}

	// The victim's key is offered, and then not signed with, which is refused.
	if err := h.login(clientConfig(user, gossh.PublicKeys(forged{h.key.PublicKey(), other}))); err == nil {
		t.Error("logged in with somebody else's public key")
	}
	if logins := h.events.all(sftpserver.EventLogin); len(logins) != 0 {
		t.Errorf("reported %+v", logins)
	}

	// A user who has two keys accepted, offering one and signing with the other.
	h.share.keys = append(h.share.keys, other.PublicKey())
	if err := h.login(clientConfig(user, offerOnly{h.key.PublicKey(), other}.method())); err != nil {
		t.Fatal(err)
	}
	logins := h.events.all(sftpserver.EventLogin)
	if len(logins) != 1 || logins[0].Key != gossh.FingerprintSHA256(other.PublicKey()) {
		t.Errorf("reported %+v, want the key that signed", logins)
	}
}

// offerOnly offers first a key that it then can't sign with.
type offerOnly struct {
	offered gossh.PublicKey
	real    gossh.Signer
}

func (o offerOnly) method() gossh.AuthMethod {
	return gossh.PublicKeys(unable{o.offered}, o.real)
}

type unable struct{ public gossh.PublicKey }

func (u unable) PublicKey() gossh.PublicKey { return u.public }
func (u unable) Sign(io.Reader, []byte) (*gossh.Signature, error) {
	// Of another type than the key's: refused without ending the connection, so that the client goes on to its next key.
	return &gossh.Signature{Format: gossh.KeyAlgoECDSA256, Blob: []byte("none")}, nil
}

func TestLogin_oneKeyNeverOpensAnothersShare(t *testing.T) {
	t.Parallel()
	h := start(t)
	stranger := signer(t, "ecdsa")
	h.shares.users["user_2"] = &share{name: "other.dump", keys: []gossh.PublicKey{stranger.PublicKey()}}
	// Each key opens its own share only.
	for _, login := range []struct {
		user string
		key  gossh.Signer
		ok   bool
	}{{user, h.key, true}, {"user_2", stranger, true}, {user, stranger, false}, {"user_2", h.key, false}} {
		err := h.login(clientConfig(login.user, gossh.PublicKeys(login.key)))
		if (err == nil) != login.ok {
			t.Errorf("%s: %v", login.user, err)
		}
	}
}

func TestLogin_sha1(t *testing.T) {
	t.Parallel()
	key := signer(t, "rsa").(gossh.AlgorithmSigner)
	old, err := gossh.NewSignerWithAlgorithms(key, []string{gossh.KeyAlgoRSA})
	if err != nil {
		t.Fatal(err)
	}
	for _, allow := range []bool{false, true} {
		h := start(t, func(o *sftpserver.Options) { o.AllowSHA1 = allow })
		h.share.keys = []gossh.PublicKey{key.PublicKey()}
		err := h.login(clientConfig(user, gossh.PublicKeys(old)))
		if (err == nil) != allow {
			t.Errorf("AllowSHA1 %v: %v", allow, err)
		}
		refused := h.events.all(sftpserver.EventRefused)
		if !allow && (len(refused) != 1 || !strings.Contains(refused[0].Reason, "rsa-sha2-256")) {
			t.Errorf("reported %+v, want what to do instead", refused)
		}
	}
}

// TestAlgorithms sees that nothing known to be broken is offered, and that old and new clients find what they need.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	h := start(t)
	insecure := gossh.InsecureAlgorithms()
	try := func(config gossh.Config, hostKeys ...string) error {
		c := clientConfig(user, gossh.PublicKeys(h.key))
		c.Config, c.HostKeyAlgorithms = config, hostKeys
		return h.login(c)
	}
	for _, a := range insecure.Ciphers {
		if try(gossh.Config{Ciphers: []string{a}}) == nil {
			t.Errorf("cipher %s is offered", a)
		}
	}
	for _, a := range insecure.KeyExchanges {
		if try(gossh.Config{KeyExchanges: []string{a}}) == nil {
			t.Errorf("key exchange %s is offered", a)
		}
	}
	for _, a := range insecure.MACs {
		if try(gossh.Config{Ciphers: []string{gossh.CipherAES128CTR}, MACs: []string{a}}) == nil {
			t.Errorf("MAC %s is offered", a)
		}
	}
	for _, a := range []string{gossh.KeyAlgoRSASHA256, gossh.KeyAlgoED25519, gossh.KeyAlgoECDSA384} {
		if try(gossh.Config{}, a) == nil {
			t.Errorf("host key %s is offered", a)
		}
	}
	if err := try(gossh.Config{}, gossh.KeyAlgoECDSA256); err != nil {
		t.Error(err)
	}
	for _, a := range gossh.SupportedAlgorithms().Ciphers {
		if err := try(gossh.Config{Ciphers: []string{a}}); err != nil {
			t.Errorf("a client that knows only %s: %v", a, err)
		}
	}
	for _, a := range gossh.SupportedAlgorithms().KeyExchanges {
		if err := try(gossh.Config{KeyExchanges: []string{a}}); err != nil {
			t.Errorf("a client that knows only %s: %v", a, err)
		}
	}
}

// shown logs in with a client that knows these types of host keys, all if none is named, and returns the key that the
// server showed.
func (h *host) shown(algorithms ...string) (key gossh.PublicKey, err error) {
	config := clientConfig(user, gossh.PublicKeys(h.key))
	config.HostKeyAlgorithms = algorithms
	config.HostKeyCallback = func(_ string, _ net.Addr, shown gossh.PublicKey) error {
		key = shown
		return nil
	}
	return key, h.login(config)
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	made := start(t)
	var first string
	for range 2 {
		key, err := made.shown()
		if err != nil {
			t.Fatal(err)
		}
		if now := gossh.FingerprintSHA256(key); key.Type() != "ecdsa-sha2-nistp256" || first != "" && now != first {
			t.Errorf("the key made by New is of type %s, and its fingerprint %s after %q", key.Type(), now, first)
		} else {
			first = now
		}
	}
	given := []gossh.Signer{signer(t, "ecdsa"), signer(t, "rsa"), signer(t, "ed25519")}
	for algorithm, want := range map[string]struct {
		key      gossh.Signer
		withSHA1 bool
	}{
		gossh.KeyAlgoECDSA256:  {given[0], false},
		gossh.KeyAlgoRSASHA256: {given[1], false},
		gossh.KeyAlgoRSASHA512: {given[1], false},
		gossh.KeyAlgoRSA:       {given[1], true}, // all that phpseclib 2 and others of its time know
		gossh.KeyAlgoED25519:   {given[2], false},
		gossh.KeyAlgoECDSA384:  {nil, false},
	} {
		for _, sha1 := range []bool{false, true} {
			h := start(t, func(o *sftpserver.Options) { o.HostKeys, o.AllowSHA1 = given, sha1 })
			key, err := h.shown(algorithm)
			if want.key == nil || want.withSHA1 && !sha1 {
				if err == nil {
					t.Errorf("a client that knows only %s could log in (AllowSHA1 is %v)", algorithm, sha1)
				}
			} else if err != nil || !bytes.Equal(key.Marshal(), want.key.PublicKey().Marshal()) {
				t.Errorf("%s: shown another key, or %v (AllowSHA1 is %v)", algorithm, err, sha1)
			}
		}
	}
	if _, err := sftpserver.New(&sftpserver.Options{Shares: new(shares), HostKeys: []gossh.Signer{given[0],
		given[0]}}); err == nil || !strings.Contains(err.Error(), "nistp256") {
		t.Errorf("two keys of one type: %v", err)
	}
}

// TestFault_hostKeys shows a connection other host keys. The journal says so, and what the client made of it.
func TestFault_hostKeys(t *testing.T) {
	t.Parallel()
	other := []gossh.Signer{freshKey(t)}
	begin := func() *host {
		f := &faults{once: map[sftpserver.OpKind]*sftpserver.Fault{sftpserver.OpHostKey: {Name: "ordered", HostKeys: other,
			User: user}}}
		return start(t, func(o *sftpserver.Options) {
			o.HostKeys, o.Fault = []gossh.Signer{signer(t, "ecdsa"), signer(t, "ed25519")}, f.ask
		})
	}
	fired := func(h *host) {
		t.Helper()
		if list := h.events.all(sftpserver.EventFault); len(list) != 1 || list[0].Op != "hostkey" ||
			list[0].Name != "ordered" || list[0].User != user {
			t.Errorf("journalled %+v", list)
		}
	}
	last := func(h *host, want string) {
		t.Helper()
		e := h.events.await(t, 1, sftpserver.EventDisconnect)[0]
		if e.Name != "ordered" || e.User != user || !strings.HasPrefix(e.Reason, want) {
			t.Errorf("the last event is %+v, want reason %q", e, want)
		}
	}
	const accepted, refused = "the client accepted a host key that is not the server's",
		"the client refused the host key, which is not the server's"

	h := begin()
	config := clientConfig(user, gossh.PublicKeys(h.key))
	config.HostKeyCallback = gossh.FixedHostKey(signer(t, "ed25519").PublicKey())
	config.HostKeyAlgorithms = []string{gossh.KeyAlgoED25519}
	if err := h.login(config); err == nil {
		t.Error("the other key was not shown")
	}
	last(h, refused)
	fired(h)
	if err := h.login(config); err != nil {
		t.Errorf("the next connection: %v", err)
	}

	h = begin()
	if key, err := h.shown(); err != nil || !bytes.Equal(key.Marshal(), other[0].PublicKey().Marshal()) {
		t.Errorf("shown %v, %v", key, err)
	}
	last(h, accepted)
	fired(h)
	if list := h.events.all(sftpserver.EventLogin); len(list) != 1 || list[0].Name != "ordered" ||
		list[0].Reason != accepted {
		t.Errorf("the login is reported as %+v", list)
	}

	h = begin()
	if h.login(clientConfig(user, gossh.PublicKeys(freshKey(t)))) == nil {
		t.Error("logged in with an unknown key")
	}
	last(h, accepted)
	fired(h)

	h = begin()
	ssh := testprog.Need(t, "ssh", "openssh-client")
	line := knownhosts.Line([]string{"[127.0.0.1]:" + h.port()}, signer(t, "ed25519").PublicKey())
	known := h.write("known", []byte(line+"\n"))
	if _, errs, err := h.run("", ssh, "-F", "/dev/null", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes",
		"-oUserKnownHostsFile="+known, "-i", "id", "-p", h.port(), user+"@127.0.0.1"); err == nil ||
		!strings.Contains(errs, "HAS CHANGED") {
		t.Errorf("ssh: %v\n%s", err, errs)
	}
	last(h, refused)
}

// TestLogin_certificate of a known key is not the key.
func TestLogin_certificate(t *testing.T) {
	t.Parallel()
	h := start(t)
	cert := &gossh.Certificate{Key: h.key.PublicKey(), CertType: gossh.UserCert, ValidPrincipals: []string{user},
		ValidBefore: gossh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer(t, "ecdsa")); err != nil {
		t.Fatal(err)
	}
	s, err := gossh.NewCertSigner(cert, h.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.login(clientConfig(user, gossh.PublicKeys(s))); err == nil {
		t.Error("logged in with an unknown certificate")
	}
}

func TestLogin_agentWithManyKeys(t *testing.T) {
	t.Parallel()
	h := start(t)
	var many []gossh.Signer
	for range 12 {
		s := freshKey(t)
		many = append(many, s)
	}
	many = append(many, h.key)
	if err := h.login(clientConfig(user, gossh.PublicKeys(many...))); err != nil {
		t.Fatal(err)
	}
	kinds := h.attempts()
	if n := len(kinds); n != 26 || !slices.Contains(kinds, "login user_10534 publickey") {
		t.Errorf("%d lines: %q", n, kinds)
	}
}
