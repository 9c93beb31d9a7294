package main

import (
	"errors"
	"fmt"
	"net"
	"path"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upgrademock/upgrademock/internal/proxy"
	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/mockserver"
)

// proxyFlags say whom the proxy serves and whom it lets through.
type proxyFlags struct {
	hosts, allow []string
	passthrough  bool
}

// proxyFlagNames are the names of those flags.
var proxyFlagNames = []string{"host", "allow-host", "passthrough"}

func (f *proxyFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.hosts, "host", nil,
		"a `name` that leads to the emulator in addition to upgrade.odoo.com, repeatable")
	flags.StringArrayVar(&f.allow, "allow-host", nil,
		"`glob` of hosts that the proxy lets through, repeatable (default: none but this machine)")
	flags.BoolVar(&f.passthrough, "passthrough", false, "let the proxy pass calls to every other host")
}

func (f *proxyFlags) check() error {
	for _, glob := range f.allow {
		if _, err := path.Match(glob, ""); err != nil {
			return fmt.Errorf("--allow-host %q: this is no glob; wanted one such as *.example.com", glob)
		}
	}
	for _, host := range f.hosts {
		if host == "" || strings.ContainsAny(host, ":/ ") {
			return fmt.Errorf("--host %q: wanted a name alone, such as upgrade.example.com", host)
		}
	}
	return nil
}

// startProxy starts a proxy before an emulator that runs.
type startProxy func(*mockserver.Server) (*proxy.Proxy, error)

// starter is what starts serve's proxy, nil if there is to be none. An error is a wrong command line.
func (f *proxyFlags) starter(cmd *cobra.Command, addr address, opts *mockserver.Options) (startProxy, error) {
	if addr == "" {
		for _, name := range proxyFlagNames {
			if cmd.Flags().Changed(name) {
				return nil, fmt.Errorf("--%s is the proxy's, and there is none: add --proxy ADDRESS", name)
			}
		}
		return nil, nil
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	opts.CAHosts = append(opts.CAHosts, f.hosts...)
	if opts.SFTPHostname == "" {
		// Whoever calls upgrade.odoo.com would be sent there for SFTP, too. On every address of this machine we
		// cannot know the right one.
		if host, _, err := net.SplitHostPort(opts.SFTPAddr); err == nil {
			if ip := net.ParseIP(host); ip == nil && host != "" || ip != nil && !ip.IsUnspecified() {
				opts.SFTPHostname = host
			}
		}
	}
	return func(srv *mockserver.Server) (*proxy.Proxy, error) {
		front, err := testbed.StartProxy(string(addr), srv, testbed.Options{Hosts: f.hosts, AllowHosts: f.allow,
			Passthrough: f.passthrough}, opts.Logger)
		if _, listening := errors.AsType[*net.OpError](err); listening {
			err = cannotListen("proxy", string(addr), err)
		}
		return front, err
	}, nil
}
