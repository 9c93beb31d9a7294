package conformance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	keptBody   = 4 << 20 // bytes of an answer kept in memory; the rest is only measured and hashed
	apiLimit   = 1 << 20 // bytes of a method's answer that are read at all
	fileLimit  = 1 << 30 // bytes of a downloaded file that are read at all
	queryInLog = 200     // bytes of a query shown in messages
)

// A call is one HTTP request to make.
type call struct {
	method string      // "": GET, or POST with a body
	url    string      // absolute, with its query
	header http.Header // beside Content-Type
	ctype  string      // Content-Type; "" sends none
	body   []byte      // nil: none
	// How the body goes out. Not more than one of these.
	chunked bool
	limit   int64 // of the answer's body; 0: apiLimit
	what    string
}

// An answer is what came back. It is a value that recordings keep.
type answer struct {
	What   string      `json:"what"` // the call, for messages
	At     time.Time   `json:"at"`
	Status int         `json:"status"`
	Header http.Header `json:"header,omitempty"`
	Body   payload     `json:"body,omitempty"` // the first keptBody bytes
	Size   int64       `json:"size"`
	SHA256 string      `json:"sha256"`
	Cut    bool        `json:"cut,omitempty"`    // the server had more than the bound
	Broken string      `json:"broken,omitempty"` // the body ended with this error
	Length int64       `json:"length"`           // the Content-Length; -1 without one
}

// is reports whether the body is exactly data.
func (a answer) is(data []byte) bool { return a.Size == int64(len(data)) && a.SHA256 == sum(data) }

func (a answer) good() bool { return a.Status >= 200 && a.Status < 300 }

// came says in a few words what the answer was.
func (a answer) came() string {
	var notes []string
	if loc := a.Header.Get("Location"); loc != "" && a.Status/100 == 3 {
		notes = append(notes, "to "+loc)
	}
	if a.Cut {
		notes = append(notes, fmt.Sprintf("more than %d bytes", a.Size))
	}
	if a.Broken != "" {
		notes = append(notes, "body broken off: "+a.Broken)
	}
	text := snippet(a.Body)
	s := fmt.Sprintf("HTTP %d %s", a.Status, text)
	if len(notes) > 0 {
		s += " (" + strings.Join(notes, ", ") + ")"
	}
	return s
}

// differs says how the body differs from data.
func (a answer) differs(data []byte) string {
	if a.Size != int64(len(data)) {
		s := fmt.Sprintf("%d bytes instead of %d", a.Size, len(data))
		if i := firstDifference(a.Body, data); i >= 0 && i < len(a.Body) && i < len(data) {
			s += fmt.Sprintf(", different from offset %d", i)
		}
		return s
	}
	if i := firstDifference(a.Body, data); i >= 0 {
		return fmt.Sprintf("%d bytes, different from offset %d: %q instead of %q", a.Size, i, around(a.Body, i), around(data, i))
	}
	return fmt.Sprintf("%d bytes with SHA-256 %s instead of %s", a.Size, a.SHA256, sum(data))
}

func around(b []byte, i int) []byte { return b[i:min(len(b), i+12)] }

// firstDifference is the offset of the first byte in which a and b differ within what both hold or where one ends;
// -1 when a holds nothing that contradicts b.
func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) == len(b) || len(a) == keptBody && len(b) > keptBody {
		return -1
	}
	return n
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// snippet shows the beginning of a body on one line.
func snippet(body []byte) string {
	const most = 300
	if len(body) == 0 {
		return "(empty body)"
	}
	s := string(body[:min(len(body), most)])
	if strings.ContainsRune(s, 0) {
		return fmt.Sprintf("%.80q…", s)
	}
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if len(body) > most {
		s += "…"
	}
	return s
}

// client makes the calls of a run.
type client struct {
	transport *http.Transport
	tls       *tls.Config
	callTime  func() time.Duration // how long one call may take
}

// newClient returns a client. Every call has a connection of its own: a server that handles one connection
// at a time is slow, but not wrong.
func newClient(tlsConfig *tls.Config, callTime func() time.Duration) *client {
	return &client{tls: tlsConfig, callTime: callTime, transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        tlsConfig,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		ExpectContinueTimeout:  time.Second,
	}}
}

// do makes one call. Redirects are not followed: documented samples don't.
func (w *client) do(ctx context.Context, c call) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, w.callTime())
	defer cancel()
	method := c.method
	if method == "" {
		method = http.MethodGet
		if c.body != nil {
			method = http.MethodPost
		}
	}
	var body io.Reader
	if c.body != nil {
		body = bytes.NewReader(c.body)
		if c.chunked {
			body = io.MultiReader(body) // hides the length
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url, body)
	if err != nil {
		return answer{}, fmt.Errorf("the URL %q is not one that can be called: %w", c.url, err)
	}
	if c.chunked {
		req.ContentLength = -1
	}
	for k, v := range c.header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "upgrademock-conformance")
	if c.ctype != "" {
		req.Header.Set("Content-Type", c.ctype)
	}
	resp, err := w.transport.RoundTrip(req)
	if err != nil {
		return answer{}, plainError(ctx, err, w.callTime())
	}
	return readAnswer(ctx, resp, c, w.callTime())
}

// raw sends bytes that net/http would not send, and reads one answer. With half true it says that nothing
// more will come once all is sent, so that a server can notice a body that ends early.
func (w *client) raw(ctx context.Context, c call, data []byte, half bool) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, w.callTime())
	defer cancel()
	u, err := url.Parse(c.url)
	if err != nil {
		return answer{}, err
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), map[string]string{"https": "443"}[u.Scheme]+map[string]string{"http": "80"}[u.Scheme])
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return answer{}, plainError(ctx, err, w.callTime())
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if u.Scheme == "https" {
		config := w.tls.Clone()
		config.ServerName = u.Hostname()
		config.NextProtos = []string{"http/1.1"}
		conn = tls.Client(conn, config)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(data)
		if half && err == nil {
			err = conn.(interface{ CloseWrite() error }).CloseWrite()
		}
		sent <- err
	}()
	req := &http.Request{Method: c.method}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	for err == nil && resp.StatusCode/100 == 1 {
		resp, err = http.ReadResponse(r, req)
	}
	if err != nil {
		conn.Close()
		<-sent
		return answer{}, plainError(ctx, err, w.callTime())
	}
	a, err := readAnswer(ctx, resp, c, w.callTime())
	conn.Close()
	<-sent
	return a, err
}

func readAnswer(ctx context.Context, resp *http.Response, c call, limitTime time.Duration) (answer, error) {
	defer resp.Body.Close()
	limit := c.limit
	if limit == 0 {
		limit = apiLimit
	}
	h := sha256.New()
	var kept bytes.Buffer
	n, err := io.Copy(&keeper{&kept, h}, io.LimitReader(resp.Body, limit+1))
	a := answer{What: c.what, At: time.Now(), Status: resp.StatusCode, Header: resp.Header, Body: kept.Bytes(),
		Size: n, SHA256: hex.EncodeToString(h.Sum(nil)), Cut: n > limit, Length: resp.ContentLength}
	if err != nil {
		a.Broken = plainError(ctx, err, limitTime).Error()
	}
	return a, nil
}

// keeper hashes all and keeps the first keptBody bytes.
type keeper struct {
	kept *bytes.Buffer
	hash hash.Hash
}

func (k *keeper) Write(p []byte) (int, error) {
	if room := keptBody - k.kept.Len(); room > 0 {
		k.kept.Write(p[:min(room, len(p))])
	}
	return k.hash.Write(p)
}

// plainError says a network error in words for people.
func plainError(ctx context.Context, err error, limit time.Duration) error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w within %v", errNoAnswer, limit)
	case errors.Is(err, context.Canceled):
		return errors.New("the run was stopped")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the server closed the connection in the middle")
	}
	return err
}

var errNoAnswer = errors.New("no answer")
