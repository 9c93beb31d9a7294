package client

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// maxKnownHosts bounds a text with host keys.
const maxKnownHosts = 256 << 10

// hostKeys returns how to check the SSH server of a transfer: the algorithms to ask it for, and the check. The keys
// are those that the platform named over https; no other is accepted (rows S3.5 and S3.6).
func (t *Transfer) hostKeys(addr string) ([]string, ssh.HostKeyCallback, error) {
	var good, revoked []ssh.PublicKey
	if len(t.KnownHosts) > maxKnownHosts {
		return nil, nil, &permanentError{fmt.Errorf("%w: the platform names host keys in %d bytes",
			ErrContradiction, len(t.KnownHosts))}
	}
	for rest := []byte(t.KnownHosts); len(rest) > 0; {
		marker, hosts, key, _, next, err := ssh.ParseKnownHosts(rest)
		if err != nil {
			// io.EOF after the last line, or a line that is none.
			_, after, more := bytes.Cut(rest, []byte("\n"))
			if !more {
				break
			}
			rest = after
			continue
		}
		rest = next
		named := slices.ContainsFunc(hosts, func(pattern string) bool {
			return namesHost(pattern, knownhosts.Normalize(addr)) || namesHost(pattern, t.Host)
		})
		switch {
		case !named:
		case marker == "revoked":
			revoked = append(revoked, key)
		case marker == "":
			good = append(good, key)
		}
	}
	if len(good) == 0 {
		return nil, nil, &permanentError{fmt.Errorf("%w: the platform names no key of the SSH server %s",
			ErrHostKey, addr)}
	}
	check := func(_ string, _ net.Addr, key ssh.PublicKey) error {
		same := func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) }
		if slices.ContainsFunc(good, same) && !slices.ContainsFunc(revoked, same) {
			return nil
		}
		return fmt.Errorf("%w: %s shows the %s key %s, which is none of those that the platform names for it. "+
			"Somebody may stand in between. Nothing was sent",
			ErrHostKey, addr, key.Type(), ssh.FingerprintSHA256(key))
	}
	var algorithms []string
	for _, key := range good {
		kinds := []string{key.Type()}
		if key.Type() == ssh.KeyAlgoRSA {
			kinds = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, kind := range kinds {
			if !slices.Contains(algorithms, kind) {
				algorithms = append(algorithms, kind)
			}
		}
	}
	return algorithms, check, nil
}

// namesHost reports whether a word of a line of known_hosts names a host: as it is, or hashed.
func namesHost(word, host string) bool {
	rest, hashed := strings.CutPrefix(word, "|1|")
	if !hashed {
		return strings.EqualFold(word, host)
	}
	salt64, hash64, _ := strings.Cut(rest, "|")
	salt, err1 := base64.StdEncoding.DecodeString(salt64)
	hash, err2 := base64.StdEncoding.DecodeString(hash64)
	mac := hmac.New(sha1.New, salt)
	_, _ = mac.Write([]byte(host))
	return err1 == nil && err2 == nil && hmac.Equal(mac.Sum(nil), hash)
}
