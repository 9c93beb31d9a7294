package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

// readHostKeys reads the files of --sftp-host-key.
func readHostKeys(files []string) ([]gossh.Signer, error) {
	var keys []gossh.Signer
	from := make(map[string]string) // type → file
	for _, file := range files {
		key, err := readHostKey(file)
		if err != nil {
			return nil, fmt.Errorf("--sftp-host-key %s: %w", file, err)
		}
		kind := key.PublicKey().Type()
		if other, ok := from[kind]; ok {
			return nil, fmt.Errorf("--sftp-host-key %s: %s has a key of type %s already, and a server shows one of each type",
				file, other, kind)
		}
		from[kind] = file
		keys = append(keys, key)
	}
	return keys, nil
}

// servable are the types of host keys that clients can be shown.
var servable = map[string]bool{
	gossh.KeyAlgoRSA:      true,
	gossh.KeyAlgoECDSA256: true, gossh.KeyAlgoECDSA384: true, gossh.KeyAlgoECDSA521: true,
	gossh.KeyAlgoED25519: true,
}

const wantedKey = "wanted a private key without a passphrase, such as ssh-keygen -t ecdsa makes"

func readHostKey(file string) (gossh.Signer, error) {
	data, err := safefile.ReadNamed(file, 1<<20)
	if cause, ok := errors.AsType[*os.PathError](err); ok {
		return nil, fmt.Errorf("%w; %s", cause.Err, wantedKey)
	}
	if err != nil {
		return nil, err
	}
	key, err := gossh.ParsePrivateKey(data)
	_, locked := errors.AsType[*gossh.PassphraseMissingError](err)
	switch {
	case locked:
		return nil, errors.New("the key has a passphrase, which cannot be asked for here; " +
			"make a copy without one: ssh-keygen -p -N '' -f COPY")
	case err != nil && bytes.HasPrefix(data, []byte("PuTTY-User-Key-File")):
		return nil, errors.New("this is a key in PuTTY's format; convert it: puttygen KEY -O private-openssh-new -o FILE")
	case err != nil && isPublicKey(data):
		return nil, errors.New("this is a public key; " + wantedKey)
	case err != nil:
		return nil, errors.New("this is no private key that can be read; " + wantedKey)
	case !servable[key.PublicKey().Type()]:
		return nil, fmt.Errorf("a key of type %s; SSH clients are shown one of type ecdsa, ed25519 or rsa",
			key.PublicKey().Type())
	}
	return key, nil
}

func isPublicKey(data []byte) bool {
	_, _, _, _, err := gossh.ParseAuthorizedKey(data)
	return err == nil
}
