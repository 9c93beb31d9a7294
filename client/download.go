package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// DownloadOptions are what Download takes beside the URL and the path. Nil means all zero values.
type DownloadOptions struct {
	// Progress hears how many bytes are in the file, one call at a time. It must be quick. Nil means nobody.
	Progress func(Progress)

	// Retry says how patient to be with broken connections; progress ends a trouble.
	Retry *RetryOptions

	// AllowHTML accepts a page. Otherwise one is refused: where a dump should be, it is a proxy's or a login page.
	AllowHTML bool
}

// Downloaded tells what a download did.
type Downloaded struct {
	Size  int64 // of the file
	From  int64 // where it took up; 0 when it began at the beginning
	Tries int   // connections made
}

// Download fetches one of the URLs of a Request into a file. It writes to "<filename>.part" and renames that when it is whole;
// an earlier file of that name is replaced only then. Broken connections are continued, and so are parts that an earlier
// run left, with Range and If-Range (RFC 9110, section 14), as far as the server knows these; otherwise it begins again.
// The error is ErrNotFound while the platform does not have the file (yet).
func (c *Client) Download(ctx context.Context, rawURL, filename string, opts *DownloadOptions) (*Downloaded, error) {
	const op = "download"
	var o DownloadOptions
	if opts != nil {
		o = *opts
	}
	u, err := url.Parse(rawURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, &Error{Op: op, Err: errNoURL}
	}
	p, err := openPart(filename)
	if err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	defer p.file.Close()
	d := &download{c: c, o: &o, url: u, key: keyIn(u), part: p}
	trouble := backoff{RetryOptions: o.Retry.withDefaults()}
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
			trouble.progress()
		}
		c.log.WarnContext(ctx, "download broke off", "what", whatOf(u), "error", err, "try", d.done.Tries)
		if err := trouble.pause(ctx, err); err != nil {
			return nil, err
		}
	}
	if err := p.finish(); err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	c.log.InfoContext(ctx, "downloaded", "what", whatOf(u), "bytes", d.done.Size, "from", d.done.From, "tries", d.done.Tries)
	return &d.done, nil
}

// keyIn finds the key in a URL of section 7, <base>/database/<region>/<id>/<key>/<path>, so that it can be kept out of messages.
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

type download struct {
	c    *Client
	o    *DownloadOptions
	url  *url.URL
	key  Key
	part *part
	best int64 // the farthest that a try has come: only beyond is progress
	done Downloaded
}

// try makes one exchange. It returns nil when the part is whole.
func (d *download) try(ctx context.Context) (moved bool, err error) {
	const op = "download"
	have, err := d.part.have()
	if err != nil {
		return false, &Error{Op: op, Err: err}
	}
	validator := d.part.validator()
	if validator == "" {
		have = 0
	}
	ctx, dog := newWatchdog(ctx, d.c.stall)
	defer dog.stop()
	hr, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		return false, &Error{Op: op, Err: errNoURL}
	}
	hr.Header.Set("User-Agent", d.c.agent)
	hr.Header.Set("Accept-Encoding", "identity") // a range of a compressed stream is no range of the file
	if have > 0 {
		hr.Header.Set("Range", "bytes="+strconv.FormatInt(have, 10)+"-")
		hr.Header.Set("If-Range", validator)
	}
	resp, err := d.c.follow.Do(hr)
	if err != nil {
		return false, &Error{Op: op, Err: explain(cause(ctx, err), d.url)}
	}
	defer resp.Body.Close()
	from, whole, err := d.position(resp, have)
	if err != nil || whole {
		return false, err
	}
	if d.done.Tries == 1 {
		d.done.From = from
	}
	n, err := d.copy(resp.Body, from, dog)
	if err != nil && !isPermanent(err) {
		err = fmt.Errorf("the answer broke off at byte %d: %w", from+n, explain(cause(ctx, err), d.url))
	}
	if total := d.part.Size; err == nil && total >= 0 && from+n != total {
		err = fmt.Errorf("the answer ended at byte %d of %d: %w", from+n, total, io.ErrUnexpectedEOF)
	}
	if err != nil {
		moved := from+n > d.best
		d.best = max(d.best, from+n)
		return moved, &Error{Op: op, Err: err}
	}
	d.done.Size = from + n
	return true, nil
}

// position reads the head of an answer: where its body begins in the file, or that the part is whole already.
func (d *download) position(resp *http.Response, have int64) (from int64, whole bool, err error) {
	e := &Error{Op: "download", Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header, time.Now())}
	first, last, total, ranged := contentRange(resp.Header.Get("Content-Range"))
	switch resp.StatusCode {
	case http.StatusOK:
		if looksHTML(resp.Header.Get("Content-Type"), nil) && !d.o.AllowHTML {
			head, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
			e.Err = &permanentError{fmt.Errorf("an HTML page, perhaps a proxy's or a login page, came instead of the file; it begins with %q",
				Redact(firstLine(head), d.key))}
			return 0, false, e
		}
		err := d.part.restart(partMeta{Via: "https", Size: resp.ContentLength,
			ETag: resp.Header.Get("ETag"), Modified: resp.Header.Get("Last-Modified")})
		if err != nil {
			e.Err = err
			return 0, false, e
		}
		return 0, false, nil
	case http.StatusPartialContent:
		if ranged && first == have && (total < 0 || d.part.Size < 0 || total == d.part.Size) && last >= first {
			return have, false, nil
		}
		e.Status = 0 // the trouble is ours to mend: by asking for all of it
		e.Err = fmt.Errorf("asked for the bytes from %d on, the server answered with the range %q: %w",
			have, printable(resp.Header.Get("Content-Range"), 80), io.ErrUnexpectedEOF)
	case http.StatusRequestedRangeNotSatisfiable:
		if have > 0 && total == have && total == d.part.Size {
			d.done.Size, d.done.From = have, have
			return have, true, nil
		}
		e.Status = 0
		e.Err = fmt.Errorf("the server no longer has the bytes from %d on: %w", have, io.ErrUnexpectedEOF)
	default:
		head, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		e.Raw = head
		e.Err = fmt.Errorf("HTTP status %s", statusText(resp.StatusCode))
		if line := firstLine(head); line != "" {
			e.Err = fmt.Errorf("HTTP status %s: %s", statusText(resp.StatusCode), Redact(line, d.key))
		}
		return 0, false, e
	}
	if err := d.part.restart(partMeta{}); err != nil {
		e.Err = err
	}
	return 0, false, e
}

// contentRange parses "bytes 0-99/1234", "bytes 0-99/*" and "bytes */1234"; an unknown number is -1.
func contentRange(s string) (first, last, total int64, ok bool) {
	first, last, total = -1, -1, -1
	spec, found := strings.CutPrefix(strings.TrimSpace(s), "bytes ")
	if !found {
		return first, last, total, false
	}
	span, size, found := strings.Cut(spec, "/")
	if !found {
		return first, last, total, false
	}
	var err error
	if size != "*" {
		if total, err = strconv.ParseInt(size, 10, 64); err != nil || total < 0 {
			return -1, -1, -1, false
		}
	}
	if span == "*" {
		return first, last, total, size != "*"
	}
	a, b, found := strings.Cut(span, "-")
	if !found {
		return -1, -1, -1, false
	}
	f, err1 := strconv.ParseInt(a, 10, 64)
	l, err2 := strconv.ParseInt(b, 10, 64)
	if err1 != nil || err2 != nil || f < 0 || l < f || (total >= 0 && l >= total) {
		return -1, -1, -1, false
	}
	return f, l, total, true
}

// copy appends the body to the part. It returns how many bytes were written, all of them in order: however
// the process ends, the part has no holes.
func (d *download) copy(body io.Reader, from int64, dog *watchdog) (int64, error) {
	if err := d.part.file.Truncate(from); err != nil {
		return 0, local("writing the download", err)
	}
	buf := make([]byte, 256<<10)
	var n int64
	d.progress(from, from)
	for {
		m, rerr := body.Read(buf)
		dog.extend(1)
		if m > 0 {
			if _, err := d.part.file.WriteAt(buf[:m], from+n); err != nil {
				return n, local("writing the download", err)
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
		d.o.Progress(Progress{Done: done, Total: d.part.Size, From: from})
	}
}

// validator returns what If-Range may carry: a strong ETag, else a date (RFC 9110, section 13.1.5).
func (p *part) validator() string {
	switch {
	case p.Via != "https":
		return ""
	case p.ETag != "" && !strings.HasPrefix(p.ETag, "W/"):
		return p.ETag
	}
	return p.Modified
}
