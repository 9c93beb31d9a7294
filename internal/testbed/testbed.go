// Package testbed runs what a client under test needs: a fresh emulator on free ports, the intercepting proxy before
// it, and an environment in which a program with the fixed URL https://upgrade.odoo.com reaches and trusts them.
package testbed

import (
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/clientenv"
	"github.com/upgrademock/upgrademock/internal/isolate"
	"github.com/upgrademock/upgrademock/internal/proxy"
	"github.com/upgrademock/upgrademock/mockserver"
)

// Options configures a Testbed. The zero value is valid.
type Options struct {
	// Server configures the emulator. If nil, it has its default options.
	Server *mockserver.Options
	// Hosts, AllowHosts and Passthrough are the proxy's: names that lead to the emulator beside upgrade.odoo.com,
	// globs of the hosts that are let through, and whether all are.
	Hosts, AllowHosts []string
	Passthrough       bool
	// Isolated gives the program a network, names and authorities of its own, in which the emulator is
	// https://upgrade.odoo.com, and nothing else can be reached: see package isolate. There is no proxy then, and
	// AllowHosts and Passthrough are ignored. HTTP and HTTPS are on 127.0.0.1:80 and :443 unless Server says otherwise.
	Isolated bool
	// NoHooks leaves out the startup files for programs that need more than variables; see hooks.
	NoHooks bool
	// Environ is the environment to extend. If nil, it is that of this process.
	Environ []string
}

// A Testbed is a running emulator with its proxy. It must be closed.
type Testbed struct {
	Server *mockserver.Server
	Proxy  *proxy.Proxy // nil if the program is isolated
	// Dir is for temporary files of the run. Close removes it.
	Dir string
	// Env is the environment for the client.
	Env []string
	// Mark is the entry of Env that identifies the processes of the run.
	Mark string
	// Run starts the program in place of [exec.Cmd.Start]; nil is that.
	Run func(*exec.Cmd) error

	space *isolate.Space // in which the program is isolated; or nil
	names *nameServer    // in the space

	bundle       string // file of the authorities to trust, the system's and ours
	transferHost string // where transfers listen
}

// Start starts the emulator and its proxy. When it returns without an error, all listeners accept.
func Start(opts Options) (_ *Testbed, err error) {
	server := mockserver.Options{}
	if opts.Server != nil {
		server = *opts.Server
	}
	if server.Logger == nil {
		server.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	b := &Testbed{Mark: "UPGRADEMOCK_RUN=" + rand.Text(), transferHost: transferHost(&server)}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if b.Dir, err = makeDir(); err != nil {
		return b, err
	}
	if opts.Isolated {
		if err := b.makeSpace(&server); err != nil {
			return b, err
		}
	}
	if server.SFTPHostname == "" {
		server.SFTPHostname = "127.0.0.1" // SSH clients do not use the proxy
	}
	if b.Server, err = mockserver.New(&server); err != nil {
		return b, err
	}
	if err := b.Server.Start(); err != nil {
		return b, err
	}
	if !opts.Isolated {
		b.Proxy, err = StartProxy("127.0.0.1:0", b.Server, opts, server.Logger)
		if err != nil {
			return b, err
		}
	}
	if err := b.makeEnv(opts); err != nil {
		return b, err
	}
	if opts.Isolated {
		return b, b.furnish(&server, opts)
	}
	return b, nil
}

// makeDir makes the directory of a run.
func makeDir() (string, error) {
	dir, err := os.MkdirTemp("", "upgrademock-run-")
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	// Programs change their directory, and may change their user, who must be able to read files by name.
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		return dir, fmt.Errorf("make a temporary directory: %w", err)
	}
	return dir, nil
}

// StartProxy starts the proxy before an emulator that runs.
func StartProxy(addr string, srv *mockserver.Server, opts Options, log *slog.Logger) (*proxy.Proxy, error) {
	hosts := opts.Hosts
	if base := srv.URL(); base != "" { // so that what a scenario does to a connection is done to the client's own
		hosts = append([]string{strings.TrimPrefix(base, "http://")}, hosts...)
	}
	return proxy.Start(addr, proxy.Options{
		Handler: srv, Certificate: srv.CertificateFor,
		Guard:   func(l net.Listener) net.Listener { return srv.Guard("proxy", l) },
		Private: []string{"/_mock"}, // the control API, which shows the keys of all requests
		Hosts:   hosts, AllowHosts: opts.AllowHosts, Passthrough: opts.Passthrough, Logger: log,
	})
}

// makeEnv makes the environment that docs/reference/environment.md describes.
func (b *Testbed) makeEnv(opts Options) error {
	srv := b.Server
	caFile, err := filepath.Abs(srv.CAFile())
	if err != nil {
		return err
	}
	b.bundle = filepath.Join(b.Dir, "ca-bundle.pem")
	if err := WriteBundle(b.bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}),
		opts.Environ); err != nil {
		return err
	}
	knownHosts, err := filepath.Abs(srv.KnownHostsFile())
	if err != nil {
		return err
	}
	addresses := clientenv.Addresses{
		URL: srv.URL(), HTTPSURL: srv.HTTPSURL(), AdminURL: srv.AdminURL(), ScriptURL: srv.HTTPSURL(),
		SFTP: srv.SFTPAddr(), TransferHost: b.transferHost,
		CAFile: caFile, KnownHosts: knownHosts, Bundle: b.bundle,
	}
	unset := clientenv.Unset
	var more []string
	if opts.Isolated {
		unset = append(slices.Clone(unset), clientenv.Proxies...)
	} else {
		addresses.Proxy = b.Proxy.URL()
		if more, err = hooks(b.Dir, b.bundle, opts); err != nil {
			return err
		}
	}
	set := slices.Concat([]string{b.Mark}, addresses.Variables(), more)
	b.Env = child.Environ(opts.Environ, set, unset)
	return nil
}

// transferHost is the host by which the program reaches the transfers of the script API.
func transferHost(opts *mockserver.Options) string {
	for _, addr := range []string{opts.Transfer, opts.SFTPAddr} {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			continue // the default, or switched off
		}
		if ip, err := netip.ParseAddr(host); host != "" && !(err == nil && ip.IsUnspecified()) {
			return host
		}
		break
	}
	return "127.0.0.1"
}

// Close stops the emulator and the proxy, and removes Dir. It may be called more than once.
func (b *Testbed) Close() error {
	var errs []error
	if b.Proxy != nil { // first: the emulator waits for calls that came through it
		errs = append(errs, b.Proxy.Close())
	}
	if b.Server != nil {
		errs = append(errs, b.Server.Close())
	}
	if b.names != nil {
		errs = append(errs, b.names.close())
	}
	if b.space != nil {
		errs = append(errs, b.space.Close())
	}
	if b.Dir != "" {
		errs = append(errs, os.RemoveAll(b.Dir))
	}
	return errors.Join(errs...)
}
