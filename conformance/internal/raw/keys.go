package raw

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// NewKey makes a key pair: "ed25519", "ecdsa" (P-256) or "rsa" (2048 bits). Keys are made for each run, since a key
// that stands in some repository must not open a share on a real platform.
func NewKey(kind string) ssh.Signer {
	signer, err := ssh.NewSignerFromKey(newPrivate(kind))
	if err != nil {
		panic(err)
	}
	return signer
}

// NewSavedKey makes a key pair as NewKey does, and returns the private key, too, in the form that OpenSSH writes.
func NewSavedKey(kind string) (ssh.Signer, string) {
	private := newPrivate(kind)
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		panic(err)
	}
	return signer, string(pem.EncodeToMemory(block))
}

func newPrivate(kind string) crypto.PrivateKey {
	var private crypto.PrivateKey
	var err error
	switch kind {
	case "ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		return rsaKey()
	default:
		panic("raw: no key type " + kind)
	}
	if err != nil {
		panic(err)
	}
	return private
}

// rsaKey makes a key once, since that takes long.
var rsaKey = sync.OnceValue(func() crypto.PrivateKey {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return private
})

// Limited returns an RSA key that signs by one algorithm only, such as rsa-sha2-256.
func Limited(key ssh.Signer, algorithm string) ssh.Signer {
	limited, err := ssh.NewSignerWithAlgorithms(key.(ssh.AlgorithmSigner), []string{algorithm})
	if err != nil {
		panic(err)
	}
	return limited
}

// KeyLine is the key as a line of authorized_keys, with a comment and without the line's end.
func KeyLine(s ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) + " conformance@example.com"
}

// WithKey logs in with a key.
func WithKey(s ssh.Signer) []ssh.AuthMethod { return []ssh.AuthMethod{ssh.PublicKeys(s)} }
