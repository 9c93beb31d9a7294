package recording

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// A Recorder is a handler that passes calls on to a platform, as they are, and records them. Bodies are streamed. What
// goes wrong with the platform's connection goes wrong with the client's: no answer is made up.
type Recorder struct {
	upstream  *url.URL
	transport http.RoundTripper
	out       *Writer
	log       *slog.Logger
	pass      *httputil.ReverseProxy

	calls sync.WaitGroup // that are under way

	mu       sync.Mutex
	own      string          // where the Recorder itself is called; empty: by other names only
	assigned map[string]bool // hosts to which the script API has sent the client, and whether they were called
	trouble  error           // the last one that kept calls from the platform
}

// NewRecorder makes a Recorder. transport makes the calls.
func NewRecorder(upstream *url.URL, transport http.RoundTripper, out *Writer, log *slog.Logger) *Recorder {
	r := &Recorder{upstream: upstream, transport: transport, out: out, log: log, assigned: map[string]bool{}}
	r.pass = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			target := r.upstream
			if r.toAssigned(hostport(p.In.Host)) {
				target = &url.URL{Scheme: "https", Host: p.In.Host}
			}
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = target.Scheme, target.Host, p.In.Host
			if _, named := p.In.Header["User-Agent"]; !named {
				p.Out.Header["User-Agent"] = nil // or there would be one of ours
			}
		},
		Transport: transport, FlushInterval: -1,
		ModifyResponse: r.answered, ErrorHandler: r.failed,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return r
}

// Assigned reports whether the platform has told the client to call that host:port for a request of the script API
// (row S1.3).
func (r *Recorder) Assigned(hostport string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.assigned[strings.ToLower(hostport)]
	return ok
}

// toAssigned is Assigned of a call that goes there.
func (r *Recorder) toAssigned(hostport string) bool {
	hostport = strings.ToLower(hostport)
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.assigned[hostport]
	if ok {
		r.assigned[hostport] = true
	}
	return ok
}

// Serves says at which host:port the Recorder itself is called, before the first call. A platform that assigns
// requests to the host by which it was called names that one; calls there are for the upstream.
func (r *Recorder) Serves(hostport string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own = hostport
}

// Uncalled are the hosts to which the platform has assigned requests, and which no call came for: the client called
// them in a way that does not lead here, or not at all.
func (r *Recorder) Uncalled() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	hosts := slices.Sorted(maps.Keys(r.assigned))
	return slices.DeleteFunc(hosts, func(host string) bool { return r.assigned[host] })
}

// Wait waits until the calls that are under way are recorded. No call must begin meanwhile.
func (r *Recorder) Wait() { r.calls.Wait() }

// Trouble is the last error that kept calls from reaching the platform; nil: there was none.
func (r *Recorder) Trouble() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trouble
}

// hostport is a host with the port that https has by itself.
func hostport(host string) string {
	if _, _, err := net.SplitHostPort(host); err != nil {
		return net.JoinHostPort(strings.Trim(host, "[]"), "443")
	}
	return host
}

// exchange is one on its way.
type exchange struct {
	retrace.Exchange
	dump  bool // the call's body is one
	sent  *meter
	came  *meter
	place retrace.Place
}

type exchangeKey struct{}

// ServeHTTP passes a call on.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	scheme := "http"
	if in.TLS != nil || in.URL.Scheme == "https" {
		scheme = "https"
	}
	e := &exchange{Exchange: retrace.Exchange{At: time.Now().UTC(), Method: in.Method, Type: in.Header.Get("Content-Type"),
		Range: in.Header.Get("Range"), Size: -1, URL: (&url.URL{Scheme: scheme, Host: in.Host, Path: in.URL.Path,
			RawPath: in.URL.RawPath, RawQuery: in.URL.RawQuery}).String()}}
	e.place = retrace.Locate(&e.Exchange)
	e.dump = e.place.On == scenario.OnUpload || e.place.On == scenario.OnUpgrade
	e.sent = &meter{sum: sha256.New(), keep: retrace.MaxBody}
	if e.dump {
		e.sent.keep = 0
	}
	if in.Body == nil || in.Body == http.NoBody {
		e.sent.eof = true
	} else {
		in.Body = &metered{ReadCloser: in.Body, m: e.sent}
	}
	r.calls.Add(1)
	defer r.calls.Done()
	defer func() {
		panicked := recover() // how ReverseProxy breaks off
		r.record(e, in.Context(), panicked != nil)
		if panicked != nil {
			panic(panicked)
		}
	}()
	r.pass.ServeHTTP(w, in.WithContext(context.WithValue(in.Context(), exchangeKey{}, e)))
}

// answered notes what an answer begins with, and meters its body.
func (r *Recorder) answered(resp *http.Response) error {
	e := resp.Request.Context().Value(exchangeKey{}).(*exchange)
	e.Status = resp.StatusCode
	e.Header = http.Header{}
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Range", "Content-Encoding", "Retry-After",
		"Location", "Www-Authenticate", "Server", "Date", "Etag", "Transfer-Encoding"} {
		if values := resp.Header[name]; len(values) > 0 {
			e.Header[name] = values
		}
	}
	e.came = &meter{sum: sha256.New(), keep: 4 * retrace.MaxBody}
	if e.place.On == "" || e.place.On == scenario.OnDownload && resp.StatusCode < 300 {
		e.came.keep = 0 // a dump, or nothing of the platform's API
	}
	resp.Body = &metered{ReadCloser: resp.Body, m: e.came}
	return nil
}

// failed is called in place of answered. The client's connection ends as the platform's did.
func (r *Recorder) failed(w http.ResponseWriter, in *http.Request, err error) {
	e := in.Context().Value(exchangeKey{}).(*exchange)
	if e.Broken = brokenBy(err); in.Context().Err() != nil {
		e.Broken = retrace.BrokenTimeout
	}
	if e.Broken == retrace.BrokenUnknown {
		r.mu.Lock()
		r.trouble = err
		r.mu.Unlock()
	}
	r.log.Debug("record: a call was not answered", "url", e.URL, "error", err)
	if e.Broken == retrace.BrokenReset {
		reset(w)
	}
	panic(http.ErrAbortHandler)
}

// reset ends a connection with a TCP RST.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// brokenBy says how a connection broke.
func brokenBy(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return retrace.BrokenReset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return retrace.BrokenClosed
	case errors.Is(err, context.Canceled):
		return retrace.BrokenTimeout
	}
	return retrace.BrokenUnknown
}

// record writes an exchange that has ended.
func (r *Recorder) record(e *exchange, ctx context.Context, broke bool) {
	e.Took = time.Since(e.At)
	sent, sum := e.sent.result()
	if !e.dump {
		sum = "" // what can be made out from the checksum of a few bytes is not kept secret
	}
	e.Sent, e.Form, e.Short = e.sent.size(), sent, !e.sent.ended()
	var came string
	if e.came != nil {
		var body []byte
		body, came = e.came.result()
		e.Size = e.came.size()
		e.Partial = e.Size > int64(len(body))
		if e.Missing = e.came.keep == 0 && e.Size > 0; !e.Missing {
			came = ""
		}
		if !e.Missing {
			var known bool
			body, known = unpacked(body, e.Header.Get("Content-Encoding"), &e.Partial)
			e.Missing = !known
		}
		if len(body) > retrace.MaxBody {
			body, e.Partial = body[:retrace.MaxBody], true
		}
		e.Body = body
		switch err := e.came.failure(); {
		case err != nil:
			e.Broken = brokenBy(err)
		case broke && e.Broken == "":
			e.Broken = retrace.BrokenTimeout // the client went away in the middle
		}
	}
	if ctx.Err() != nil && e.Broken == "" && e.Status == 0 {
		e.Broken = retrace.BrokenTimeout
	}
	r.learnHosts(e)
	if err := r.out.Write(&e.Exchange, sum, came); err != nil {
		r.log.Error("record: the recording cannot be written", "error", err)
	}
}

// hostOf finds the host of an answer of the script API (rows S2.11 and S7.6).
var hostOf = regexp.MustCompile(`"(?:assigned_host_uri|host_uri)"\s*:\s*"([^"\s/]+)"`)

// learnHosts takes from an answer of the script API the host that the client calls from now on.
func (r *Recorder) learnHosts(e *exchange) {
	if e.place.API != scenario.APIScript {
		return
	}
	for _, m := range hostOf.FindAllSubmatch(e.Body, -1) {
		host := strings.ToLower(hostport(string(m[1])))
		r.mu.Lock()
		if _, known := r.assigned[host]; !known && host != r.own && len(r.assigned) < 1000 {
			r.assigned[host] = false
		}
		r.mu.Unlock()
	}
}

// meter measures a body, and keeps its beginning. One goroutine writes it, and another reads it when all is over.
type meter struct {
	mu   sync.Mutex
	n    int64
	sum  hash.Hash
	keep int
	kept bytes.Buffer
	eof  bool
	err  error
}

func (m *meter) add(p []byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n += int64(len(p))
	m.sum.Write(p)
	m.kept.Write(p[:max(0, min(len(p), m.keep-m.kept.Len()))])
	m.eof = m.eof || err == io.EOF
	if err != nil && err != io.EOF && m.err == nil {
		m.err = err
	}
}

// ended reports whether all of the body came.
func (m *meter) ended() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.eof
}

func (m *meter) size() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n
}

func (m *meter) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// result is the beginning, and the checksum of all, "" for an empty body.
func (m *meter) result() (kept []byte, sum string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n > 0 {
		sum = hex.EncodeToString(m.sum.Sum(nil))
	}
	return bytes.Clone(m.kept.Bytes()), sum
}

// metered is a body with its meter.
type metered struct {
	io.ReadCloser
	m *meter
}

func (b *metered) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.m.add(p[:n], err)
	return n, err
}
