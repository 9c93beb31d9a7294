package client

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// HostKeys decides whether an SSH server is the right one, by files in the form of OpenSSH's known_hosts.
type HostKeys struct {
	// Files are read before each connection; those that do not exist are passed over. Accepted keys are appended to the first.
	Files []string

	// Accept is asked about a host of which no key is known; nil from it accepts the key and remembers it in the first of
	// Files. A host whose known key differs is never asked about, but refused. Nil means to refuse unknown hosts.
	Accept func(addr string, key ssh.PublicKey) error

	mu sync.Mutex
}

// AcceptNew accepts every host of which no key is known. It is a value for HostKeys.Accept.
func AcceptNew(string, ssh.PublicKey) error { return nil }

// config returns how to check the host at addr: which key types to ask it for, so that it shows the key that is
// known and not another of its own, and the check.
func (h *HostKeys) config(addr string) ([]string, ssh.HostKeyCallback, error) {
	var files []string
	for _, f := range h.Files {
		if _, err := os.Stat(f); err == nil {
			files = append(files, f)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, local("reading known SSH hosts", err)
		}
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		// The library names file and line, and its own name twice.
		return nil, nil, local("reading known SSH hosts", fmt.Errorf("%s; expected lines as ssh-keyscan prints them",
			strings.ReplaceAll(err.Error(), "knownhosts: ", "")))
	}
	check := func(_ string, remote net.Addr, key ssh.PublicKey) error { return h.check(known, addr, remote, key) }
	return algorithmsFor(known, addr), check, nil
}

func (h *HostKeys) check(known ssh.HostKeyCallback, addr string, remote net.Addr, key ssh.PublicKey) error {
	err := known(addr, remote, key)
	var mismatch *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		return fmt.Errorf("%w: %s shows a key that %s marks as revoked (%s)", ErrHostKey, addr, revoked.Revoked.Filename, ssh.FingerprintSHA256(key))
	case errors.As(err, &mismatch) && len(mismatch.Want) > 0:
		return &HostKeyChangedError{Addr: addr, Key: key, Known: mismatch.Want}
	case !errors.As(err, &mismatch):
		return fmt.Errorf("%w: %w", ErrHostKey, err)
	}
	what := fmt.Sprintf("%s is not a known SSH host; its %s key has the fingerprint %s", addr, key.Type(), ssh.FingerprintSHA256(key))
	if h.Accept == nil {
		return fmt.Errorf("%w: %s. If that is right, allow it with --accept-new-host-key, or add the key to %s",
			ErrHostKey, what, strings.Join(h.Files, " or "))
	}
	if err := h.Accept(addr, key); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrHostKey, what, err)
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

// HostKeyChangedError: the SSH server shows another key than the one that is known. It is ErrHostKey.
type HostKeyChangedError struct {
	Addr  string
	Key   ssh.PublicKey
	Known []knownhosts.KnownKey
}

// Error names both keys and the line to look at.
func (e *HostKeyChangedError) Error() string {
	k := e.Known[0]
	return fmt.Sprintf("the SSH host key of %s has changed: it shows the %s key %s, but %s (line %d) knows %s. "+
		"Either the server has a new key, or somebody stands in between. Nothing was sent. "+
		"If the platform confirms the new key, remove the old one: ssh-keygen -f %s -R '%s'",
		e.Addr, e.Key.Type(), ssh.FingerprintSHA256(e.Key), k.Filename, k.Line, ssh.FingerprintSHA256(k.Key),
		k.Filename, knownhosts.Normalize(e.Addr))
}

// Is answers for ErrHostKey.
func (e *HostKeyChangedError) Is(target error) bool { return target == ErrHostKey }

// algorithmsFor returns the key algorithms under which the known keys of addr can be shown, nil when none is known.
func algorithmsFor(known ssh.HostKeyCallback, addr string) []string {
	// The library tells what it knows only when asked about a wrong key.
	var mismatch *knownhosts.KeyError
	if !errors.As(known(addr, nowhere{}, noKey{}), &mismatch) {
		return nil
	}
	var out []string
	for _, k := range mismatch.Want {
		switch t := k.Key.Type(); t {
		case ssh.KeyAlgoRSA:
			out = append(out, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512)
		default:
			out = append(out, t)
		}
	}
	return out
}

// noKey is no host's key.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("not a key") }

// nowhere is an address that matches no line by its number.
type nowhere struct{}

func (nowhere) Network() string { return "tcp" }
func (nowhere) String() string  { return "0.0.0.0:0" }
