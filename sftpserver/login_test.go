package sftpserver_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/sftpserver"
)

// attempts is what the journal says about logins, as short lines.
func (h *host) attempts() []string {
	var list []string
	for _, e := range h.told.all(sftpserver.EventOffered, sftpserver.EventRefused, sftpserver.EventLogin) {
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
	before := len(h.told.all(sftpserver.EventDisconnect))
	c, err := gossh.Dial("tcp", h.addr, config)
	if err == nil {
		c.Close()
	}
	h.told.await(h.tb, before+1, sftpserver.EventDisconnect)
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
		logins := h.told.all(sftpserver.EventLogin)
		if len(logins) != 1 || logins[0].User != user || logins[0].Key != gossh.FingerprintSHA256(key.PublicKey()) {
			t.Errorf("%s: told %+v", kind, logins)
		}
	}
}

// TestLogin_refused tries every way but the right one.
func TestLogin_refused(t *testing.T) {
	t.Parallel()
	stranger := signer(t, "ecdsa")
	never := func(string, string, []string, []bool) ([]string, error) { return []string{"secret"}, nil }
	for _, test := range []struct {
		name string
		user string
		auth []gossh.AuthMethod
		want []string
	}{
		{"nothing", user, nil, []string{"refused user_10534 none: the client had no key to offer: only public keys are accepted"}},
		// The client does not try what the server does not offer.
		{"password", user, []gossh.AuthMethod{gossh.Password("secret")}, []string{"refused user_10534 none: the client had no key to offer: only public keys are accepted"}},
		{"keyboard-interactive", user, []gossh.AuthMethod{gossh.KeyboardInteractive(never)}, []string{"refused user_10534 none: the client had no key to offer: only public keys are accepted"}},
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

	// The victim's key is offered, and then not signed with; whoever does so gets nowhere.
	if err := h.login(clientConfig(user, gossh.PublicKeys(forged{h.key.PublicKey(), other}))); err == nil {
		t.Error("logged in with somebody else's public key")
	}
	if logins := h.told.all(sftpserver.EventLogin); len(logins) != 0 {
		t.Errorf("told %+v", logins)
	}

	// A user who has two keys accepted, offering one and signing with the other.
	h.share.keys = append(h.share.keys, other.PublicKey())
	if err := h.login(clientConfig(user, offerOnly{h.key.PublicKey(), other}.method())); err != nil {
		t.Fatal(err)
	}
	logins := h.told.all(sftpserver.EventLogin)
	if len(logins) != 1 || logins[0].Key != gossh.FingerprintSHA256(other.PublicKey()) {
		t.Errorf("told %+v, want the key that signed", logins)
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
		refused := h.told.all(sftpserver.EventRefused)
		if !allow && (len(refused) != 1 || !strings.Contains(refused[0].Reason, "rsa-sha2-256")) {
			t.Errorf("told %+v, want what to do instead", refused)
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

func TestHostKey_stableAndAskedForEachConnection(t *testing.T) {
	t.Parallel()
	own := func(h *host) (found []string) {
		for range 2 {
			config := clientConfig(user, gossh.PublicKeys(h.key))
			config.HostKeyCallback = func(_ string, _ net.Addr, key gossh.PublicKey) error {
				found = append(found, key.Type()+" "+gossh.FingerprintSHA256(key))
				return nil
			}
			if err := h.login(config); err != nil {
				t.Fatal(err)
			}
		}
		return found
	}
	made := own(start(t))
	if made[0] != made[1] || !strings.HasPrefix(made[0], "ecdsa-sha2-nistp256 ") {
		t.Errorf("the key made by New: %v", made)
	}
	given := signer(t, "ecdsa")
	if got := own(start(t, func(o *sftpserver.Options) { o.HostKey = func() gossh.Signer { return given } })); !strings.HasSuffix(got[0], gossh.FingerprintSHA256(given.PublicKey())) {
		t.Errorf("the key that was given: %v", got)
	}
	none := start(t, func(o *sftpserver.Options) { o.HostKey = func() gossh.Signer { return nil } })
	if err := none.login(clientConfig(user, gossh.PublicKeys(none.key))); err == nil {
		t.Error("connected without a host key")
	}
}

// TestLogin_certificate of a known key is not the key.
func TestLogin_certificate(t *testing.T) {
	t.Parallel()
	h := start(t)
	cert := &gossh.Certificate{Key: h.key.PublicKey(), CertType: gossh.UserCert, ValidPrincipals: []string{user}, ValidBefore: gossh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer(t, "ecdsa")); err != nil {
		t.Fatal(err)
	}
	s, err := gossh.NewCertSigner(cert, h.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.login(clientConfig(user, gossh.PublicKeys(s))); err == nil {
		t.Error("logged in with a certificate that nobody knows")
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
