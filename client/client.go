package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/internal/version"
)

// ProductionURL is the URL of the real platform.
const ProductionURL = "https://upgrade.odoo.com"

const (
	apiPath = "/database/v1/"

	// maxAnswer bounds a JSON answer in memory. The longest documented one is below 3 KiB.
	maxAnswer = 4 << 20
)

// Options are the options of [New]. A nil *Options is the same as a zero Options.
type Options struct {
	// HTTPClient makes the HTTP calls. If nil, a client is made that speaks HTTP/1.1, takes proxies from the
	// environment, and trusts RootCAs. Redirections of API calls are never followed; those of downloads are followed
	// as [Client.DownloadTo] says, and then as the CheckRedirect of HTTPClient says.
	HTTPClient *http.Client

	// RootCAs are the certificate authorities to trust for TLS. If nil, those of the system are trusted, which on
	// Unix can be set with SSL_CERT_FILE. RootCAs is not used if HTTPClient is set.
	RootCAs *x509.CertPool

	// Logger gets a record of each exchange, retry and transfer. If nil, nothing is logged.
	Logger *slog.Logger

	// UserAgent is sent with each HTTP call. If empty, it is "upgrademock-client" with the
	// version of this module.
	UserAgent string

	// CallTimeout is how long an API call other than upload may take, from the dial to the last byte of the answer.
	// If zero, it is 30 s.
	CallTimeout time.Duration

	// StallTimeout is how long nothing of a transfer may move before its connection counts as broken. If zero, it
	// is 60 s.
	StallTimeout time.Duration
}

// A Client calls one upgrade platform. [New] makes one. Its methods may be called by several goroutines at the same
// time.
type Client struct {
	base    *url.URL
	http    *http.Client // API calls: redirects are not followed
	follow  *http.Client // downloads: redirects are
	log     *slog.Logger
	agent   string
	timeout time.Duration
	stall   time.Duration

	mu         sync.Mutex
	lastStatus time.Time // end of the latest status call; Wait keeps its distance from it
}

// New returns a client for the platform at baseURL, such as [ProductionURL]. It makes no connection.
//
// The URL must be absolute, with the scheme http or https and without a query; otherwise New returns an error. If it
// has a path, that is put before /database/v1/.
func New(baseURL string, opts *Options) (*Client, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, err
	}
	c := &Client{
		base:    base,
		log:     o.Logger,
		agent:   cmp.Or(o.UserAgent, "upgrademock-client/"+version.String()),
		timeout: cmp.Or(o.CallTimeout, 30*time.Second),
		stall:   cmp.Or(o.StallTimeout, time.Minute),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	hc := o.HTTPClient
	if hc == nil {
		hc = &http.Client{Transport: newTransport(o.RootCAs)}
	}
	api, downloads := *hc, *hc
	// net/http turns a redirected POST into a GET without body: parameters would be lost, or a key sent elsewhere.
	api.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	downloads.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if err := checkRedirect(next, via); err != nil || hc.CheckRedirect == nil {
			return err
		}
		return hc.CheckRedirect(next, via)
	}
	c.http, c.follow = &api, &downloads
	return c, nil
}

// URL returns the URL of the platform.
func (c *Client) URL() string { return c.base.String() }

// Close closes idle connections. The client can be used after it.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: the URL of the platform cannot be read; expected one such as %s", ProductionURL)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("client: the URL %q must begin with https:// (or http://), as %s does",
			u.Redacted(), ProductionURL)
	case u.Hostname() == "":
		return nil, fmt.Errorf("client: the URL %q names no host; an example: %s", u.Redacted(), ProductionURL)
	case u.Port() != "" && !validPort(u.Port()):
		return nil, fmt.Errorf("client: the URL %q has the port %s; expected one from 1 to 65535, or none, as in %s",
			u.Redacted(), u.Port(), ProductionURL)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("client: the URL of the platform must end before \"?\": " +
			"methods and parameters are added to it")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	// The documentation shows URLs of methods, of which people take the beginning.
	u.Path = strings.TrimSuffix(u.Path, strings.TrimSuffix(apiPath, "/"))
	u.RawPath = ""
	return u, nil
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// newTransport returns a transport for HTTP/1.1 only: one dump at a time needs no multiplexing, and a broken
// connection breaks one exchange only.
func newTransport(roots *x509.CertPool) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   2,
		WriteBufferSize:       128 << 10,
		ReadBufferSize:        128 << 10,
		Protocols:             &protocols,
	}
}

func (c *Client) endpoint(method string, query url.Values) string {
	u := *c.base
	u.Path += apiPath + method
	u.RawQuery = query.Encode()
	return u.String()
}

// form makes an API call with the parameters in an urlencoded body, which proxies do not log as they do URLs.
func (c *Client) form(
	ctx context.Context, op string, params url.Values, key Key, beforeSend func() error,
) (*answer, error) {
	return c.call(ctx, op, "application/x-www-form-urlencoded", []byte(params.Encode()), key, beforeSend)
}

// call makes an API call with a body that is in memory.
func (c *Client) call(
	ctx context.Context, op, contentType string, body []byte, key Key, beforeSend func() error,
) (*answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, &timeoutError{c.timeout})
	defer cancel()
	src := &sentinelBody{r: bytes.NewReader(body), before: beforeSend}
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint(op, nil), io.NopCloser(src))
	if err != nil {
		return nil, &Error{Op: op, Err: &permanentError{errors.New("the URL cannot be made")}}
	}
	hr.ContentLength = int64(len(body))
	hr.Header.Set("Content-Type", contentType)
	return c.exchange(hr, op, key, src)
}

// sentinelBody is the body of a request. It remembers whether anything of it was read: until then, the platform cannot
// have acted. before is called at that moment, and can still stop the call.
type sentinelBody struct {
	r      io.Reader
	before func() error

	mu      sync.Mutex
	touched bool
	err     error
}

func (b *sentinelBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.touched && b.before != nil {
		b.err = b.before()
	}
	if b.err != nil {
		return 0, b.err
	}
	b.touched = true
	return b.r.Read(p)
}

// state reports whether bytes may have been sent, and returns the error of before.
func (b *sentinelBody) state() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.touched, b.err
}

// exchange sends a request and reads its JSON answer. Every error it returns is an *Error.
func (c *Client) exchange(hr *http.Request, op string, key Key, body *sentinelBody) (*answer, error) {
	return c.exchangeWith(hr, op, key, body, readAnswer)
}

// exchangeWith sends a request and reads its answer with read. Every error it returns is an *Error.
func (c *Client) exchangeWith(hr *http.Request, op string, key Key, body *sentinelBody,
	read func(op string, resp *http.Response, raw []byte, key Key) (*answer, *Error)) (*answer, error) {
	ctx := hr.Context()
	hr.Header.Set("User-Agent", c.agent)
	hr.Header.Set("Accept", "application/json")
	began := time.Now()
	resp, err := c.http.Do(hr)
	if err != nil {
		sent, refused := body.state()
		if refused != nil {
			return nil, &Error{Op: op, Err: &permanentError{refused}}
		}
		e := &Error{Op: op, Err: redacted(explain(cause(ctx, err), hr.URL), key), uncertain: sent}
		c.log.WarnContext(ctx, "call failed", "op", op, "error", Redact(e.Err.Error(), key), "took", time.Since(began))
		return nil, e
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(raw) > maxAnswer {
		err = fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	c.log.DebugContext(ctx, "call answered",
		"op", op, "status", resp.StatusCode, "bytes", len(raw), "took", time.Since(began))
	if err != nil {
		return nil, &Error{Op: op, Status: resp.StatusCode, Raw: raw, uncertain: true,
			Err: fmt.Errorf("the answer broke off after %d bytes: %w",
				len(raw), redacted(explain(cause(ctx, err), hr.URL), key))}
	}
	a, e := read(op, resp, raw, key)
	if e != nil {
		c.log.WarnContext(ctx, "call refused", "op", op, "status", resp.StatusCode, "error", e.Error())
		return nil, e
	}
	return a, nil
}

// cause returns the context's cause if it has ended, and otherwise err.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
