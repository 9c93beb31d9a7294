package testbed

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/clientenv"
	"github.com/upgrademock/upgrademock/internal/localca"
	"github.com/upgrademock/upgrademock/internal/proxy"
)

// TapOptions configures a Tap. Handler is required.
type TapOptions struct {
	// Handler answers the calls to upgrade.odoo.com, and to what Also says; see [proxy.Options].
	Handler http.Handler
	Also    func(hostport string) bool
	// Local is "http" or "https" if programs that take the platform's address are to be given one on this machine, by
	// that scheme, where Handler answers as well; empty: they are given none. DataHost is then the host of the script
	// API's transfers, for copies of the script that ask for it by name.
	Local, DataHost string
	// NoHooks and Environ are those of [Options].
	NoHooks bool
	Environ []string
	// Logger gets what goes wrong; nil discards it.
	Logger *slog.Logger
}

// A Tap leads a program's calls to the platform to a handler, which may pass them on, and lets all other calls through.
// It must be closed.
type Tap struct {
	Proxy *proxy.Proxy
	Env   []string // the environment for the program
	Mark  string   // the entry of Env that identifies the processes of the run

	dir     string
	local   *http.Server
	addr    string // of local; empty: there is none
	serving sync.WaitGroup
}

// StartTap starts the proxy, with an authority of its own.
func StartTap(opts TapOptions) (_ *Tap, err error) {
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	t := &Tap{Mark: "UPGRADEMOCK_RUN=" + rand.Text()}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	ca, err := localca.New()
	if err != nil {
		return t, err
	}
	if t.dir, err = makeDir(); err != nil {
		return t, err
	}
	t.Proxy, err = proxy.Start("127.0.0.1:0", proxy.Options{Handler: opts.Handler, Certificate: ca.Leaf, Also: opts.Also,
		Passthrough: true, Logger: opts.Logger})
	if err != nil {
		return t, err
	}
	if opts.Local != "" {
		if err := t.listen(opts, ca.Leaf); err != nil {
			return t, err
		}
	}
	bundle := filepath.Join(t.dir, "ca-bundle.pem")
	if err := WriteBundle(bundle, ca.PEM(), opts.Environ); err != nil {
		return t, err
	}
	set := append([]string{t.Mark}, clientenv.Trust(bundle)...)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		set = append(set, name+"="+t.Proxy.URL())
	}
	if opts.Local != "" {
		base := opts.Local + "://" + t.addr
		set = append(set, "UPGRADE_URL="+base, "BASE_URL="+base, "UPGRADE_SERVER_NAME="+base,
			"DATA_SERVER_NAME="+opts.DataHost)
	}
	more, err := hooks(t.dir, bundle, Options{NoHooks: opts.NoHooks, Environ: opts.Environ})
	if err != nil {
		return t, err
	}
	t.Env = child.Environ(opts.Environ, append(set, more...), append([]string{"NO_PROXY", "no_proxy"}, clientenv.Unset...))
	return t, nil
}

// listen starts the server on this machine.
func (t *Tap) listen(opts TapOptions, certificate func(host string) (*tls.Certificate, error)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	t.addr = l.Addr().String()
	if opts.Local == "https" {
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate("127.0.0.1") }})
	}
	t.local = &http.Server{Handler: opts.Handler, ReadHeaderTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)).Handler(), slog.LevelDebug)}
	t.serving.Go(func() { t.local.Serve(l) })
	return nil
}

// Addr is the host:port of [TapOptions.Local]; empty if there is none.
func (t *Tap) Addr() string { return t.addr }

// Shutdown stops accepting calls, and lets those that are under way end until ctx does.
func (t *Tap) Shutdown(ctx context.Context) error {
	var errs []error
	if t.local != nil {
		if err := t.local.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, t.Proxy.Shutdown(ctx))...)
}

// Close stops the proxy. It may be called more than once.
func (t *Tap) Close() error {
	var errs []error
	if t.local != nil {
		errs = append(errs, t.local.Close())
		t.serving.Wait()
	}
	if t.Proxy != nil {
		errs = append(errs, t.Proxy.Close())
	}
	if t.dir != "" {
		errs = append(errs, os.RemoveAll(t.dir))
	}
	return errors.Join(errs...)
}
