package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upgrademock/upgrademock/internal/helptext"
	"github.com/upgrademock/upgrademock/mockserver"
)

// wanted is what a flag's value should have been.
type wanted string

func (w wanted) Error() string { return "wanted " + string(w) }

// wantedOf is what is wanted of the values of each type that the flags' library reads.
var wantedOf = map[string]wanted{
	"bool":     "true or false, or the flag alone",
	"duration": "a number with its unit, such as 500ms, 30s, 5m or 24h",
	"int":      "a whole number, such as 100",
	"uint64":   "a whole number that is not negative, such as 42",
}

// flagError says in words of ours what the flags' library says in Go's: which value is wrong, what was wanted, and
// an example.
func flagError(cmd *cobra.Command, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		flag := invalid.GetFlag()
		what, ours := errors.AsType[wanted](err)
		if !ours {
			what, ours = wantedOf[flag.Value.Type()], true
		}
		if what != "" {
			err = fmt.Errorf("--%s %q: %w", flag.Name, invalid.GetValue(), what)
		}
	}
	return fmt.Errorf("%w; see '%s --help'", helptext.Meant(cmd, err), cmd.CommandPath())
}

// arguments accepts from least to most arguments, or as many as there are if most is negative. usage shows what
// they are.
func arguments(least, most int, usage string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		return fmt.Errorf("wanted %s %s, found %d arguments; see '%[1]s --help'", cmd.CommandPath(), usage, len(args))
	}
}

// address is a flag's HOST:PORT to listen at. It is a [pflag.Value].
type address string

const wantedAddress wanted = "HOST:PORT with a port up to 65535, such as 127.0.0.1:8480, or port 0 for a free one"

func (a *address) Set(text string) error {
	if text != "" {
		_, port, err := net.SplitHostPort(text)
		if err != nil {
			return wantedAddress
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return wantedAddress
		}
	}
	*a = address(text)
	return nil
}

func (a *address) String() string { return string(*a) }

// Type is the placeholder in the help of flags that name no other.
func (a *address) Type() string { return "address" }

// orOff is the address as the emulator's options have it.
func (a *address) orOff() string {
	if *a == "" {
		return mockserver.Off
	}
	return string(*a)
}

// optionFlags are the flags of the emulator's options that its errors and other texts name.
var optionFlags = map[string]string{
	"Edition": "doc", "Targets": "target", "Contracts": "contract", "Region": "region", "PublicURL": "public-url",
	"SFTPHostname":  "sftp-hostname",
	"SFTPAccessTTL": "sftp-access-ttl", "FailureStatus": "failure-status", "JournalSize": "journal-size",
	"MaxDump":        "max-dump",
	"MaxConnections": "max-connections", "MaxSessions": "max-sessions", "MaxRequests": "max-requests",
	"Transfer": "transfer", "TransferTimeout": "transfer-timeout", "Rsync": "rsync", "Script": "script",
	"Scenarios": "scenario", "Clock": "clock", "CAHosts": "host",
}

// optionName is how the emulator's texts call an option.
func optionName(field string) string {
	if flag := optionFlags[field]; flag != "" {
		return "--" + flag
	}
	return field
}

// optionError is the error of an option that cannot be, with the name of the flag in place of the option's.
func optionError(err error) error {
	if bad, ok := errors.AsType[*mockserver.OptionError](err); ok && optionFlags[bad.Option] != "" {
		return fmt.Errorf("--%s: %w", optionFlags[bad.Option], bad.Err)
	}
	return err
}

// startError is what went wrong when an emulator started. A listener has the name of the flag to change.
func startError(err error) error {
	if listener, ok := errors.AsType[*mockserver.ListenError](err); ok {
		return cannotListen(listener.Listener, listener.Addr, listener.Err)
	}
	return err
}

// cannotListen says why nothing can be listened to at the address of a flag, and what to do.
func cannotListen(flag, addr string, err error) error {
	why := err.Error()
	dns, isDNS := errors.AsType[*net.DNSError](err)
	errno, isErrno := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, errInUse):
		why = "address already in use by another program"
	case errors.Is(err, fs.ErrPermission):
		why = "this user may not listen there; ports below 1024 are for administrators"
	case errors.Is(err, errNotOurs):
		why = "this machine has no such address"
	case isDNS:
		why = fmt.Sprintf("there is no host called %s", dns.Name)
	case isErrno:
		why = errno.Error()
	}
	return fmt.Errorf("--%s %s: %s; choose another address, or port 0 for a free one", flag, addr, why)
}

// checkOutput is an error if the file that a flag names can not be written: a wrong command line, found before
// anything is done.
func checkOutput(flag, file string) error {
	if file == "" {
		return nil
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return fmt.Errorf("--%s %s: this is a directory; wanted the name of a file in it", flag, file)
	}
	dir := filepath.Dir(file)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("--%s %s: there is no directory %s; make it, or name a file elsewhere", flag, file, dir)
	}
	return nil
}

// reasonOf takes operation and path off an error of the file system, for messages that name the file themselves.
func reasonOf(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
