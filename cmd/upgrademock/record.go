package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/proxy"
	"github.com/upgrademock/upgrademock/internal/recording"
	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/internal/testbed"
)

// recordFlags are the flags of `record`.
type recordFlags struct {
	out, upstream, caFile string
	yes, noHooks          bool
}

// notRecorded is what a recording does not have.
const notRecorded = "SFTP and rsync go there directly: of them, it has what the calls around them show"

func newRecordCommand() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "record [flags] --out FILE -- COMMAND [ARGUMENT]...",
		Short: "Record what a program and the real platform say to each other",
		Long: `record runs COMMAND with its calls to https://upgrade.odoo.com passed on to the real platform, writes each call and answer to FILE, and exits with COMMAND's status.

Nothing is blocked, nothing is made up, and nothing is added: what COMMAND does to the platform, it does. So the platform is named first, and a question asked, unless --yes is given. --upstream URL passes the calls on to another server; one on this machine needs no leave.

In FILE, keys and tokens are disguised, and of dumps there are sizes and checksums. Contracts, addresses, names of files and texts of the platform are in it as they are. SFTP and rsync go to the platform directly: of them, FILE has what the calls around them show. 'upgrademock scenario from FILE' makes a scenario of it.

COMMAND finds the platform by HTTPS_PROXY, as with 'upgrademock exec'; a program that takes the platform's address must be given https://upgrade.odoo.com. With an upstream on this machine it finds an address on this machine, too, in UPGRADE_URL, BASE_URL and UPGRADE_SERVER_NAME.`,
		Example: `  upgrademock record --out tuesday.jsonl -- ./upgrade.sh
  upgrademock scenario from tuesday.jsonl --out tuesday.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("no command to run\n\nUsage:\n  %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.do(cmd, args) },
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&f.out, "out", "", "the `file` to write, which must not be there")
	flags.StringVar(&f.upstream, "upstream", "https://"+proxy.Production, "the base `URL` of the platform")
	flags.StringVar(&f.caFile, "ca-file", "", "more certificates to trust of the platform, a PEM `file`")
	flags.BoolVar(&f.yes, "yes", false, "don't ask before beginning")
	flags.BoolVar(&f.noHooks, "no-hooks", false,
		"only set variables: no startup files for the programs that need them")
	return cmd
}

func (f *recordFlags) do(cmd *cobra.Command, args []string) (err error) {
	if f.out == "" {
		return errors.New("say where to record: --out FILE")
	}
	upstream, err := url.Parse(f.upstream)
	if err != nil || upstream.Scheme != "https" && upstream.Scheme != "http" || upstream.Host == "" ||
		strings.Trim(upstream.Path, "/") != "" {
		return fmt.Errorf("--upstream %q: wanted a base URL, such as https://%s", f.upstream, proxy.Production)
	}
	transport, err := f.transport()
	if err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	if err := f.askFirst(upstream, args, cmd.InOrStdin(), stderr); err != nil {
		return err
	}
	signals, ignore := catchSignals()
	defer ignore()
	file, err := os.OpenFile(f.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("--out %s: %w; name a file that can be written, and is not there", f.out, reasonOf(err))
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out, err := recording.NewWriter(file, recording.Heading{Began: time.Now().UTC(), Upstream: upstream.String(),
		Command: args[:1], Note: notRecorded})
	if err != nil {
		return failed(err)
	}
	log := slog.New(quiet{slog.NewTextHandler(stderr, nil)})
	recorder := recording.NewRecorder(upstream, transport, out, log)
	opts := testbed.TapOptions{Handler: recorder, Also: recorder.Assigned, NoHooks: f.noHooks, Logger: log}
	if onThisMachine(upstream) {
		opts.Local, opts.DataHost = upstream.Scheme, upstream.Hostname()
	}
	tap, err := testbed.StartTap(opts)
	if err != nil {
		return failed(err)
	}
	defer tap.Close()
	recorder.Serves(tap.Addr())
	result, err := runProgram("record", child.Command{Args: args, Env: tap.Env, Mark: tap.Mark, Signals: signals}, stderr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), linger)
	defer cancel()
	if err := tap.Shutdown(ctx); err != nil {
		return failed(err)
	}
	recorder.Wait()
	f.conclude(out, recorder, stderr)
	if result.Status != 0 {
		return exitCode{code: result.Status}
	}
	return nil
}

// transport makes the calls to the platform: each over a connection of its own, so that none is ever made twice.
func (f *recordFlags) transport() (*http.Transport, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if f.caFile != "" {
		pem, err := safefile.ReadNamed(f.caFile, 16<<20)
		if err != nil {
			return nil, fmt.Errorf("--ca-file %s: %w", f.caFile, reasonOf(err))
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file %s: no certificate in it", f.caFile)
		}
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableCompression: true, DisableKeepAlives: true,
		DialContext:         (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 30 * time.Second, ExpectContinueTimeout: 5 * time.Second,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}, nil
}

// onThisMachine reports whether the platform is one on this machine: a rehearsal.
func onThisMachine(upstream *url.URL) bool {
	ip, _ := netip.ParseAddr(upstream.Hostname())
	return ip.IsLoopback() || upstream.Hostname() == "localhost"
}

// askFirst names the platform, and asks for leave if it is one that others use.
func (f *recordFlags) askFirst(upstream *url.URL, args []string, stdin io.Reader, stderr io.Writer) error {
	ours := onThisMachine(upstream)
	what := ", a shared platform"
	if ours {
		what = ", on this machine"
	}
	say(stderr, "record: the calls of %s go to %s%s, and are recorded in %s", args[0], upstream, what, f.out)
	say(stderr, "record: %s", notRecorded)
	if ours || f.yes {
		return nil
	}
	fmt.Fprintf(stderr, "What %s does to the platform, it does: a request that it makes is a real one.\nGo on? [y/N] ",
		args[0])
	line, _ := bufio.NewReader(stdin).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(line)); a != "y" && a != "yes" {
		return failed(errors.New("nothing was run (--yes goes on without the question)"))
	}
	return nil
}

// conclude says what was recorded.
func (f *recordFlags) conclude(out *recording.Writer, recorder *recording.Recorder, stderr io.Writer) {
	switch n := out.Calls(); {
	case n == 0:
		say(stderr, "record: no call came: the program calls another host than %s, or uses no proxy", proxy.Production)
	case n == 1:
		say(stderr, "record: 1 call is in %s; 'upgrademock scenario from %[1]s' makes a scenario of it", f.out)
	default:
		say(stderr, "record: %d calls are in %s; 'upgrademock scenario from %[2]s' makes a scenario of them", n, f.out)
	}
	if hosts := recorder.Uncalled(); len(hosts) > 0 {
		say(stderr, "record: the platform told the program to go on at %s, and no call to it came this way: if there were "+
			"any, they are not in %s", strings.Join(hosts, ", "), f.out)
	}
	if trouble := recorder.Trouble(); trouble != nil {
		say(stderr, "record: calls did not reach the platform: %v", trouble)
	}
}
