package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// DownloadOptions are the options of [Client.Download] and [Client.DownloadTo]. A nil *DownloadOptions is the same as
// a zero DownloadOptions.
type DownloadOptions struct {
	// Progress, if not nil, is called when bytes were written, one call at a time. It should be quick.
	Progress func(Progress)

	// Retry says how long to retry broken connections. Bytes that no earlier try brought are progress.
	Retry *RetryOptions

	// AllowHTML accepts an HTML page, JSON and an empty file. Otherwise these are refused, since an HTML page in place
	// of a dump is a proxy's or a login page, and JSON reports failures.
	AllowHTML bool
}

// Downloaded is the result of a download over HTTPS.
type Downloaded struct {
	Size   int64  // the size of the file
	SHA256 string // the SHA-256 of what was received, in hexadecimal
	From   int64  // where the download began; not 0 if it continued an earlier one
	Tries  int    // how many connections were made
}

// Download downloads one of the URLs of a [Request] to a file. It is [Client.DownloadTo] with an [Output] of its own,
// which it opens and closes.
func (c *Client) Download(ctx context.Context, rawURL, filename string, opts *DownloadOptions) (*Downloaded, error) {
	out, err := OpenOutput(filename)
	if err != nil {
		return nil, &Error{Op: "download", Err: err}
	}
	got, err := c.DownloadTo(ctx, rawURL, out, opts)
	return got, cmp.Or(err, out.Close())
}

// DownloadTo downloads one of the URLs of a [Request] to out. What an earlier call, also of another process, has left
// unfinished is continued, and so are broken connections, as long as the server says that it is the same file;
// otherwise the download begins again (RFC 9110, section 14).
//
// The error is ErrNotFound if the platform does not have the file (yet), and ErrContradiction if the server's answers
// contradict each other several times. Answers that are empty or have a content coding are refused, since they are no
// dumps.
//
// The URL holds the request's key. A URL of another server than the platform's is accepted only if it is https, or if
// platform and URL are both http and on this machine. A redirection is followed only if it does not carry the key to
// another server and does not lead from https to http. No Referer is sent.
func (c *Client) DownloadTo(
	ctx context.Context, rawURL string, out *Output, opts *DownloadOptions,
) (*Downloaded, error) {
	const op = "download"
	var o DownloadOptions
	if opts != nil {
		o = *opts
	}
	u, err := url.Parse(rawURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, &Error{Op: op, Err: errNoURL}
	}
	if err := checkURL(c.base, u); err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	if err := out.look(); err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	d := &download{c: c, o: &o, url: u, key: keyIn(u), out: out}
	retry := backoff{RetryOptions: o.Retry.withDefaults()}
	for {
		d.done.Tries++
		moved, err := d.try(ctx)
		if ctx.Err() != nil {
			return nil, &Error{Op: op, Err: context.Cause(ctx)}
		}
		if err == nil {
			break
		}
		if !errors.Is(err, ErrTransient) {
			return nil, err
		}
		if moved {
			retry.progress()
		}
		c.log.WarnContext(ctx, "download broke off", "what", whatOf(u), "error", err, "try", d.done.Tries)
		if err := retry.pause(ctx, err); err != nil {
			return nil, err
		}
	}
	if err := out.finish(); err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	d.done.Size, d.done.SHA256 = out.size, out.digest()
	c.log.InfoContext(ctx, "downloaded",
		"what", whatOf(u), "bytes", d.done.Size, "from", d.done.From, "tries", d.done.Tries)
	return &d.done, nil
}

// keyIn returns the key in a URL of the platform, <base>/database/<region>/<id>/<key>/<path>; empty if it has none.
func keyIn(u *url.URL) Key {
	s := strings.Split(u.Path, "/")
	for i := 0; i+4 < len(s); i++ {
		if s[i] == "database" {
			return Key(s[i+3])
		}
	}
	return ""
}

// whatOf returns the last two words of the path, such as "upgraded/archive".
func whatOf(u *url.URL) string {
	return path.Join(path.Base(path.Dir(u.Path)), path.Base(u.Path))
}

var errNoURL = &permanentError{errors.New("there is no usable URL to download from")}

// maxContradictions is how many contradictions end a download.
const maxContradictions = 4

type download struct {
	c     *Client
	o     *DownloadOptions
	url   *url.URL
	key   Key
	out   *Output
	total int64 // of the file, -1 when unknown
	wrong int   // contradictions so far
	best  int64 // the farthest that a try has come: only beyond is progress
	done  Downloaded
}

// try makes one exchange. It returns nil if the part is complete. moved reports whether it brought bytes that no
// earlier try had.
func (d *download) try(ctx context.Context) (moved bool, err error) {
	const op = "download"
	// Of a complete part, the last byte is asked for again: only the answer to a range says that it is still the
	// same file.
	from, again := d.out.size, int64(0)
	if from > 0 && from == d.out.source.Size {
		from, again = from-1, 1
	}
	validator := d.out.source.validator()
	if validator == "" {
		from, again = 0, 0
	}
	ctx, dog := newWatchdog(ctx, d.c.stall)
	defer dog.stop()
	hr, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		return false, &Error{Op: op, Err: errNoURL}
	}
	hr.Header.Set("User-Agent", d.c.agent)
	hr.Header.Set("Accept-Encoding", "identity") // a range of a compressed stream is no range of the file
	ranged := from+again > 0
	if ranged {
		hr.Header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
		hr.Header.Set("If-Range", validator)
	}
	resp, err := d.c.follow.Do(hr)
	if err != nil {
		return false, &Error{Op: op, Err: redacted(explain(cause(ctx, err), d.url), d.key)}
	}
	defer resp.Body.Close()
	length, err := d.begin(resp, from, ranged)
	if err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusPartialContent {
		from, again = 0, 0
	}
	if d.done.Tries == 1 {
		d.done.From = from
	}
	body := resp.Body.(io.Reader)
	if length >= 0 {
		body = io.LimitReader(body, length+1)
	}
	if again > 0 {
		// It is there already, or it is another file.
		if last, err := io.ReadAll(body); err != nil || !d.out.endsWith(last) {
			return false, d.contradiction("the last byte is another one now")
		}
		return true, nil
	}
	n, err := d.copy(body, from, length, dog)
	switch {
	case errors.Is(err, errTooLong):
		return false, d.contradiction("more came than the %d bytes that were announced", length)
	case isPermanent(err):
	case err != nil:
		err = fmt.Errorf("the answer broke off at byte %d: %w", from+n, redacted(explain(cause(ctx, err), d.url), d.key))
	case d.total >= 0 && from+n != d.total:
		err = fmt.Errorf("the answer ended at byte %d of %d: %w", from+n, d.total, io.ErrUnexpectedEOF)
	case from+n == 0 && !d.o.AllowHTML:
		return false, d.contradiction("the file is empty")
	default:
		return true, nil
	}
	moved = from+n > d.best
	d.best = max(d.best, from+n)
	return moved, &Error{Op: op, Err: err}
}

// begin checks the header of an answer, and prepares the part for the body. It returns the body's length, or -1 if it
// is unknown.
func (d *download) begin(resp *http.Response, from int64, ranged bool) (length int64, err error) {
	e := &Error{Op: "download", Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header, time.Now())}
	switch resp.StatusCode {
	case http.StatusOK:
		return resp.ContentLength, d.beginAnew(resp, ranged)
	case http.StatusPartialContent:
		first, last, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ranged || !ok || first != from || last < first {
			return 0, d.contradiction("asked for the bytes from %d on, the server answered with the range %q",
				from, printable(resp.Header.Get("Content-Range"), 80))
		}
		if why := d.another(resp, last, total); why != "" {
			return 0, d.contradiction("%s", why)
		}
		d.total = max(total, d.out.source.Size)
		return last - first + 1, nil
	case http.StatusRequestedRangeNotSatisfiable:
		return 0, d.contradiction("the server no longer has the bytes from %d on", from)
	}
	head, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	e.Raw = head
	e.Err = fmt.Errorf("HTTP status %s", statusText(resp.StatusCode))
	if line := firstLine(head); line != "" {
		e.Err = fmt.Errorf("HTTP status %s: %s", statusText(resp.StatusCode), Redact(line, d.key))
	}
	return 0, e
}

// beginAnew prepares the part for an answer with the whole file.
func (d *download) beginAnew(resp *http.Response, ranged bool) error {
	e := &Error{Op: "download", Status: resp.StatusCode}
	h := resp.Header
	coding := contentCoding(h)
	switch {
	case h.Get("Content-Range") != "":
		return d.contradiction("an answer with the whole file has the range %q", printable(h.Get("Content-Range"), 80))
	case coding != "" && ranged:
		return d.contradiction("the answer has the content coding %s", coding)
	case coding != "":
		e.Err = &permanentError{fmt.Errorf("%w: the answer has the content coding %s, "+
			"though the file as it is was asked for. "+
			"Nothing was saved: what came may be the dump packed once more by something in front of the platform",
			ErrContradiction, coding)}
		return e
	case resp.ContentLength == 0 && !d.o.AllowHTML:
		return d.contradiction("the file is empty")
	}
	if !d.o.AllowHTML {
		head := peek(resp)
		if what := insteadOfAFile(h.Get("Content-Type"), head); what != "" {
			e.Err = &permanentError{fmt.Errorf("%s came instead of the file; it begins with %q",
				what, Redact(firstLine(head), d.key))}
			return e
		}
	}
	d.total = resp.ContentLength
	err := d.out.restart(source{Via: "https", Size: resp.ContentLength,
		ETag: h.Get("ETag"), Modified: h.Get("Last-Modified"), Date: h.Get("Date")})
	if err != nil {
		e.Err = err
		return e
	}
	return nil
}

// peek returns the first bytes of an answer's body, which can still be read whole. An error comes again when it is.
func peek(resp *http.Response) []byte {
	head := make([]byte, 512)
	n, _ := io.ReadFull(resp.Body, head)
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head[:n]), resp.Body), resp.Body}
	return head[:n]
}

// insteadOfAFile returns what it is that begins with head and cannot be a file to download; empty if it can be one.
func insteadOfAFile(contentType string, head []byte) string {
	mediaType, _, _ := mime.ParseMediaType(contentType)
	object := bytes.HasPrefix(bytes.TrimSpace(head), []byte("{"))
	switch {
	case looksHTML(contentType, head):
		return "an HTML page, perhaps a proxy's or a login page,"
	case mediaType == "application/json", object && bytes.Contains(head, []byte(`"failures"`)):
		return "JSON"
	}
	return ""
}

// another returns why an answer to a range is of another file than the part; empty if it is of the same (RFC 9110,
// section 15.3.7).
func (d *download) another(resp *http.Response, last, total int64) string {
	h, s := resp.Header, d.out.source
	modified := h.Get("Last-Modified")
	mediaType, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case contentCoding(h) != "":
		return "the rest has the content coding " + contentCoding(h)
	case strings.HasPrefix(mediaType, "multipart/"):
		return "the rest comes in several parts"
	case looksHTML(h.Get("Content-Type"), nil) && !d.o.AllowHTML:
		return "an HTML page came for the rest"
	case h.Get("ETag") != s.ETag:
		return fmt.Sprintf("the rest has the ETag %s, the beginning had %s",
			printable(h.Get("ETag"), 80), printable(s.ETag, 80))
	case modified != s.Modified && (s.ETag == "" || (modified != "" && s.Modified != "")):
		return fmt.Sprintf("the rest was changed %s, the beginning %s", printable(modified, 80), printable(s.Modified, 80))
	case s.Size < 0 && total < 0, s.Size >= 0 && total >= 0 && total != s.Size, s.Size >= 0 && last >= s.Size:
		return fmt.Sprintf("the rest is of %d bytes, the beginning of %d", max(total, last+1), s.Size)
	case resp.ContentLength >= 0 && resp.ContentLength != rangeLength(h):
		return fmt.Sprintf("the rest has %d bytes where its range has %d", resp.ContentLength, rangeLength(h))
	}
	return ""
}

// contradiction throws the part away, since asking for the whole file may help. It returns a transient error, or,
// after maxContradictions of them, a permanent one.
func (d *download) contradiction(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if rerr := d.out.restart(source{}); rerr != nil {
		return &Error{Op: "download", Err: rerr}
	}
	if d.wrong++; d.wrong >= maxContradictions {
		err = fmt.Errorf("%w: given up after %d such answers: %w", ErrContradiction, d.wrong, err)
		return &Error{Op: "download", Err: &permanentError{err}}
	}
	return &Error{Op: "download", Err: fmt.Errorf("%w: beginning again", err)}
}

// errTooLong means that more was received than was announced.
var errTooLong = errors.New("the body is too long")

// copy appends the body to the part. It returns how many bytes were written. They are written in order, so that the
// part has no holes, however the process ends.
func (d *download) copy(body io.Reader, from, length int64, dog *watchdog) (int64, error) {
	buf := make([]byte, 256<<10)
	var n int64
	d.progress(from, from)
	for {
		m, rerr := body.Read(buf)
		dog.extend(1)
		if m > 0 {
			if length >= 0 && n+int64(m) > length {
				return n, errTooLong
			}
			if _, err := d.out.write(buf[:m]); err != nil {
				return n, err
			}
			n += int64(m)
			d.progress(from, from+n)
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}

func (d *download) progress(from, done int64) {
	if d.o.Progress != nil {
		d.o.Progress(Progress{Done: done, Total: d.total, From: from})
	}
}
