package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxLog bounds what one call of Logs takes. The next call goes on behind it.
const maxLog = 16 << 20

// Logs writes to w the bytes of the upgrade's log from the given one on (row S8.1). It returns where the next call
// must begin for each byte to be written once, also if there is an error. The log is UTF-8, and its bytes so far may
// end within a character. Before the upgrade has begun the log is empty.
func (s *Script) Logs(ctx context.Context, ref ScriptRef, from int64, w io.Writer) (int64, error) {
	const op = "logs"
	endpoint, err := s.endpoint(op, ref)
	if err != nil {
		return from, &Error{Op: op, Err: err}
	}
	ctx, dog := newWatchdog(ctx, s.c.timeout)
	defer dog.stop()
	hr, err := http.NewRequestWithContext(ctx, http.MethodGet,
		endpoint+"?"+url.Values{"token": {string(ref.Token)}}.Encode(), nil)
	if err != nil {
		return from, &Error{Op: op, Err: &permanentError{errors.New("the URL cannot be made")}}
	}
	hr.Header.Set("User-Agent", s.c.agent)
	hr.Header.Set("Accept-Encoding", "identity") // a range of a compressed stream is no range of the log
	hr.Header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
	resp, err := s.c.http.Do(hr)
	if err != nil {
		return from, &Error{Op: op, Err: redacted(explain(cause(ctx, err), hr.URL), ref.Token)}
	}
	defer resp.Body.Close()
	skip, err := logRange(op, resp, from, ref.Token)
	if err != nil || skip < 0 {
		return from, err
	}
	read := func(err error) (int64, error) {
		if err == nil || errors.Is(err, io.EOF) {
			return from, nil
		}
		if w, ok := errors.AsType[*writeError](err); ok {
			return from, &Error{Op: op, Err: local("writing the log", w.error)}
		}
		return from, &Error{Op: op, Status: resp.StatusCode,
			Err: fmt.Errorf("the log broke off: %w", redacted(explain(cause(ctx, err), hr.URL), ref.Token))}
	}
	body := &aliveReader{resp.Body, dog}
	if _, err := io.CopyN(io.Discard, body, skip); err != nil {
		return read(err)
	}
	n, err := io.Copy(markingWriter{w}, io.LimitReader(body, maxLog))
	from += n
	return read(err)
}

// logRange returns how many bytes of an answer come before the one that was asked for; -1 if there is nothing new.
func logRange(op string, resp *http.Response, from int64, key Key) (int64, error) {
	if coding := contentCoding(resp.Header); coding != "" && resp.StatusCode < 300 {
		return 0, &Error{Op: op, Status: resp.StatusCode,
			Err: fmt.Errorf("%w: the log comes as %s, which was not asked for", ErrContradiction, coding)}
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		header := resp.Header.Get("Content-Range")
		first, _, _, ok := contentRange(header)
		if header != "" && (!ok || first > from || first < 0) {
			return 0, &Error{Op: op, Status: resp.StatusCode, Err: fmt.Errorf(
				"%w: of the log, bytes from %d on were asked for, and %q comes", ErrContradiction, from,
				printable(header, 60))}
		}
		if header == "" {
			return 0, nil
		}
		return from - first, nil
	case http.StatusOK: // all of the log, or nothing (row S8.6)
		if looksHTML(resp.Header.Get("Content-Type"), nil) {
			break
		}
		return from, nil
	case http.StatusNoContent, http.StatusRequestedRangeNotSatisfiable:
		return -1, nil
	}
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	_, e := readScriptAnswer(op, resp, raw, key)
	if e == nil {
		e = &Error{Op: op, Status: resp.StatusCode, Raw: raw, Err: notJSON(resp, raw, key)}
	}
	e.RetryAfter = retryAfter(resp.Header, time.Now())
	e.uncertain = false // reading does no harm
	return 0, e
}

// aliveReader keeps the watchdog quiet while something comes.
type aliveReader struct {
	r   io.Reader
	dog *watchdog
}

func (r *aliveReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 {
		r.dog.extend(1)
	}
	return n, err
}

// markingWriter marks the errors of writing.
type markingWriter struct{ io.Writer }

type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

func (w markingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}
