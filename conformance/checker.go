package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// A checker is what one check, or one lifecycle, works with: it makes the calls and the random choices, and
// ends the check with a verdict. Methods that end the check panic with a stop, which guard turns into an outcome.
// It is used by one goroutine at a time.
type checker struct {
	*suite
	ctx        context.Context
	slots      chan struct{} // of the checks that may be at work at a time; if nil, there is no bound
	transcript *transcript
	rng        *rand.Rand
	closers    []func()
}

// acquire takes one of the slots. A check that waits releases its own for another.
func (b *checker) acquire() {
	if b.slots != nil {
		b.slots <- struct{}{}
	}
}

// release returns the slot that acquire took.
func (b *checker) release() {
	if b.slots != nil {
		<-b.slots
	}
}

func (b *checker) close() {
	for _, f := range slices.Backward(b.closers) {
		f()
	}
	b.closers = nil
	if b.rec != nil {
		b.rec.save(b.transcript, b.keyStrings())
	}
}

func (b *checker) failf(format string, args ...any) {
	panic(stop{verdict: Fail, message: fmt.Sprintf(format, args...)})
}

// wrong is the usual failure: what was sent, what was expected, what came.
func (b *checker) wrong(sent, expected, came string) {
	b.failf("sent %s; expected %s; came %s", sent, expected, came)
}

func (b *checker) skipf(format string, args ...any) {
	panic(stop{verdict: Skip, message: fmt.Sprintf(format, args...)})
}

func (b *checker) errorf(format string, args ...any) {
	panic(stop{verdict: Error, message: fmt.Sprintf(format, args...)})
}

// blocked ends a check before what it judges, because of trouble that the check by is there to name. Where that one
// finds nothing wrong, the server fails this one: what it documents did not work here.
func (b *checker) blocked(by, format string, args ...any) {
	panic(stop{verdict: blocked, by: by, message: fmt.Sprintf(format, args...)})
}

// pause waits a moment before asking again; a replay doesn't.
func (b *checker) pause(d time.Duration) {
	if !b.transcript.live {
		return
	}
	b.release()
	defer b.acquire()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.ctx.Done():
	}
}

// Context ends with the check.
func (b *checker) Context() context.Context { return b.ctx }

// CallTime is how long one call may take.
func (b *checker) CallTime() time.Duration { return b.callTime() }

// Hung counts a call that was not answered in time.
func (b *checker) Hung() { b.hangs.Add(1) }

// OnEnd registers a function to be called when the check ends.
func (b *checker) OnEnd(f func()) { b.closers = append(b.closers, f) }

// waitTurn delays a call until the pause after the last one is over.
func (b *checker) waitTurn() {
	if b.limiter != nil {
		b.limiter.Wait(b.ctx) // the call itself reports that the context has ended
	}
}

// try makes a call.
func (b *checker) try(c raw.Call) (raw.Answer, error) {
	var a raw.Answer
	err := b.Exchange("http", c.What, &a, func() (err error) {
		b.waitTurn()
		a, err = b.http.Do(b.ctx, c)
		b.judgeReach(err)
		return err
	})
	a.What = c.What
	return a, err
}

// tryRaw makes a call of bytes.
func (b *checker) tryRaw(c raw.Call, data []byte, half bool) (raw.Answer, error) {
	var a raw.Answer
	err := b.Exchange("raw", c.What, &a, func() (err error) {
		b.waitTurn()
		a, err = b.http.SendBytes(b.ctx, c, data, half)
		b.judgeReach(err)
		return err
	})
	a.What = c.What
	return a, err
}

// judgeReach counts calls that hang, and ends the check when the server is gone altogether.
func (b *checker) judgeReach(err error) {
	switch {
	case b.run.Err() != nil:
		b.errorf("the run was stopped, or its time was over")
	case errors.Is(err, raw.ErrNoAnswer):
		b.hangs.Add(1)
	case b.ctx.Err() != nil:
		b.errorf("the check was stopped by its time limit")
	case errors.Is(err, syscall.ECONNREFUSED):
		b.errorf("the server is gone: %v", err)
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		b.errorf("%v", err)
	}
}

// must makes a call that has to be answered.
func (b *checker) must(c raw.Call) raw.Answer {
	a, err := b.try(c)
	if err != nil {
		b.wrong(c.What, "an answer", err.Error())
	}
	return a
}

// fetch gets a URL.
func (b *checker) fetch(u string, header ...string) raw.Answer { return b.request("GET", u, header...) }

// request asks a URL with a method and header lines given as name, value, name, value….
func (b *checker) request(method, u string, header ...string) raw.Answer {
	c := raw.Call{Method: method, URL: u, Header: http.Header{}, Limit: raw.FileLimit}
	var extra string
	for i := 0; i+1 < len(header); i += 2 {
		c.Header.Set(header[i], header[i+1])
		extra += ", " + header[i] + ": " + header[i+1]
	}
	c.What = method + " " + strings.TrimPrefix(u, b.public) + extra
	return b.must(c)
}

// params are a method's parameters, in order.
type params []string // name, value, name, value…

func (p params) with(kv ...string) params { return append(slices.Clone(p), kv...) }

// without returns p without the parameters called name.
func (p params) without(names ...string) params {
	var out params
	for i := 0; i+1 < len(p); i += 2 {
		if !slices.Contains(names, p[i]) {
			out = append(out, p[i], p[i+1])
		}
	}
	return out
}

// set replaces the value of name.
func (p params) set(name, value string) params {
	out := slices.Clone(p)
	for i := 0; i+1 < len(out); i += 2 {
		if out[i] == name {
			out[i+1] = value
			return out
		}
	}
	return append(out, name, value)
}

func (p params) encode() string {
	var sb strings.Builder
	for i := 0; i+1 < len(p); i += 2 {
		if i > 0 {
			sb.WriteByte('&')
		}
		sb.WriteString(url.QueryEscape(p[i]) + "=" + url.QueryEscape(p[i+1]))
	}
	return sb.String()
}

func (p params) String() string {
	var parts []string
	for i := 0; i+1 < len(p); i += 2 {
		v := p[i+1]
		if len(v) > 80 {
			v = v[:60] + fmt.Sprintf("…(%d bytes)", len(v))
		}
		if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' }) || v == "" {
			v = fmt.Sprintf("%q", v)
		}
		parts = append(parts, p[i]+"="+strings.ToValidUTF8(v, "\uFFFD"))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// way is how parameters travel.
type way int

const (
	byQuery     way = iota // GET with a query
	byForm                 // POST with an urlencoded form
	byMultipart            // POST with multipart/form-data
	byGetBody              // GET with an urlencoded form as its body
	byPostQuery            // POST with a query and no body
	byPutQuery             // PUT with a query
	byHead                 // HEAD with a query
)

const formType = "application/x-www-form-urlencoded"

func (b *checker) methodURL(method string) string { return b.base + "/database/v1/" + method }

// compose builds the call of an API method.
func (b *checker) compose(method string, w way, p params) raw.Call {
	c := raw.Call{URL: b.methodURL(method)}
	verb := "GET"
	how := ""
	switch w {
	case byQuery:
		c.URL += "?" + p.encode()
	case byForm:
		verb, c.ContentType, c.Body, how = "POST", formType, []byte(p.encode()), " as a form"
	case byMultipart:
		verb, how = "POST", " as multipart fields"
		c.ContentType, c.Body = multipartBody(p, nil)
	case byGetBody:
		c.ContentType, c.Body, how = formType, []byte(p.encode()), " as a form in the body"
	case byPostQuery:
		verb, c.Body, how = "POST", []byte{}, " in the query"
		c.URL += "?" + p.encode()
	case byPutQuery:
		verb, c.Body, how = "PUT", []byte{}, " in the query"
		c.URL += "?" + p.encode()
	case byHead:
		verb = "HEAD"
		c.URL += "?" + p.encode()
	}
	c.Method = verb
	c.What = verb + " " + method + " " + p.String() + how
	return c
}

// filePart is a file in a multipart body.
type filePart struct {
	field, filename, ctype string
	data                   []byte
}

// multipartBody has always the same boundary, so that a body that is stored as a dump is the same in a replay.
func multipartBody(p params, file *filePart) (ctype string, body []byte) {
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	if err := w.SetBoundary("upgrademock-conformance-25a0f4c1d7e86b39"); err != nil {
		panic(err)
	}
	for i := 0; i+1 < len(p); i += 2 {
		w.WriteField(p[i], p[i+1])
	}
	if file != nil {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, file.field, file.filename))
		h.Set("Content-Type", file.ctype)
		part, _ := w.CreatePart(h)
		part.Write(file.data)
	}
	w.Close()
	return w.FormDataContentType(), buf.Bytes()
}

// api calls a method and reads its answer; only no answer at all ends the check.
func (b *checker) api(method string, w way, p params) reply {
	return readReply(b.must(b.compose(method, w, p)))
}

// tryAPI calls a method for a step before the one judged.
func (b *checker) tryAPI(method string, p params) (reply, error) {
	a, err := b.try(b.compose(method, b.way(method), p))
	if err != nil {
		return reply{Answer: raw.Answer{What: a.What}, broken: err.Error()}, err
	}
	return readReply(a), nil
}

// object ends the check unless the reply is a JSON object.
func (b *checker) object(r reply) reply {
	if r.object == nil {
		b.wrong(r.What, "a JSON object", r.broken+": "+r.Summary())
	}
	return r
}

// accepted ends the check unless the call went well.
func (b *checker) accepted(r reply) reply {
	b.object(r)
	if !r.fine() {
		b.wrong(r.What, "success, with no failures", r.Summary())
	}
	return r
}

// refusal ends the check unless the call was refused with a failure in the list.
func (b *checker) refusal(r reply, why string) reply {
	b.object(r)
	if len(r.failures()) == 0 {
		b.wrong(r.What, "a failure: "+why, r.Summary())
	}
	return r
}

// reasoned ends the check unless the reply has a failure with that reason, and returns it.
func (b *checker) reasoned(r reply, reason string) failure {
	b.object(r)
	f, ok := r.failure(reason)
	if !ok {
		b.wrong(r.What, "a failure with the reason "+reason, r.Summary())
	}
	return f
}

// hasKey ends the check unless the failure's key is the string want.
func (b *checker) hasKey(r reply, f failure, key, want string) {
	if got, ok := f[key].(string); !ok || got != want {
		b.wrong(r.What, fmt.Sprintf("%s with %q: %q", f.reason(), key, want), show(map[string]any(f)))
	}
}
