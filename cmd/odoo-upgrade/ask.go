package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"

	"github.com/upgrademock/upgrademock/internal/tty"
)

// errNobody means that there is no terminal to ask on.
var errNobody = errors.New("there is no terminal to ask at")

// ask puts a question to be answered with y or n.
func (a *app) ask(question string) (bool, error) {
	in, ok := tty.File(a.stdin)
	if !ok {
		return false, errNobody
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// askPassphrase reads the passphrase of a key file, without echo.
func (a *app) askPassphrase(path string) ([]byte, error) {
	in, ok := tty.File(a.stdin)
	if !ok {
		return nil, errNobody
	}
	fmt.Fprintf(a.stderr, "Passphrase for %s: ", path)
	pass, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(a.stderr)
	return pass, err
}

// askHost asks whether to trust an SSH host of which no key is known.
func (a *app) askHost(addr string, key ssh.PublicKey) error {
	ok, err := a.ask(fmt.Sprintf("The SSH host %s is not known. Its %s key has the fingerprint %s. Trust it?",
		addr, key.Type(), ssh.FingerprintSHA256(key)))
	if errors.Is(err, errNobody) {
		return fmt.Errorf("%w; if it is the right one, add --accept-new-host-key", err)
	}
	if err == nil && !ok {
		err = errors.New("not trusted")
	}
	return err
}
