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
)

// ProductionURL is where the real platform lives.
const ProductionURL = "https://upgrade.odoo.com"

const (
	apiPath = "/database/v1/"

	// maxAnswer bounds a JSON answer in memory. The longest documented one is below 3 KiB.
	maxAnswer = 4 << 20
)

// Options are what New takes beside the URL. Nil means all zero values.
type Options struct {
	// HTTPClient makes the exchanges. Nil means one of our own: HTTP/1.1, proxies from the environment, RootCAs. A
	// client given here is used as it is, but never follows redirects of API calls, and those of downloads only
	// where the key stays with the server that it was meant for.
	HTTPClient *http.Client

	// RootCAs is whom to trust for TLS. Nil means the system's authorities (which on Unix obey SSL_CERT_FILE).
	// Ignored when HTTPClient is given.
	RootCAs *x509.CertPool

	// Logger gets one record for each exchange, retry and transfer. Nil means silence.
	Logger *slog.Logger

	// UserAgent is sent with each HTTP call. Empty means "upgrademock-client".
	UserAgent string

	// CallTimeout bounds one API call other than upload, from the dial to the answer's last byte. Zero means 30 s.
	CallTimeout time.Duration

	// StallTimeout is how long a transfer may stand still before the connection counts as broken. Zero means 60 s.
	StallTimeout time.Duration
}

// Client calls one upgrade platform. Create it with New.
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

// New returns a client for the platform at baseURL, such as [ProductionURL]. The URL is absolute, http or https,
// without query; a path is kept in front of /database/v1/. It fails when the URL is none of that, and makes no
// connection.
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
		agent:   cmp.Or(o.UserAgent, "upgrademock-client"),
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
	theirs := hc.CheckRedirect
	downloads.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if err := follow(next, via); err != nil || theirs == nil {
			return err
		}
		return theirs(next, via)
	}
	c.http, c.follow = &api, &downloads
	return c, nil
}

// URL returns the base URL as it was understood.
func (c *Client) URL() string { return c.base.String() }

// Close drops idle connections. The client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: the URL of the platform cannot be read; expected one such as %s", ProductionURL)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("client: the URL %q must begin with https:// (or http://), as %s does", u.Redacted(), ProductionURL)
	case u.Hostname() == "":
		return nil, fmt.Errorf("client: the URL %q names no host; an example: %s", u.Redacted(), ProductionURL)
	case u.Port() != "" && !validPort(u.Port()):
		return nil, fmt.Errorf("client: the URL %q has the port %s; expected one from 1 to 65535, or none, as in %s",
			u.Redacted(), u.Port(), ProductionURL)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("client: the URL of the platform must end before %q: methods and parameters are added to it", "?")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	// People paste what the documentation shows, which is the URL of a method's folder.
	u.Path = strings.TrimSuffix(u.Path, strings.TrimSuffix(apiPath, "/"))
	u.RawPath = ""
	return u, nil
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// newTransport speaks HTTP/1.1 only: one dump at a time needs no multiplexing, and a broken connection
// then spoils one exchange and is seen as what it is.
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

// form makes one API call whose parameters travel in an urlencoded body, where no proxy's access log keeps them.
func (c *Client) form(ctx context.Context, op string, params url.Values, key Key, beforeSend func() error) (*answer, error) {
	return c.call(ctx, op, nil, "application/x-www-form-urlencoded", []byte(params.Encode()), key, beforeSend)
}

// call makes one bounded exchange with a body that is in memory.
func (c *Client) call(ctx context.Context, op string, query url.Values, contentType string, body []byte, key Key, beforeSend func() error) (*answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, &timeoutError{c.timeout})
	defer cancel()
	src := &sentinelBody{r: bytes.NewReader(body), before: beforeSend}
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint(op, query), io.NopCloser(src))
	if err != nil {
		return nil, &Error{Op: op, Err: &permanentError{errors.New("the URL cannot be made")}}
	}
	hr.ContentLength = int64(len(body))
	hr.Header.Set("Content-Type", contentType)
	return c.exchange(hr, op, key, src)
}

// sentinelBody tells whether anything of the body was asked for: until then the platform cannot have acted. Its
// hook runs at that moment and can still stop the call.
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

// state returns whether bytes may have left, and the hook's refusal.
func (b *sentinelBody) state() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.touched, b.err
}

// exchange sends a request and reads its JSON answer. Every error it returns is an *Error.
func (c *Client) exchange(hr *http.Request, op string, key Key, body *sentinelBody) (*answer, error) {
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
	c.log.DebugContext(ctx, "call answered", "op", op, "status", resp.StatusCode, "bytes", len(raw), "took", time.Since(began))
	if err != nil {
		return nil, &Error{Op: op, Status: resp.StatusCode, Raw: raw, uncertain: true,
			Err: fmt.Errorf("the answer broke off after %d bytes: %w", len(raw), redacted(explain(cause(ctx, err), hr.URL), key))}
	}
	a, e := readAnswer(op, resp, raw, key)
	if e != nil {
		c.log.WarnContext(ctx, "call refused", "op", op, "status", resp.StatusCode, "error", e.Error())
		return nil, e
	}
	return a, nil
}

// cause prefers what cancelled the context, which says more than "context deadline exceeded".
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
