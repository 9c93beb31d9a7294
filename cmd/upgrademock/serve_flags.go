package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upgrademock/upgrademock/mockserver"
)

// serveFlags are the flags that say what emulator it is to be.
type serveFlags struct {
	http, https, sftp, control address
	transfer                   address
	scenarios, hostKeys        []string
	clock, journal             string
	logFormat                  string
	verbose                    bool
	opts                       mockserver.Options
}

func (f *serveFlags) add(flags *pflag.FlagSet, httpAddr, httpsAddr, sftpAddr string) {
	o := &f.opts
	f.http, f.https, f.sftp = address(httpAddr), address(httpsAddr), address(sftpAddr)
	flags.Var(&f.http, "http", "`address` of the HTTP listener; port 0 takes a free one, empty switches it off")
	flags.Var(&f.https, "https", "`address` of the HTTPS listener; likewise")
	flags.Var(&f.sftp, "sftp", "`address` of the SFTP server; likewise")
	flags.Var(&f.control, "control",
		"`address` of a separate listener for the control API (default: /_mock/ of the HTTP listener)")
	flags.StringVar(&o.DataDir, "data-dir", "",
		"keep requests, dumps and keys in this `directory`, a new or empty one, or that of an earlier run "+
			"(default: a temporary one, removed at the end)")
	flags.StringVar(&o.Edition, "doc", mockserver.Edition11, "`edition` of the official page to emulate: 11.0 or 13.0")
	flags.StringArrayVar(&o.Targets, "target", nil, "a valid target `version`, repeatable; overrides the edition's")
	flags.StringArrayVar(&o.Contracts, "contract", nil,
		"`glob` of the known contracts, repeatable (default: all but M123456-abcxyz)")
	flags.StringVar(&o.Region, "region", "eu1", "`name` of the data centre in URLs")
	flags.StringVar(&o.PublicURL, "public-url", "",
		"base `URL` of the URLs in answers (default: scheme and Host of the call being answered)")
	flags.StringVar(&o.SFTPHostname, "sftp-hostname", "",
		"`hostname` that request_sftp_access answers (default: the host of the call being answered)")
	flags.StringArrayVar(&f.hostKeys, "sftp-host-key", nil,
		"`file` with an SSH host key to show, repeatable with keys of several types "+
			"(default: an ECDSA key of the data directory)")
	flags.Var(&f.transfer, "transfer",
		"`address` for the transfers of the upgrade script: one port for all, or a free one of that host for each "+
			"with port 0 (default: a free one of the SFTP server's host for each)")
	flags.DurationVar(&o.TransferTimeout, "transfer-timeout", 5*time.Minute,
		"`duration` without traffic after which a transfer ends")
	flags.StringVar(&o.Rsync, "rsync", "", "rsync `program` to serve transfers with (default: none is needed)")
	flags.StringVar(&o.Script, "script", "",
		"`file` with a copy of the upgrade script, which GET /upgrade hands out (default: none)")
	flags.DurationVar(&o.SFTPAccessTTL, "sftp-access-ttl", 24*time.Hour, "`duration` of an SFTP access")
	flags.IntVar(&o.FailureStatus, "failure-status", 200, "HTTP `status` of answers with failures")
	flags.StringArrayVar(&f.scenarios, "scenario", nil,
		"a `file`, or the name of a built-in scenario, repeatable; the first that matches a request drives it")
	flags.StringVar(&f.clock, "clock", "real",
		"the `clock`: real, virtual, which stands until POST /_mock/clock/advance, or skip, which jumps to the next "+
			"change when a client asks for a state that it knows")
	flags.StringVar(&f.journal, "journal", "", "append the journal to this `file`, as JSON lines")
	flags.IntVar(&o.JournalSize, "journal-size", mockserver.DefaultJournalSize,
		"greatest `number` of events kept in memory")
	o.MaxDump = mockserver.DefaultMaxDump
	flags.Var((*size)(&o.MaxDump), "max-dump", "greatest `size` of a dump, such as 500MiB; a larger one is refused")
	flags.IntVar(&o.MaxConnections, "max-connections", mockserver.DefaultMaxConnections,
		"greatest `number` of connections at one time, for each HTTP listener and the proxy")
	flags.IntVar(&o.MaxSessions, "max-sessions", mockserver.DefaultMaxSessions,
		"greatest `number` of SFTP connections at one time")
	flags.IntVar(&o.MaxRequests, "max-requests", mockserver.DefaultMaxRequests,
		"greatest `number` of requests; create is refused beyond it, until a reset")
	flags.Uint64Var(&o.Seed, "seed", 0,
		"`number` to make keys from, for runs that repeat; 0 makes keys that cannot be guessed")
	flags.StringVar(&f.logFormat, "log-format", "text", "`format` of the log on standard error: text or json")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log every call")
}

// completeClock completes the values of --clock, where the command has it.
func completeClock(cmd *cobra.Command) {
	values := []string{"real\tthe system's", "virtual\tstands until it is advanced", "skip\tjumps while clients wait"}
	if cmd.Name() == "certify" { // where nobody advances it
		values = slices.Delete(values, 1, 2)
	}
	if cmd.Flags().Lookup("clock") != nil {
		_ = cmd.RegisterFlagCompletionFunc("clock", cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// options is what the flags ask for; a mistake in them is a usage error.
func (f *serveFlags) options(stderr io.Writer) (*mockserver.Options, error) {
	opts := f.opts
	opts.OptionName = optionName
	opts.HTTPAddr, opts.HTTPSAddr, opts.SFTPAddr = f.http.orOff(), f.https.orOff(), f.sftp.orOff()
	opts.ControlAddr, opts.Transfer = f.control.orOff(), string(f.transfer)
	if opts.HTTPAddr == mockserver.Off && opts.HTTPSAddr == mockserver.Off {
		return nil, errors.New("both --http and --https are switched off: there is nothing to serve")
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	handlerOpts := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		opts.Logger = slog.New(slog.NewTextHandler(stderr, handlerOpts))
	case "json":
		opts.Logger = slog.New(slog.NewJSONHandler(stderr, handlerOpts))
	default:
		return nil, fmt.Errorf("--log-format %q: choose text or json", f.logFormat)
	}
	var err error
	if opts.SFTPHostKeys, err = readHostKeys(f.hostKeys); err != nil {
		return nil, err
	}
	for _, name := range f.scenarios {
		script, err := findScenario(name)
		if err != nil {
			return nil, fmt.Errorf("--scenario: %w", err)
		}
		opts.Scenarios = append(opts.Scenarios, script)
	}
	switch f.clock {
	case "real":
	case "virtual", "skip":
		opts.Clock, opts.Skip = new(mockserver.ManualClock), f.clock == "skip"
	default:
		return nil, fmt.Errorf("--clock %q: choose real, virtual or skip", f.clock)
	}
	if err := opts.Check(); err != nil {
		return nil, optionError(err)
	}
	if err := checkOutput("journal", f.journal); err != nil {
		return nil, err
	}
	opts.CAHosts = f.hosts()
	return &opts, nil
}

// hosts are the names beside loopback under which clients will call.
func (f *serveFlags) hosts() []string {
	var hosts []string
	add := func(host string) {
		if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsLoopback() && !ip.IsUnspecified()) {
			hosts = append(hosts, host)
		}
	}
	if host, _, err := net.SplitHostPort(string(f.https)); err == nil {
		add(host)
		// every address of this machine, under its name
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			if name, err := os.Hostname(); err == nil {
				add(name)
			}
		}
	}
	if u, err := url.Parse(f.opts.PublicURL); err == nil {
		add(u.Hostname())
	}
	return hosts
}
