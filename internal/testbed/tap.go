package testbed

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

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

	dir string
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
	bundle := filepath.Join(t.dir, "ca-bundle.pem")
	if err := WriteBundle(bundle, ca.PEM(), opts.Environ); err != nil {
		return t, err
	}
	set := append([]string{t.Mark}, clientenv.Trust(bundle)...)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		set = append(set, name+"="+t.Proxy.URL())
	}
	more, err := hooks(t.dir, bundle, Options{NoHooks: opts.NoHooks, Environ: opts.Environ})
	if err != nil {
		return t, err
	}
	t.Env = child.Environ(opts.Environ, append(set, more...), append([]string{"NO_PROXY", "no_proxy"}, clientenv.Unset...))
	return t, nil
}

// Close stops the proxy. It may be called more than once.
func (t *Tap) Close() error {
	var errs []error
	if t.Proxy != nil {
		errs = append(errs, t.Proxy.Close())
	}
	if t.dir != "" {
		errs = append(errs, os.RemoveAll(t.dir))
	}
	return errors.Join(errs...)
}
