package sshhost

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"

	gossh "golang.org/x/crypto/ssh"
)

// PrepareHostKeys returns the keys as a server shows them, at most one of each type. If there are none, it makes an
// ECDSA P-256 key, the only type that known clients pin. RSA keys sign with SHA-1 only if allowSHA1 is set.
func PrepareHostKeys(keys []gossh.Signer, allowSHA1 bool) ([]gossh.Signer, error) {
	if len(keys) == 0 {
		key, err := newHostKey()
		if err != nil {
			return nil, fmt.Errorf("making a host key: %w", err)
		}
		return []gossh.Signer{key}, nil
	}
	types := make(map[string]bool)
	prepared := make([]gossh.Signer, len(keys))
	for i, key := range keys {
		kind := key.PublicKey().Type()
		if types[kind] {
			return nil, fmt.Errorf("two keys of type %s: a server shows one of each type", kind)
		}
		types[kind] = true
		prepared[i] = key
		signer, ok := key.(gossh.AlgorithmSigner)
		if !ok || kind != gossh.KeyAlgoRSA || allowSHA1 {
			continue
		}
		var err error
		prepared[i], err = gossh.NewSignerWithAlgorithms(signer, []string{gossh.KeyAlgoRSASHA256, gossh.KeyAlgoRSASHA512})
		if err != nil {
			return nil, err
		}
	}
	return prepared, nil
}

func newHostKey() (gossh.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return gossh.NewSignerFromKey(key)
}
