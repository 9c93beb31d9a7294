package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upgrademock/upgrademock/internal/localca"
	"github.com/upgrademock/upgrademock/internal/proxy"
	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver"
)

// grace is how long transfers may go on after an interrupt.
const grace = 3 * time.Second

// serveFlags are the flags that say what emulator it is to be.
type serveFlags struct {
	http, https, sftp, control address
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
	flags.Var(&f.control, "control", "`address` of a listener of its own for the control API (default: /_mock/ of the HTTP listener)")
	flags.StringVar(&o.DataDir, "data-dir", "", "keep requests, dumps and keys in this `directory`, a new or empty one, or that of an earlier run (default: a temporary one, gone at the end)")
	flags.StringVar(&o.Edition, "doc", mockserver.Edition11, "`edition` of the official page to emulate: 11.0 or 13.0")
	flags.StringArrayVar(&o.Targets, "target", nil, "a valid target `version`, repeatable; overrides the edition's")
	flags.StringArrayVar(&o.Contracts, "contract", nil, "`glob` of the contracts that are known, repeatable (default: all but M123456-abcxyz)")
	flags.StringVar(&o.Region, "region", "eu1", "the part of the URLs that `names` the data centre")
	flags.StringVar(&o.PublicURL, "public-url", "", "base `URL` of the URLs in answers (default: scheme and Host of the call being answered)")
	flags.StringVar(&o.SFTPHostname, "sftp-hostname", "", "`hostname` that request_sftp_access answers (default: the host of the call being answered)")
	flags.StringArrayVar(&f.hostKeys, "sftp-host-key", nil, "`file` with an SSH host key to show, repeatable with keys of several types (default: an ECDSA key of the data directory)")
	flags.DurationVar(&o.SFTPAccessTTL, "sftp-access-ttl", 24*time.Hour, "how `long` an SFTP access lasts")
	flags.IntVar(&o.FailureStatus, "failure-status", 200, "HTTP `status` of answers with failures")
	flags.StringArrayVar(&f.scenarios, "scenario", nil, "a `file`, or the name of a built-in scenario, repeatable; the first that matches a request drives it")
	flags.StringVar(&f.clock, "clock", "real", "`kind` of clock: real, or virtual, which stands until POST /_mock/clock/advance")
	flags.StringVar(&f.journal, "journal", "", "append the journal to this `file`, as JSON lines")
	flags.IntVar(&o.JournalSize, "journal-size", mockserver.DefaultJournalSize, "how many `events` are remembered")
	o.MaxDump = mockserver.DefaultMaxDump
	flags.Var((*size)(&o.MaxDump), "max-dump", "the most `bytes` that a dump may have, such as 500MiB; a larger one is refused")
	flags.IntVar(&o.MaxConnections, "max-connections", mockserver.DefaultMaxConnections, "how many `connections` each HTTP listener, and the proxy, has at one time")
	flags.IntVar(&o.MaxSessions, "max-sessions", mockserver.DefaultMaxSessions, "how many SFTP `connections` there may be at one time")
	flags.IntVar(&o.MaxRequests, "max-requests", mockserver.DefaultMaxRequests, "how many `requests` are held; then create is refused until a reset")
	flags.Uint64Var(&o.Seed, "seed", 0, "`number` from which the keys are made, for runs that repeat; 0: keys that cannot be guessed")
	flags.StringVar(&f.logFormat, "log-format", "text", "`format` of the log on standard error: text or json")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log every call")
}

// options is what the flags ask for; a mistake in them is a usage error.
func (f *serveFlags) options(stderr io.Writer) (*mockserver.Options, error) {
	opts := f.opts
	opts.HTTPAddr, opts.HTTPSAddr, opts.SFTPAddr = f.http.orOff(), f.https.orOff(), f.sftp.orOff()
	opts.ControlAddr = f.control.orOff()
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
	case "virtual":
		opts.Clock = new(mockserver.ManualClock)
	default:
		return nil, fmt.Errorf("--clock %q: choose real or virtual", f.clock)
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

// cacheDir is where the authority lives that outlives a run.
func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "upgrademock"), nil
}

// keepAuthority has the emulator use the authority in the user's cache directory, so that it needs to be trusted only once. Where it
// cannot be kept there, the run has one of its own, and says so.
func keepAuthority(opts *mockserver.Options) {
	if opts.DataDir != "" {
		return // it lives there
	}
	dir, err := cacheDir()
	var ca *localca.CA
	if err == nil {
		ca, err = localca.Open(dir, opts.CAHosts...)
	}
	if err != nil {
		opts.Logger.Warn("the certificate authority cannot be kept; this run has one of its own", "error", err)
		return
	}
	if note := ca.Note(); note != "" {
		opts.Logger.Warn("the certificate authority: "+note, "directory", dir)
	}
	opts.CADir = dir
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
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() { // every address of this machine, under its name
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

func newServeCommand() *cobra.Command {
	var flags serveFlags
	var front proxyFlags
	var readyFile string
	var proxyAddr address
	var checkDumps bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the emulator until interrupted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := flags.options(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			keepAuthority(opts)
			if err := checkOutput("ready-file", readyFile); err != nil {
				return err
			}
			start, err := front.starter(cmd, proxyAddr, opts)
			if err != nil {
				return err
			}
			return withJournal(flags.journal, opts, func() error {
				return serve(cmd.Context(), opts, start, readyFile, checkDumps, cmd.OutOrStdout())
			})
		},
	}
	flags.add(cmd.Flags(), "127.0.0.1:8480", "127.0.0.1:8443", "127.0.0.1:2200")
	cmd.Flags().BoolVar(&checkDumps, "check-dumps", false, "with --data-dir, read the dumps that are there and compare them with their checksums before serving")
	cmd.Flags().StringVar(&readyFile, "ready-file", "", "write the addresses to this `file` once every listener accepts")
	cmd.Flags().Var(&proxyAddr, "proxy", "`address` of a proxy that leads https://upgrade.odoo.com here, for programs that have it written in them (default: none)")
	front.add(cmd.Flags())
	return cmd
}

// withJournal runs an emulator that writes its journal to the file.
func withJournal(path string, opts *mockserver.Options, run func() error) error {
	if path == "" {
		return run()
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return failed(fmt.Errorf("--journal %s: %w", path, reasonOf(err)))
	}
	opts.JournalWriter = f
	if err := run(); err != nil {
		f.Close()
		return err
	}
	return failed(f.Close())
}

// serve runs an emulator until ctx ends, with the proxy that start starts; a nil start starts none.
func serve(ctx context.Context, opts *mockserver.Options, start startProxy, readyFile string, checkDumps bool, stdout io.Writer) error {
	keepLean()
	srv, err := mockserver.New(opts)
	if err != nil {
		return failed(err)
	}
	defer srv.Close()
	if checkDumps {
		if err := srv.CheckDumps(ctx); err != nil {
			return failed(err)
		}
	}
	if err := srv.Start(); err != nil {
		return failed(startError(err))
	}
	var front *proxy.Proxy
	if start != nil {
		if front, err = start(srv); err != nil {
			return failed(err)
		}
		defer front.Close()
	}
	if readyFile != "" {
		if err := writeReadyFile(readyFile, srv, front); err != nil {
			return failed(err)
		}
		defer removeReadyFile(readyFile)
	}
	banner(stdout, srv, front, opts)
	<-ctx.Done()
	fmt.Fprintln(stdout, "\nStopping …")
	ending, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if front != nil { // first: the emulator waits for calls that came through it
		front.Shutdown(ending)
	}
	return failed(srv.Shutdown(ending))
}

// ready is the ready file. Other programs read it: its keys do not change.
type ready struct {
	URL            string `json:"url"`
	HTTPSURL       string `json:"https_url"`
	SFTPHost       string `json:"sftp_host"`
	SFTPPort       int    `json:"sftp_port"`
	AdminURL       string `json:"admin_url"`
	CAFile         string `json:"ca_file"`
	KnownHostsFile string `json:"known_hosts_file"`
	PID            int    `json:"pid"`
	ProxyURL       string `json:"proxy_url,omitempty"` // with --proxy only

}

func readyOf(srv *mockserver.Server, front *proxy.Proxy) (ready, error) {
	r := ready{URL: srv.URL(), HTTPSURL: srv.HTTPSURL(), AdminURL: srv.AdminURL(), PID: os.Getpid()}
	if front != nil {
		r.ProxyURL = front.URL()
	}
	if addr := srv.SFTPAddr(); addr != "" {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return r, err
		}
		r.SFTPHost = host
		if r.SFTPPort, err = strconv.Atoi(port); err != nil {
			return r, err
		}
		if r.KnownHostsFile, err = filepath.Abs(srv.KnownHostsFile()); err != nil {
			return r, err
		}
	}
	var err error
	r.CAFile, err = filepath.Abs(srv.CAFile())
	return r, err
}

// writeReadyFile makes the file appear whole, or not at all. It replaces an empty file and a ready file, nothing else.
func writeReadyFile(path string, srv *mockserver.Server, front *proxy.Proxy) error {
	r, err := readyOf(srv, front)
	if err == nil {
		err = replaceReadyFile(path, r)
	}
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

func replaceReadyFile(path string, r ready) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := readReady(root, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; it stays as it is: choose another file", err)
	}
	return safefile.Replace(root, filepath.Base(path), append(data, '\n'), 0o644)
}

// readReady reads the ready file at path, which is in root; an empty file is one that nobody has written yet.
func readReady(root *os.Root, path string) (r ready, err error) {
	data, err := safefile.Read(root, filepath.Base(path), 1<<20)
	if err != nil || len(data) == 0 {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil || r.PID == 0 || r.CAFile == "" {
		return r, fmt.Errorf("%s is no ready file", path)
	}
	return r, nil
}

// removeReadyFile removes the file, unless another emulator has written it meanwhile.
func removeReadyFile(path string) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return
	}
	defer root.Close()
	if r, err := readReady(root, path); err == nil && r.PID == os.Getpid() {
		root.Remove(filepath.Base(path))
	}
}

// banner says how to go on: lines to be pasted.
func banner(w io.Writer, srv *mockserver.Server, front *proxy.Proxy, opts *mockserver.Options) {
	base, curl := srv.URL(), "curl -sS"
	if base == "" {
		base, curl = srv.HTTPSURL(), "curl -sS --cacert "+quoted(srv.CAFile())
	}
	target := "8.0"
	if opts.Edition == mockserver.Edition13 {
		target = "13.0"
	}
	if len(opts.Targets) > 0 {
		target = opts.Targets[len(opts.Targets)-1]
	}
	contract := "M123456-abcdef"
	if len(opts.Contracts) > 0 {
		contract = strings.NewReplacer("*", "1", "?", "1").Replace(opts.Contracts[0])
	}
	fmt.Fprintln(w, "upgrademock is ready: a local emulator of the Odoo Database Upgrade API, for testing only.")
	fmt.Fprintln(w)
	proxied := ""
	if front != nil {
		trust := "upgrademock ca env"
		if opts.DataDir != "" {
			trust += " --data-dir " + quoted(opts.DataDir)
		}
		proxied = front.URL() + "  (export HTTPS_PROXY=" + front.URL() + `; eval "$(` + trust + `)")`
	}
	for _, line := range [][2]string{{"HTTP", srv.URL()}, {"HTTPS", srv.HTTPSURL()}, {"Proxy", proxied}, {"SFTP", srv.SFTPAddr()}, {"Control", srv.AdminURL()}, {"CA", srv.CAFile()}} {
		if line[1] != "" {
			fmt.Fprintf(w, "  %-8s %s\n", line[0], line[1])
		}
	}
	fmt.Fprintf(w, `
Create a request, and keep its id and key:

  %s "%s/database/v1/create?contract=%s&email=john.doe@example.com&target=%s&aim=test&filename=db_name.dump" | tee create_result.json
  REQUEST=$(jq -r .request.id create_result.json) KEY=$(jq -r .request.key create_result.json)

Upload a dump, over HTTP or over SFTP, have it processed, and poll:

  %s --data-binary @db_name.dump -H "Content-Type: application/octet-stream" "%s/database/v1/upload?request=$REQUEST&key=$KEY"
`, curl, base, contract, target, curl, base)
	if addr := srv.SFTPAddr(); addr != "" {
		host, port, _ := net.SplitHostPort(addr)
		fmt.Fprintf(w, `
  %s -F ssh_keys=@$HOME/.ssh/id_ed25519.pub "%s/database/v1/request_sftp_access?request=$REQUEST&key=$KEY"
  echo "put db_name.dump" | sftp -b - -P %s -o UserKnownHostsFile=%s user_$REQUEST@%s
`, curl, base, port, quoted(srv.KnownHostsFile()), host)
	}
	fmt.Fprintf(w, `
  %s "%s/database/v1/process?request=$REQUEST&key=$KEY"
  %s "%s/database/v1/status?request=$REQUEST&key=$KEY"

Press Ctrl-C to stop.
`, curl, base, curl, base)
}

// quoted protects a path from the shell, where that is needed.
func quoted(path string) string {
	if strings.ContainsAny(path, " \t'\"\\$&;()<>*?[]#~`|{}!") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
