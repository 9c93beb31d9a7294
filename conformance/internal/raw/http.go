package raw

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

// The bounds of what is read of an answer.
const (
	KeptBody    = 4 << 20 // bytes of an answer kept in memory; the rest is only measured and hashed
	AnswerLimit = 1 << 20 // bytes of a method's answer that are read at all
	FileLimit   = 1 << 30 // bytes of a downloaded file that are read at all
)

// Call is one HTTP request to make.
type Call struct {
	Method      string      // if empty, GET, or POST with a body
	URL         string      // absolute, with its query
	Header      http.Header // beside Content-Type
	ContentType string      // if empty, none is sent
	Body        []byte      // if nil, there is none
	Chunked     bool        // send the body without its length
	Limit       int64       // of the answer's body, in bytes; if zero, AnswerLimit
	What        string      // the call in words, for messages
}

// Answer is the answer to a call, as recordings keep it.
type Answer struct {
	What   string      `json:"what"` // the call in words, for messages
	At     time.Time   `json:"at"`
	Status int         `json:"status"`
	Header http.Header `json:"header,omitempty"`
	Body   Payload     `json:"body,omitempty"` // the first KeptBody bytes
	Size   int64       `json:"size"`
	SHA256 string      `json:"sha256"`
	Cut    bool        `json:"cut,omitempty"`    // the server had more than the bound
	Broken string      `json:"broken,omitempty"` // the body ended with this error
	Length int64       `json:"length"`           // the Content-Length; -1 without one
}

// Is reports whether the body is exactly data.
func (a Answer) Is(data []byte) bool { return a.Size == int64(len(data)) && a.SHA256 == Sum(data) }

// OK reports whether the status is one of success.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// Summary says in a few words what the answer was.
func (a Answer) Summary() string {
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
	text := Snippet(a.Body)
	s := fmt.Sprintf("HTTP %d %s", a.Status, text)
	if len(notes) > 0 {
		s += " (" + strings.Join(notes, ", ") + ")"
	}
	return s
}

// Diff says how the body differs from data.
func (a Answer) Diff(data []byte) string {
	if a.Size != int64(len(data)) {
		s := fmt.Sprintf("%d bytes instead of %d", a.Size, len(data))
		if i := FirstDifference(a.Body, data); i >= 0 && i < len(a.Body) && i < len(data) {
			s += fmt.Sprintf(", different from offset %d", i)
		}
		return s
	}
	if i := FirstDifference(a.Body, data); i >= 0 {
		return fmt.Sprintf("%d bytes, different from offset %d: %q instead of %q",
			a.Size, i, around(a.Body, i), around(data, i))
	}
	return fmt.Sprintf("%d bytes with SHA-256 %s instead of %s", a.Size, a.SHA256, Sum(data))
}

// around returns a few bytes of b from offset i on.
func around(b []byte, i int) []byte { return b[i:min(len(b), i+12)] }

// FirstDifference is the offset of the first byte in which a and b differ within what both hold or where one ends;
// -1 when a holds nothing that contradicts b.
func FirstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) == len(b) || len(a) == KeptBody && len(b) > KeptBody {
		return -1
	}
	return n
}

// Sum returns the SHA-256 of data in hexadecimal.
func Sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// Snippet shows the beginning of a body on one line.
func Snippet(body []byte) string {
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

// Client makes the calls of a run.
type Client struct {
	transport *http.Transport
	tls       *tls.Config
	callTime  func() time.Duration // how long one call may take
}

// NewClient returns a client. Every call has a connection of its own: a server that handles one connection
// at a time is slow, but not wrong.
func NewClient(tlsConfig *tls.Config, callTime func() time.Duration) *Client {
	return &Client{tls: tlsConfig, callTime: callTime, transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        tlsConfig,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		ExpectContinueTimeout:  time.Second,
	}}
}

// Close closes idle connections.
func (w *Client) Close() { w.transport.CloseIdleConnections() }

// Do makes one call. It follows no redirects, as the documented samples do not.
func (w *Client) Do(ctx context.Context, c Call) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, w.callTime())
	defer cancel()
	method := c.Method
	if method == "" {
		method = http.MethodGet
		if c.Body != nil {
			method = http.MethodPost
		}
	}
	var body io.Reader
	if c.Body != nil {
		body = bytes.NewReader(c.Body)
		if c.Chunked {
			body = io.MultiReader(body) // hides the length
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL, body)
	if err != nil {
		return Answer{}, fmt.Errorf("the URL %q is not one that can be called: %w", c.URL, err)
	}
	if c.Chunked {
		req.ContentLength = -1
	}
	for k, v := range c.Header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "upgrademock-conformance")
	if c.ContentType != "" {
		req.Header.Set("Content-Type", c.ContentType)
	}
	resp, err := w.transport.RoundTrip(req)
	if err != nil {
		return Answer{}, plainError(ctx, err, w.callTime())
	}
	return readAnswer(ctx, resp, c, w.callTime())
}

// SendBytes sends data in place of the call, such as net/http would not send, and reads one answer. If half is true,
// it closes its side of the connection after them, so that the server can notice a body that ends early.
func (w *Client) SendBytes(ctx context.Context, c Call, data []byte, half bool) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, w.callTime())
	defer cancel()
	u, err := url.Parse(c.URL)
	if err != nil {
		return Answer{}, err
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return Answer{}, plainError(ctx, err, w.callTime())
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
	req := &http.Request{Method: c.Method}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	for err == nil && resp.StatusCode/100 == 1 {
		resp, err = http.ReadResponse(r, req)
	}
	if err != nil {
		conn.Close()
		<-sent
		return Answer{}, plainError(ctx, err, w.callTime())
	}
	a, err := readAnswer(ctx, resp, c, w.callTime())
	conn.Close()
	<-sent
	return a, err
}

// readAnswer reads a response to its end, or up to the call's limit.
func readAnswer(ctx context.Context, resp *http.Response, c Call, limitTime time.Duration) (Answer, error) {
	defer resp.Body.Close()
	limit := c.Limit
	if limit == 0 {
		limit = AnswerLimit
	}
	h := sha256.New()
	var kept bytes.Buffer
	n, err := io.Copy(&keeper{&kept, h}, io.LimitReader(resp.Body, limit+1))
	a := Answer{What: c.What, At: time.Now(), Status: resp.StatusCode, Header: resp.Header, Body: kept.Bytes(),
		Size: n, SHA256: hex.EncodeToString(h.Sum(nil)), Cut: n > limit, Length: resp.ContentLength}
	if err != nil {
		a.Broken = plainError(ctx, err, limitTime).Error()
	}
	return a, nil
}

// keeper hashes all that is written and keeps the first KeptBody bytes.
type keeper struct {
	kept *bytes.Buffer
	hash hash.Hash
}

func (k *keeper) Write(p []byte) (int, error) {
	if left := KeptBody - k.kept.Len(); left > 0 {
		k.kept.Write(p[:min(left, len(p))])
	}
	return k.hash.Write(p)
}

// plainError says a network error in words for people.
func plainError(ctx context.Context, err error, limit time.Duration) error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w within %v", ErrNoAnswer, limit)
	case errors.Is(err, context.Canceled):
		return errors.New("the run was stopped")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the server closed the connection in the middle")
	}
	return err
}

// ErrNoAnswer is the error of a call that was not answered in time.
var ErrNoAnswer = errors.New("no answer")
