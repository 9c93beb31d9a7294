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
func (c *checker) acquire() {
	if c.slots != nil {
		c.slots <- struct{}{}
	}
}

// release returns the slot that acquire took.
func (c *checker) release() {
	if c.slots != nil {
		<-c.slots
	}
}

func (c *checker) close() {
	for _, f := range slices.Backward(c.closers) {
		f()
	}
	c.closers = nil
	if c.rec != nil {
		c.rec.save(c.transcript, c.keyStrings())
	}
}

func (c *checker) failf(format string, args ...any) {
	panic(stop{verdict: Fail, message: fmt.Sprintf(format, args...)})
}

// wrong is the usual failure: what was sent, what was expected, what came.
func (c *checker) wrong(sent, expected, came string) {
	c.failf("sent %s; expected %s; came %s", sent, expected, came)
}

func (c *checker) skipf(format string, args ...any) {
	panic(stop{verdict: Skip, message: fmt.Sprintf(format, args...)})
}

func (c *checker) errorf(format string, args ...any) {
	panic(stop{verdict: Error, message: fmt.Sprintf(format, args...)})
}

// blocked ends a check before what it judges, because of what the check called by judges. If that check fails, this
// one is skipped. If it passes, this one fails: what the server documents did not work here.
func (c *checker) blocked(by, format string, args ...any) {
	panic(stop{verdict: blocked, by: by, message: fmt.Sprintf(format, args...)})
}

// pause waits a moment before asking again; a replay doesn't.
func (c *checker) pause(d time.Duration) {
	if !c.transcript.live {
		return
	}
	c.release()
	defer c.acquire()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
	}
}

// Context ends with the check.
func (c *checker) Context() context.Context { return c.ctx }

// CallTime is how long one call may take.
func (c *checker) CallTime() time.Duration { return c.callTime() }

// Hung counts a call that was not answered in time.
func (c *checker) Hung() { c.hangs.Add(1) }

// OnEnd registers a function to be called when the check ends.
func (c *checker) OnEnd(f func()) { c.closers = append(c.closers, f) }

// waitTurn delays a call until the pause after the last one is over.
func (c *checker) waitTurn() {
	if c.limiter != nil {
		c.limiter.Wait(c.ctx) // the call itself reports that the context has ended
	}
}

// try makes a call.
func (c *checker) try(call raw.Call) (raw.Answer, error) {
	var a raw.Answer
	err := c.Exchange("http", call.What, &a, func() (err error) {
		c.waitTurn()
		a, err = c.http.Do(c.ctx, call)
		c.judgeReach(err)
		return err
	})
	a.What = call.What
	return a, err
}

// tryRaw makes a call of bytes.
func (c *checker) tryRaw(call raw.Call, data []byte, half bool) (raw.Answer, error) {
	var a raw.Answer
	err := c.Exchange("raw", call.What, &a, func() (err error) {
		c.waitTurn()
		a, err = c.http.SendBytes(c.ctx, call, data, half)
		c.judgeReach(err)
		return err
	})
	a.What = call.What
	return a, err
}

// judgeReach counts calls that hang, and ends the check when the server is gone altogether.
func (c *checker) judgeReach(err error) {
	switch {
	case c.run.Err() != nil:
		c.errorf("the run was stopped, or its time was over")
	case errors.Is(err, raw.ErrNoAnswer):
		c.hangs.Add(1)
	case c.ctx.Err() != nil:
		c.errorf("the check was stopped by its time limit")
	case errors.Is(err, syscall.ECONNREFUSED):
		c.errorf("the server is gone: %v", err)
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		c.errorf("%v", err)
	}
}

// must makes a call that has to be answered.
func (c *checker) must(call raw.Call) raw.Answer {
	a, err := c.try(call)
	if err != nil {
		c.wrong(call.What, "an answer", err.Error())
	}
	return a
}

// fetch gets a URL.
func (c *checker) fetch(u string, header ...string) raw.Answer { return c.request("GET", u, header...) }

// request asks a URL with a method and header lines given as name, value, name, value….
func (c *checker) request(method, u string, header ...string) raw.Answer {
	call := raw.Call{Method: method, URL: u, Header: http.Header{}, Limit: raw.FileLimit}
	var extra string
	for i := 0; i+1 < len(header); i += 2 {
		call.Header.Set(header[i], header[i+1])
		extra += ", " + header[i] + ": " + header[i+1]
	}
	call.What = method + " " + strings.TrimPrefix(u, c.public) + extra
	return c.must(call)
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

func (c *checker) methodURL(method string) string { return c.base + "/database/v1/" + method }

// compose builds the call of an API method.
func (c *checker) compose(method string, w way, p params) raw.Call {
	call := raw.Call{URL: c.methodURL(method)}
	verb := "GET"
	how := ""
	switch w {
	case byQuery:
		call.URL += "?" + p.encode()
	case byForm:
		verb, call.ContentType, call.Body, how = "POST", formType, []byte(p.encode()), " as a form"
	case byMultipart:
		verb, how = "POST", " as multipart fields"
		call.ContentType, call.Body = multipartBody(p, nil)
	case byGetBody:
		call.ContentType, call.Body, how = formType, []byte(p.encode()), " as a form in the body"
	case byPostQuery:
		verb, call.Body, how = "POST", []byte{}, " in the query"
		call.URL += "?" + p.encode()
	case byPutQuery:
		verb, call.Body, how = "PUT", []byte{}, " in the query"
		call.URL += "?" + p.encode()
	case byHead:
		verb = "HEAD"
		call.URL += "?" + p.encode()
	}
	call.Method = verb
	call.What = verb + " " + method + " " + p.String() + how
	return call
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
func (c *checker) api(method string, w way, p params) reply {
	return readReply(c.must(c.compose(method, w, p)))
}

// tryAPI calls a method for a step before the one judged.
func (c *checker) tryAPI(method string, p params) (reply, error) {
	a, err := c.try(c.compose(method, c.way(method), p))
	if err != nil {
		return reply{Answer: raw.Answer{What: a.What}, broken: err.Error()}, err
	}
	return readReply(a), nil
}

// object ends the check unless the reply is a JSON object.
func (c *checker) object(r reply) reply {
	if r.object == nil {
		c.wrong(r.What, "a JSON object", r.broken+": "+r.Summary())
	}
	return r
}

// accepted ends the check unless the call went well.
func (c *checker) accepted(r reply) reply {
	c.object(r)
	if !r.fine() {
		c.wrong(r.What, "success, with no failures", r.Summary())
	}
	return r
}

// refusal ends the check unless the call was refused with a failure in the list.
func (c *checker) refusal(r reply, why string) reply {
	c.object(r)
	if len(r.failures()) == 0 {
		c.wrong(r.What, "a failure: "+why, r.Summary())
	}
	return r
}

// reasoned ends the check unless the reply has a failure with that reason, and returns it.
func (c *checker) reasoned(r reply, reason string) failure {
	c.object(r)
	f, ok := r.failure(reason)
	if !ok {
		c.wrong(r.What, "a failure with the reason "+reason, r.Summary())
	}
	return f
}

// hasKey ends the check unless the failure's key is the string want.
func (c *checker) hasKey(r reply, f failure, key, want string) {
	if got, ok := f[key].(string); !ok || got != want {
		c.wrong(r.What, fmt.Sprintf("%s with %q: %q", f.reason(), key, want), show(map[string]any(f)))
	}
}
