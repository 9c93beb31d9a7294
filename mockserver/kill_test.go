package mockserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

// addresses are the host and port in an answer's URLs.
var addresses = regexp.MustCompile(`https?://[0-9.]+:[0-9]+`)

// kills is how often TestKill kills: it costs most of this package's time. UPGRADEMOCK_KILLS has it kill more often; see bench/crash.sh.
func kills(t *testing.T) int {
	text, more := os.LookupEnv("UPGRADEMOCK_KILLS")
	if !more {
		return 12
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("UPGRADEMOCK_KILLS=%q: wanted how often to kill", text)
	}
	return n
}

// A kill -9 at any instant, with calls, uploads and SFTP transfers under way: every answer that was given still holds in the next life,
// nothing half-written is served, and an SFTP transfer that is resumed by size leaves no hole.
func TestKill(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var hostKey []byte
	var told []*account
	for life := range kills(t) {
		c := startChild(t, "serve", dir)
		if key := readFile(t, dir+"/ssh_host_ecdsa_key"); hostKey == nil {
			hostKey = key
		} else if !bytes.Equal(key, hostKey) {
			t.Error("the host key is new")
		}
		for _, a := range told {
			a.check(c.wire)
		}
		told = nil
		var wg sync.WaitGroup
		began := make(chan struct{}, 4)
		for i := range 4 {
			a := &account{seed: uint64(life*10 + i)}
			told = append(told, a)
			wg.Go(func() { a.live(c.wire, i%2 == 1, began) })
		}
		for range 4 {
			<-began
		}
		select { // the instant is not agreed with anything that happens: this is what is tested
		case <-time.After(time.Duration(random.IntN(60_000)) * time.Microsecond):
		case <-t.Context().Done():
		}
		c.kill()
		wg.Wait()
	}
	c := startChild(t, "serve", dir)
	for _, a := range told {
		a.check(c.wire)
	}
	c.stop()
}

// account is what one client was told by the emulator, until it died.
type account struct {
	seed     uint64
	requests []*told
}

// told is what the client was told of one request.
type told struct {
	made
	filename string
	sent     int  // dumps were sent up to this number …
	taken    int  // … and taken up to this one; dump 0 is none
	granted  bool // an SFTP access
	asked    bool // process was called …
	accepted bool // … and answered
}

// dump is the request's nth dump. Its size grows.
func (r *told) dump(n int) []byte { return pattern(200_000+n*1000, uint64(r.id)*100+uint64(n)) }

// live makes requests and dumps until the emulator is gone.
func (a *account) live(w *wire, bySFTP bool, began chan<- struct{}) {
	quiet := *w
	for round := 0; ; round++ {
		if round == 1 {
			began <- struct{}{}
		}
		if err := a.round(&quiet, bySFTP); err != nil {
			if round == 0 {
				began <- struct{}{}
				w.Errorf("the first round: %v", err)
			}
			return
		}
	}
}

func (a *account) round(w *wire, bySFTP bool) error {
	filename := fmt.Sprintf("%d_%d.dump", a.seed, len(a.requests))
	answered, err := w.try("create?"+sample("filename", filename).Encode(), nil)
	if err != nil {
		return err
	}
	r := &told{made: made{answered.Request.ID, answered.Request.Key}, filename: filename}
	a.requests = append(a.requests, r)
	if bySFTP {
		if _, err := w.try("request_sftp_access?"+r.params("ssh_keys", publicKey("ed25519")).Encode(), nil); err != nil {
			return err
		}
		r.granted = true
	}
	for range 2 {
		r.sent++
		if bySFTP {
			err = a.putSomehow(w, r)
		} else {
			_, err = w.try("upload?"+r.params().Encode(), r.dump(r.sent))
		}
		if err != nil {
			return err
		}
		r.taken = r.sent
	}
	if len(a.requests)%2 == 0 {
		return nil // one that stays a draft
	}
	r.asked = true
	if _, err = w.try("process?"+r.params().Encode(), nil); err != nil {
		return err
	}
	r.accepted = true
	return nil
}

// putSomehow writes the dump over SFTP, every other piece late.
func (a *account) putSomehow(w *wire, r *told) error {
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
					return err
				}
			}
		}
	}
	return f.Close()
}

// answered is an answer, as far as it matters here.
type answered struct {
	Failures []struct{ Reason string }
	Request  struct {
		ID  int64
		Key string
	}
}

// try makes a call that may find nobody there.
func (w *wire) try(path string, body []byte) (answered, error) {
	var a answered
	resp, err := w.http.Post(w.base+"/database/v1/"+path, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err == nil && len(a.Failures) > 0 {
		err = errors.New(string(data))
		w.Error(err)
	}
	return a, err
}

// check holds the next life against what was told in the last.
func (a *account) check(w *wire) {
	for _, r := range a.requests {
		s := w.status(r.made)
		if s["filename"] != r.filename {
			w.Errorf("request %d: filename %v, was %s", r.id, s["filename"], r.filename)
		}
		if state := s["state"]; r.accepted && state == "draft" || !r.asked && state != "draft" {
			w.Errorf("request %d: state %v, process was called: %v, answered: %v", r.id, state, r.asked, r.accepted)
		}
		// The dump is the last one that was taken, or the one whose answer nobody got, and whole.
		resp, got := w.get(w.urls(r.made)["original_dump_url"])
		whole := resp.StatusCode == http.StatusNotFound && r.taken == 0
		for n := max(1, r.taken); n <= r.sent; n++ {
			whole = whole || resp.StatusCode == http.StatusOK && bytes.Equal(got, r.dump(n))
		}
		if !whole {
			w.Errorf("request %d: %s with %d bytes, which are neither dump %d nor %d", r.id, resp.Status, len(got), r.taken, r.sent)
		}
		if r.granted && s["state"] == "draft" {
			a.resume(w, r)
		}
	}
}

// resume continues the transfer as put -a would: from the size that is there.
func (a *account) resume(w *wire, r *told) {
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
	same(w, fmt.Sprintf("request %d, resumed at %d", r.id, info.Size()), w.fetch(w.urls(r.made)["original_dump_url"]), dump)
}
