package mockserver

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	gossh "golang.org/x/crypto/ssh"
)

// othersLike makes for each key another one of its type, so that a client that pins the one is shown the other.
func othersLike(keys []gossh.Signer) ([]gossh.Signer, error) {
	others := make([]gossh.Signer, len(keys))
	for i, key := range keys {
		var private any
		var err error
		switch kind := key.PublicKey().Type(); kind {
		case gossh.KeyAlgoECDSA256:
			private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case gossh.KeyAlgoECDSA384:
			private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		case gossh.KeyAlgoECDSA521:
			private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		case gossh.KeyAlgoED25519:
			_, private, err = ed25519.GenerateKey(rand.Reader)
		case gossh.KeyAlgoRSA:
			private, err = rsa.GenerateKey(rand.Reader, 2048)
		default:
			err = fmt.Errorf("keys of type %s cannot be made", kind)
		}
		if err == nil {
			others[i], err = gossh.NewSignerFromKey(private)
		}
		if err != nil {
			return nil, fmt.Errorf("mockserver: make another host key: %w", err)
		}
	}
	return others, nil
}

// alone is a list of the one key.
func alone(key gossh.Signer, err error) ([]gossh.Signer, error) { return []gossh.Signer{key}, err }
