package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Progress says how far a transfer is.
type Progress struct {
	// Done is the number of bytes, from the beginning of the file, that have arrived; of an upload over HTTPS, that
	// were handed to the network.
	Done int64

	Total int64 // the size of the file; -1 if it is unknown
	From  int64 // where this transfer began; not 0 if it continues another one
}

// UploadOptions are the options of [Client.Upload]. A nil *UploadOptions is the same as a zero UploadOptions.
type UploadOptions struct {
	// Progress, if not nil, is called when bytes were sent, one call at a time. It should be quick.
	Progress func(Progress)
}

// Upload sends a dump over HTTPS, as the body of one POST (row 4.1). size is its length in bytes; if it is negative,
// the length is unknown and the body is sent chunked. If dump ends before size, Upload fails with ErrChanged, and the
// platform keeps nothing of it (row 4.5).
//
// An upload over HTTPS cannot be continued: after an error that is ErrTransient or ErrUncertain, the dump must be sent
// again from its beginning, unless [Client.Status] shows that it has arrived.
func (c *Client) Upload(ctx context.Context, ref Ref, dump io.Reader, size int64, opts *UploadOptions) error {
	const op = "upload"
	ctx, dog := newWatchdog(ctx, c.stall)
	defer dog.stop()
	var progress func(Progress)
	if opts != nil {
		progress = opts.Progress
	}
	count := &countingReader{r: dump, size: max(size, -1), progress: progress, dog: dog}
	body := &sentinelBody{r: count}
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint(op, ref.values()), io.NopCloser(body))
	if err != nil {
		return &Error{Op: op, Err: &permanentError{errors.New("the URL cannot be made")}}
	}
	hr.ContentLength = max(size, -1)
	if size == 0 {
		hr.Body = http.NoBody
	}
	hr.Header.Set("Content-Type", "application/octet-stream")
	// The platform may refuse (wrong state, wrong key) before gigabytes have left.
	hr.Header.Set("Expect", "100-continue")
	began := time.Now()
	_, err = c.exchange(hr, op, ref.Key, body)
	count.mute() // an early answer leaves the transport reading for a while
	if err != nil {
		if lerr := count.failure(); lerr != nil {
			return &Error{Op: op, Err: lerr}
		}
		return err
	}
	c.log.InfoContext(ctx, "dump uploaded", "id", ref.ID, "bytes", count.done(), "took", time.Since(began))
	return nil
}

// countingReader reads a dump. It reports progress, keeps the watchdog quiet, and remembers whether the dump itself
// could not be read.
type countingReader struct {
	r        io.Reader
	size     int64
	progress func(Progress)
	dog      *watchdog

	mu  sync.Mutex
	n   int64
	err error
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n += int64(n)
	switch {
	case err == io.EOF:
		if r.n < r.size {
			r.err = local("reading the dump", fmt.Errorf("it ended after %d of %d bytes: %w", r.n, r.size, ErrChanged))
			err = r.err
		}
		// The platform may look through the dump before it answers.
		r.dog.extend(5)
	case err != nil:
		r.err = local("reading the dump", err)
		err = r.err
	default:
		r.dog.extend(1)
	}
	if n > 0 && r.progress != nil {
		r.progress(Progress{Done: r.n, Total: r.size})
	}
	return n, err
}

// mute stops the calls of progress. None is running when it returns.
func (r *countingReader) mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = nil
}

func (r *countingReader) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *countingReader) done() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// watchdog cancels a context if extend is not called in time.
type watchdog struct {
	every  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func newWatchdog(ctx context.Context, every time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	d := &watchdog{every: every, cancel: cancel}
	d.timer = time.AfterFunc(every, func() { cancel(&timeoutError{every}) })
	return ctx, d
}

// extend moves the moment of the cancellation to the given number of intervals from now.
func (d *watchdog) extend(times int) { d.timer.Reset(time.Duration(times) * d.every) }

func (d *watchdog) stop() {
	d.timer.Stop()
	d.cancel(nil)
}
