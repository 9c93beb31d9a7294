// Package replay has happen again what a capsule tells of. [Options] sets the same stage for a client, [Play] makes the
// calls of the capsule's journal without one, [Compare] says whether two journals tell the same, and [Shrink] looks for
// the smallest scenario under which a client still fails.
package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/internal/capsule"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// impatience is how long a call is waited for to which the client got no answer then, although a fault only delayed it.
const impatience = 300 * time.Millisecond

// settling bounds the wait for the event of a call that broke.
const settling = 10 * time.Second

// Options are those of a server on which the same is to happen, with listeners on free ports. The capsule's files must
// have been unpacked.
func Options(c *capsule.Capsule) *mockserver.Options {
	opts := &mockserver.Options{
		Scenarios: c.Scenarios, Seed: c.Seed, Edition: c.Edition, Targets: c.Targets, Contracts: c.Contracts,
		Region: c.Region, FailureStatus: c.FailureStatus, MaxDump: c.MaxDump, SFTPAccessTTL: c.SFTPAccessTTL,
		TransferTimeout: c.TransferTimeout, Logger: slog.New(slog.DiscardHandler),
	}
	if c.Clock != capsule.ClockReal {
		opts.Clock = new(mockserver.ManualClock)
		// Whoever advanced the clock of a server that ran is not there.
		opts.Skip = c.Clock == capsule.ClockSkip || c.Client == nil
	}
	return opts
}

// Play makes the calls of the capsule's journal again, on a server of its own, and returns its journal. Dumps are made
// up, as large as they were, and time passes at once. dir is for temporary files. The capsule's files must have been
// unpacked.
func Play(ctx context.Context, c *capsule.Capsule, dir string) (_ []journal.Event, err error) {
	opts := Options(c)
	opts.Clock, opts.Skip = new(mockserver.ManualClock), false
	srv, err := mockserver.New(opts)
	if err != nil {
		return nil, err
	}
	defer srv.Close()
	if err := srv.Start(); err != nil {
		return nil, err
	}
	p := &player{ctx: ctx, srv: srv, dir: dir, maxDump: opts.MaxDump,
		requests: map[int64]*played{}, sessions: map[uint64]*session{}}
	if p.signer, _, err = client.GenerateSSHKey(); err != nil {
		return nil, err
	}
	defer p.hangUp()
	var last time.Time
	for i := range c.Journal {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		e := &c.Journal[i]
		if d := e.At.Sub(last); !last.IsZero() && d > 0 {
			if _, err := srv.Advance(d); err != nil {
				return nil, err
			}
		}
		if e.At.After(last) {
			last = e.At
		}
		if err := p.play(c.Journal, i); err != nil {
			return nil, fmt.Errorf("event %d, %s: %w", e.Seq, e.On, err)
		}
	}
	p.hangUp()
	if err := srv.Shutdown(ctx); err != nil {
		return nil, err
	}
	return srv.Events(journal.Filter{}), nil
}

// player makes calls as a journal has them.
type player struct {
	ctx      context.Context
	srv      *mockserver.Server
	dir      string
	signer   ssh.Signer
	requests map[int64]*played   // by their ids then
	sessions map[uint64]*session // of SFTP, by their numbers then
	skip     int                 // events before this one are done
	seen     uint64              // the number of the latest event of now
	maxDump  int64               // bytes of a dump that the server takes
}

// played is a request as it is now.
type played struct {
	id    int64
	key   string
	user  string // of its SFTP access
	file  string // that it shares
	dump  int64  // bytes of its dump then
	names []journal.File
}

func (p *player) play(events []journal.Event, i int) error {
	e := &events[i]
	if i < p.skip {
		return nil
	}
	switch {
	case e.On == journal.OnState:
		return p.release(e)
	case strings.HasPrefix(e.On, "sftp."):
		return p.sftp(events, i)
	case e.On == scenario.OnScriptTransferStart:
		return p.transfer(events, i)
	case strings.HasPrefix(e.On, "rsync."), e.On == journal.OnData:
		return nil
	case strings.HasPrefix(e.On, "script.") && e.On != journal.OnScriptFile && e.On != scenario.OnScriptLogs:
		return p.rpc(events, i)
	}
	return p.call(events, i)
}

// release lets a request go on that somebody released then.
func (p *player) release(e *journal.Event) error {
	for _, s := range p.srv.Scenarios() {
		for _, step := range s.Steps {
			if r := p.requests[e.Request]; r != nil && step.For.Released && step.State == e.From {
				p.srv.Release(r.id) // which is refused where it is not held
			}
		}
	}
	return nil
}

// request returns what is known of the request that an event is about. Its dump is as large as any event says.
func (p *player) request(events []journal.Event, e *journal.Event) *played {
	r := p.requests[e.Request]
	if r == nil {
		r = &played{id: e.Request, key: "unknown"}
		for _, other := range events {
			if other.Request != e.Request {
				continue
			}
			r.dump = max(r.dump, other.Received, other.Size)
			if f := other.Fired; f != nil && f.Received > 0 { // it went on behind the fault
				r.dump = max(r.dump, f.At+1<<20)
			}
			if other.On == scenario.OnRsyncUpload && other.Rsync != nil && len(other.Rsync.Files) > len(r.names) {
				r.names = other.Rsync.Files
			}
		}
		p.requests[e.Request] = r
	}
	return r
}

// made takes from the answer to a create what the request is called now.
func (p *player) made(events []journal.Event, e *journal.Event, id int64, key string) {
	if e.Request != 0 && id != 0 {
		r := p.request(events, e)
		r.id, r.key = id, key
	}
}

// parameters are those of a call, with the ids and keys of now.
func (p *player) parameters(e *journal.Event, r *played) url.Values {
	values := url.Values{}
	for name, value := range e.Params {
		switch name {
		case "key", "token":
			if value = "unknown"; r != nil && e.Request != 0 {
				value = r.key
			}
		case "request":
			if r != nil && value == strconv.FormatInt(e.Request, 10) {
				value = strconv.FormatInt(r.id, 10)
			}
		case "ssh_key", "ssh_keys":
			value = string(ssh.MarshalAuthorizedKey(p.signer.PublicKey()))
		}
		values.Set(name, value)
	}
	return values
}

// fileURL is a URL of a status answer, with its id and key.
var fileURL = regexp.MustCompile(`^(/database/[^/]+/)[0-9]+/[^/]+/`)

// call makes a call of the database API, or fetches a URL.
func (p *player) call(events []journal.Event, i int) error {
	e := &events[i]
	var r *played
	if e.Request != 0 {
		r = p.request(events, e)
	}
	target := e.Path
	if r != nil {
		target = fileURL.ReplaceAllString(target, "${1}"+strconv.FormatInt(r.id, 10)+"/"+r.key+"/")
	}
	if query := p.parameters(e, r).Encode(); query != "" {
		target += "?" + query
	}
	body, size := p.body(e, r)
	req, cancel, err := p.newRequest(e, target, body)
	if err != nil {
		return err
	}
	defer cancel()
	if body != nil {
		req.ContentLength = size
	}
	if e.Status == http.StatusPartialContent {
		from := int64(0)
		if e.On == scenario.OnDownload && r != nil {
			from = max(0, r.dump-e.Sent)
		}
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	return p.do(events, e, req)
}

// body is the dump that a call sends, and its size: as much as arrived then, or where a fault kept it from that, as
// much as there was.
func (p *player) body(e *journal.Event, r *played) (io.Reader, int64) {
	if r == nil || e.On != scenario.OnUpload && e.On != scenario.OnUpgrade {
		return nil, 0
	}
	size := r.dump
	switch {
	case e.Fault != "":
	case e.Status == 0, slices.Contains(e.Failures, "DUMP:INCOMPLETE"): // the client broke it off
		return io.MultiReader(io.LimitReader(dump{}, e.Received), brokenOff{}), max(e.Received, r.dump) + 1
	case slices.Contains(e.Failures, "DUMP:MISSING"):
		return http.NoBody, 0
	case slices.Contains(e.Failures, "DUMP:TOO_LARGE") && p.maxDump > 0 && p.maxDump < mockserver.DefaultMaxDump:
		size = p.maxDump + 1
	case e.Received > 0:
		size = e.Received
	}
	return io.LimitReader(dump{}, size), size
}

// brokenOff ends the body of a call as a client does that goes away.
type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, errors.New("broken off") }

// newRequest makes a call; one that was not answered then is not waited for.
func (p *player) newRequest(e *journal.Event, target string, body io.Reader) (*http.Request, func(), error) {
	ctx, cancel := context.WithCancel(p.ctx)
	if e.Status == 0 && strings.Contains(e.Fault+e.Why, " delay ") {
		ctx, cancel = context.WithTimeout(p.ctx, impatience)
	}
	req, err := http.NewRequestWithContext(ctx, e.Method, p.srv.URL()+target, body)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	req.Header.Set("User-Agent", e.Agent)
	if body != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	return req, cancel, nil
}

// do makes a call. What goes wrong with it is in the journal, before the next call is made.
func (p *player) do(events []journal.Event, e *journal.Event, req *http.Request) error {
	for _, earlier := range p.srv.Events(journal.Filter{After: p.seen}) {
		p.seen = earlier.Seq
	}
	resp, err := p.srv.Client().Do(req)
	if err != nil {
		if req.Context().Err() == nil { // else the server is not asked to notice in time
			wait, cancel := context.WithTimeout(p.ctx, settling)
			defer cancel()
			_, _ = p.srv.Await(wait, journal.Filter{On: e.On, After: p.seen})
		}
		return nil
	}
	defer resp.Body.Close()
	if e.On == scenario.OnDownload {
		io.Copy(io.Discard, resp.Body)
		return nil
	}
	var answer struct {
		Request struct {
			ID         int64
			Key        string
			User       string `json:"sftp_user"`
			SharedFile string `json:"shared_file"`
		}
		Result struct {
			ID    int64 `json:"request_id"`
			Token string
		}
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	switch e.On {
	case scenario.OnCreate, scenario.OnUpgrade:
		p.made(events, e, answer.Request.ID, answer.Request.Key)
	case scenario.OnScriptCreate:
		p.made(events, e, answer.Result.ID, answer.Result.Token)
	case scenario.OnRequestSFTPAccess:
		if r := p.requests[e.Request]; r != nil && answer.Request.User != "" {
			r.user, r.file = answer.Request.User, answer.Request.SharedFile
		}
	}
	return nil
}

// rpc makes a call of the script API.
func (p *player) rpc(events []journal.Event, i int) error {
	e := &events[i]
	var r *played
	if e.Request != 0 {
		r = p.request(events, e)
	}
	params := map[string]any{}
	for name, values := range p.parameters(e, r) {
		params[name] = values[0]
	}
	if _, ok := params["env_vars"]; ok {
		params["env_vars"] = []string{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "not_used", "id": "not_used", "params": params})
	if err != nil {
		return err
	}
	req, cancel, err := p.newRequest(e, e.Path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer cancel()
	req.Header.Set("Content-Type", "application/json")
	return p.do(events, e, req)
}

// dump is a dump that was made up: text without an end.
type dump struct{}

func (dump) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = "-- dump\n"[i%8]
	}
	return len(b), nil
}

// at is the dump's bytes from an offset on.
func (dump) at(b []byte, from int64) {
	for i := range b {
		b[i] = "-- dump\n"[(from+int64(i))%8]
	}
}

// writeDump writes a dump into a file.
func writeDump(name string, size int64) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(file, dump{}, size)
	if closing := file.Close(); err == nil {
		err = closing
	}
	return err
}
