package mockserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
)

// account is what one client knows from the answers of the emulator, until it was killed.
type account struct {
	kind     string
	seed     uint64
	full     bool
	requests []*knownRequest
	answers  int
	resets   []*resetting
}

// knownRequest is what the client knows of one request from answers.
type knownRequest struct {
	made
	filename string
	sent     int      // dumps were sent up to this number …
	taken    int      // … and taken up to this one; dump 0 is none
	granted  bool     // an SFTP access
	states   []string // those that the request may be in; nil is whatever follows process
}

// resetting is a reset of the requests of one contract.
type resetting struct {
	requests        []*knownRequest
	asked, answered bool
}

// errRefused is a call that was refused where that may be.
var errRefused = errors.New("refused")

// dump is the request's nth dump. Its size grows.
func (r *knownRequest) dump(n int) []byte { return pattern(200_000+n*1000, uint64(r.id)*100+uint64(n)) }

// live makes requests and dumps until the emulator is gone.
func (a *account) live(w *wire, began chan<- struct{}) {
	quiet := *w
	rounds := map[string]func(*wire) error{
		"https": a.dumps, "sftp": a.dumps, "upgrade": a.upgrade, "testing": a.tests, "reset": a.reset,
	}
	for round := 0; ; round++ {
		if round == 1 {
			began <- struct{}{}
		}
		err := rounds[a.kind](&quiet)
		if err != nil && !(a.full && errors.Is(err, errRefused)) {
			if round == 0 {
				began <- struct{}{}
				w.Errorf("the first round of %s: %v", a.kind, err)
			} else if errors.Is(err, errRefused) {
				w.Errorf("%s: %v", a.kind, err)
			}
			return
		}
	}
}

// call makes a call of the emulated API.
func (a *account) call(w *wire, path string, body []byte) (answered, error) {
	got, err := w.try("POST", "/database/v1/"+path, body)
	if err == nil {
		a.answers++
	}
	return got, err
}

func (a *account) create(w *wire, contract string) (*knownRequest, error) {
	filename := fmt.Sprintf("%d_%d.dump", a.seed, len(a.requests))
	answered, err := a.call(w, "create?"+sample("filename", filename, "contract", contract).Encode(), nil)
	if err != nil {
		return nil, err
	}
	r := &knownRequest{made: made{answered.Request.ID, answered.Request.Key}, filename: filename, states: []string{
		"draft"}}
	a.requests = append(a.requests, r)
	return r, nil
}

func (a *account) upload(w *wire, r *knownRequest) error {
	r.sent++
	_, err := a.call(w, "upload?"+r.params().Encode(), r.dump(r.sent))
	if err == nil {
		r.taken = r.sent
	}
	return err
}

// update makes a call after which the request is in other states: until it is answered, in those and in the
// ones before.
func (a *account) update(w *wire, r *knownRequest, states []string, call func() error) error {
	before := r.states
	if r.states = append(slices.Clone(before), states...); states == nil {
		r.states = nil
	}
	err := call()
	if err == nil {
		if r.states = states; states == nil {
			r.states = []string{"!draft"}
		}
	}
	return err
}

// dumps sends two dumps, and has every other request processed.
func (a *account) dumps(w *wire) error {
	r, err := a.create(w, "M123456-abcdef")
	if err != nil {
		return err
	}
	if a.kind == "sftp" {
		if _, err := a.call(w, "request_sftp_access?"+r.params("ssh_keys", publicKey("ed25519")).Encode(), nil); err != nil {
			return err
		}
		r.granted = true
	}
	for range 2 {
		if a.kind == "sftp" {
			r.sent++
			if err = a.putSomehow(w, r); err == nil {
				r.taken = r.sent
				a.answers++
			} else if a.full {
				err = errors.Join(errRefused, err)
			}
		} else {
			err = a.upload(w, r)
		}
		if err != nil {
			return err
		}
	}
	if len(a.requests)%2 == 0 {
		return nil // one that stays a draft
	}
	return a.update(w, r, nil, func() error {
		_, err := a.call(w, "process?"+r.params().Encode(), nil)
		return err
	})
}

// upgrade makes a request, sends its dump and has it processed, in one call.
func (a *account) upgrade(w *wire) error {
	filename := fmt.Sprintf("%d_%d.dump", a.seed, len(a.requests))
	dump := pattern(200_000, a.seed*1000+uint64(len(a.requests)))
	answered, err := a.call(w, "upgrade?"+sample("filename", filename).Encode(), dump)
	if err != nil {
		return err
	}
	a.requests = append(a.requests, &knownRequest{
		made: made{answered.Request.ID, answered.Request.Key}, filename: filename, sent: -1, states: []string{"!draft"},
	})
	return nil
}

// tests has requests tested, and ends the tests by skip_test, by a release, or by a state that is put on them.
func (a *account) tests(w *wire) error {
	r, err := a.create(w, "TESTED")
	if err == nil {
		err = a.upload(w, r)
	}
	if err == nil {
		err = a.update(w, r, []string{"testing"}, func() error {
			_, err := a.call(w, "process?"+r.params().Encode(), nil)
			return err
		})
	}
	if err != nil {
		return err
	}
	control := fmt.Sprintf("/_mock/requests/%d/", r.id)
	switch len(a.requests) % 4 {
	case 0:
		return a.update(w, r, []string{"delivered"}, func() error {
			_, err := a.call(w, "skip_test?"+r.params().Encode(), nil)
			return err
		})
	case 1:
		return a.update(w, r, []string{"done"}, func() error {
			_, err := w.try("POST", control+"release", nil)
			return err
		})
	case 2:
		return a.update(w, r, []string{"invalid"}, func() error {
			_, err := w.try("POST", control+"state", []byte(`{"state": "invalid"}`))
			return err
		})
	}
	return nil // still tested
}

// reset makes requests of a contract of their own, and forgets them.
func (a *account) reset(w *wire) error {
	contract := fmt.Sprintf("RESET-%d-%d", a.seed, len(a.resets))
	reset := new(resetting)
	a.resets = append(a.resets, reset)
	for i := range 3 {
		r, err := a.create(w, contract)
		if err != nil {
			return err
		}
		reset.requests = append(reset.requests, r)
		if i > 0 {
			continue
		}
		if err := a.upload(w, r); err != nil {
			return err
		}
	}
	if len(a.resets)%3 == 0 {
		return nil // they stay
	}
	reset.asked = true
	_, err := w.try("POST", "/_mock/reset?contract="+contract, nil)
	if err == nil {
		reset.answered = true
		a.answers++
	}
	return err
}

// putSomehow writes the dump over SFTP, every other piece late.
func (a *account) putSomehow(w *wire, r *knownRequest) error {
	c, err := w.dial(r.made, "ed25519")
	if err != nil {
		return err
	}
	defer c.Close()
	f, err := c.OpenFile("/"+r.filename, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	dump := r.dump(r.sent)
	const piece = 20_000
	for at := 0; at < len(dump); at += 2 * piece {
		for _, from := range []int{at + piece, at} {
			if from < len(dump) {
				if _, err := f.WriteAt(dump[from:min(from+piece, len(dump))], int64(from)); err != nil {
					return errors.Join(err, f.Close())
				}
			}
		}
	}
	return f.Close()
}

// answered is an answer, as far as it matters here.
type answered struct {
	Failures []struct{ Reason string }
	Error    string // of the control API
	Request  struct {
		ID  int64
		Key string
	}
}

// try makes a call that may find nobody there. One that is refused is an errRefused.
func (w *wire) try(method, path string, body []byte) (answered, error) {
	var a answered
	req, err := http.NewRequest(method, w.base+path, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if bytes.HasPrefix(body, []byte("{")) {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && len(data) > 0 {
		err = json.Unmarshal(data, &a)
	}
	if err == nil && (len(a.Failures) > 0 || resp.StatusCode >= 300) {
		err = fmt.Errorf("%w: %s %s: %s %s", errRefused, method, path, resp.Status, data)
	}
	return a, err
}

// check holds the next life against what the last one answered.
func (a *account) check(w *wire) {
	gone := a.checkResets(w)
	for i, r := range a.requests {
		if gone[r] {
			continue
		}
		s := w.status(r.made)
		if s["filename"] != r.filename {
			w.Errorf("request %d: filename %v, was %s", r.id, s["filename"], r.filename)
		}
		state := s["state"].(string)
		if r.states != nil && !slices.Contains(r.states, state) && !(slices.Contains(r.states, "!draft") &&
			state != "draft") {
			w.Errorf("request %d of %s: state %v, wanted one of %q", r.id, a.kind, state, r.states)
		}
		// The dump is the last one that was taken, or the one whose answer nobody got, and whole.
		resp, got := w.get(w.urls(r.made)["original_dump_url"])
		whole := resp.StatusCode == http.StatusNotFound && r.taken == 0 && r.sent >= 0
		for n := max(1, r.taken); n <= r.sent; n++ {
			whole = whole || resp.StatusCode == http.StatusOK && bytes.Equal(got, r.dump(n))
		}
		if r.sent < 0 { // by upgrade
			whole = bytes.Equal(got, pattern(200_000, a.seed*1000+uint64(i)))
		}
		if !whole {
			w.Errorf("request %d of %s: %s with %d bytes, which are neither dump %d nor %d", r.id, a.kind, resp.Status, len(got),
				r.taken, r.sent)
		}
		if r.granted && state == "draft" && !a.full { // which needs room
			a.resume(w, r)
		}
	}
}

// checkResets holds that a reset which was answered was done, one that was not is done as a whole or not at
// all, and returns what is gone.
func (a *account) checkResets(w *wire) (gone map[*knownRequest]bool) {
	gone = make(map[*knownRequest]bool)
	for _, reset := range a.resets {
		there := 0
		for _, r := range reset.requests {
			answer := w.call("status", r.params())
			if len(answer.Failures) == 0 {
				there++
			} else if answer.Failures[0]["reason"] != "REQUEST:NOT_FOUND" {
				w.Errorf("request %d after a reset: %s", r.id, answer.Body)
			}
		}
		switch {
		case reset.answered && there > 0:
			w.Errorf("%d requests are there again that were forgotten", there)
		case !reset.asked && there < len(reset.requests):
			w.Errorf("%d of %d requests are gone without a reset", len(reset.requests)-there, len(reset.requests))
		case there > 0 && there < len(reset.requests):
			w.Errorf("of %d requests a reset has left %d", len(reset.requests), there)
		}
		if there == 0 {
			for _, r := range reset.requests {
				gone[r] = true
			}
		}
	}
	return gone
}

// resume continues the transfer as put -a would: from the size that is there.
func (a *account) resume(w *wire, r *knownRequest) {
	c := w.login(r.made, "ed25519")
	defer c.Close()
	info, err := c.Stat("/" + r.filename)
	if err != nil {
		w.Errorf("request %d: %v", r.id, err)
		return
	}
	dump := r.dump(r.sent)
	if info.Size() > int64(len(dump)) {
		w.Errorf("request %d: %d bytes, more than were sent", r.id, info.Size())
		return
	}
	if info.Size() == int64(len(r.dump(r.sent-1))) && r.sent-1 == r.taken && r.taken > 0 {
		return // still the dump before: the new transfer had not begun
	}
	f, err := c.OpenFile("/"+r.filename, os.O_WRONLY)
	if err != nil {
		w.Errorf("request %d: %v", r.id, err)
		return
	}
	_, err = f.WriteAt(dump[info.Size():], info.Size())
	if err := errors.Join(err, f.Close()); err != nil {
		w.Errorf("request %d: %v", r.id, err)
		return
	}
	same(w, fmt.Sprintf("request %d, resumed at %d", r.id, info.Size()), w.fetch(w.urls(r.made)["original_dump_url"]),
		dump)
}
