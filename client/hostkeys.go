package client

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	skeema "github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// HostKeys decides whether an SSH server is the right one, by files in the form of OpenSSH's known_hosts.
// It may be used by several transfers at the same time; its fields must not be changed meanwhile.
type HostKeys struct {
	// Files are read before each connection. Files that do not exist are skipped.
	Files []string

	// Accept is called for a server of which Files hold no key. If it returns nil, the key is accepted and
	// appended to the first of Files; otherwise the transfer fails with an *[UnknownHostError] that wraps what
	// it returned. A server that shows another key than the known one is refused without calling Accept.
	// If Accept is nil, unknown servers are refused.
	Accept func(addr string, key ssh.PublicKey) error

	mu sync.Mutex // serializes writing
}

// AcceptNew accepts every server of which no key is known. It is a value for the field Accept of [HostKeys].
func AcceptNew(addr string, key ssh.PublicKey) error { return nil }

// config returns how to check the server at addr: the algorithms to ask it for, so that it shows the key that is
// known and not another one of its own, and the check.
func (h *HostKeys) config(addr string) ([]string, ssh.HostKeyCallback, error) {
	var files []string
	for _, f := range h.Files {
		if _, err := os.Stat(f); err == nil {
			files = append(files, f)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, local("reading known SSH hosts", err)
		}
	}
	db, err := skeema.NewDB(files...)
	if err != nil {
		// The error names file and line, and the library's name twice.
		return nil, nil, local("reading known SSH hosts", fmt.Errorf("%s; expected lines as ssh-keyscan prints them",
			strings.ReplaceAll(err.Error(), "knownhosts: ", "")))
	}
	known := db.HostKeyCallback()
	check := func(_ string, remote net.Addr, key ssh.PublicKey) error { return h.check(known, addr, remote, key) }
	// The library adds SHA-1 signatures to those that an RSA key can make.
	algorithms := slices.DeleteFunc(db.HostKeyAlgorithms(addr), func(a string) bool { return a == ssh.KeyAlgoRSA })
	return algorithms, check, nil
}

func (h *HostKeys) check(known ssh.HostKeyCallback, addr string, remote net.Addr, key ssh.PublicKey) error {
	err := known(addr, remote, key)
	if err == nil {
		return nil
	}
	if revoked, ok := errors.AsType[*knownhosts.RevokedError](err); ok {
		return fmt.Errorf("%w: %s shows a key that %s marks as revoked (%s)",
			ErrHostKey, addr, revoked.Revoked.Filename, ssh.FingerprintSHA256(key))
	}
	mismatch, ok := errors.AsType[*knownhosts.KeyError](err)
	switch {
	case !ok:
		return fmt.Errorf("%w: %w", ErrHostKey, err)
	case len(mismatch.Want) > 0:
		return &HostKeyChangedError{Addr: addr, Key: key, Known: mismatch.Want}
	}
	unknown := &UnknownHostError{Addr: addr, Key: key, Files: h.Files}
	if h.Accept == nil {
		return unknown
	}
	if unknown.Err = h.Accept(addr, key); unknown.Err != nil {
		return unknown
	}
	return h.remember(addr, key)
}

func (h *HostKeys) remember(addr string, key ssh.PublicKey) error {
	if len(h.Files) == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	const doing = "remembering the SSH host's key"
	if err := os.MkdirAll(filepath.Dir(h.Files[0]), 0o700); err != nil {
		return local(doing, err)
	}
	f, err := os.OpenFile(h.Files[0], os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return local(doing, err)
	}
	defer f.Close()
	line := knownhosts.Line([]string{addr}, key) + "\n"
	// A file edited by hand may lack its last newline; our line must not join what is there.
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	if _, err := f.WriteString(line); err != nil {
		return local(doing, err)
	}
	return nil
}

// UnknownHostError reports an SSH server of which no key is known, and whose key was not accepted.
// errors.Is(err, [ErrHostKey]) holds for it.
type UnknownHostError struct {
	Addr  string        // host and port
	Key   ssh.PublicKey // the key that the server showed
	Files []string      // where the key was looked for
	Err   error         // what HostKeys.Accept returned; nil if there was no Accept
}

// Error describes the key and says why it was not accepted.
func (e *UnknownHostError) Error() string {
	s := fmt.Sprintf("%v: %s is not a known SSH host; its %s key has the fingerprint %s",
		ErrHostKey, e.Addr, e.Key.Type(), ssh.FingerprintSHA256(e.Key))
	if e.Err != nil {
		return s + ": " + e.Err.Error()
	}
	return s + ". If that is right, add the key to " + strings.Join(e.Files, " or ")
}

// Is reports whether target is ErrHostKey.
func (e *UnknownHostError) Is(target error) bool { return target == ErrHostKey }

// Unwrap returns e.Err.
func (e *UnknownHostError) Unwrap() error { return e.Err }

// HostKeyChangedError reports an SSH server that shows another key than the known one.
// errors.Is(err, [ErrHostKey]) holds for it.
type HostKeyChangedError struct {
	Addr  string                // host and port
	Key   ssh.PublicKey         // the key that the server showed
	Known []knownhosts.KnownKey // the keys that are known, with file and line
}

// Error describes both keys, and names the line that has the known one.
func (e *HostKeyChangedError) Error() string {
	k := e.Known[0]
	return fmt.Sprintf("the SSH host key of %s has changed: it shows the %s key %s, but %s (line %d) knows %s. "+
		"Either the server has a new key, or somebody stands in between. Nothing was sent. "+
		"If the platform confirms the new key, remove the old one: ssh-keygen -f %s -R '%s'",
		e.Addr, e.Key.Type(), ssh.FingerprintSHA256(e.Key), k.Filename, k.Line, ssh.FingerprintSHA256(k.Key),
		k.Filename, knownhosts.Normalize(e.Addr))
}

// Is reports whether target is ErrHostKey.
func (e *HostKeyChangedError) Is(target error) bool { return target == ErrHostKey }
