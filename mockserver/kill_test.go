package mockserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// addresses are the host and port in an answer's URLs.
var addresses = regexp.MustCompile(`https?://[0-9.]+:[0-9]+`)

// kills is how often a test kills: it costs most of this package's time. UPGRADEMOCK_KILLS has it kill more
// often; see bench/crash.sh.
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

// A kill -9 at any instant, with every kind of call, uploads and SFTP transfers under way: every answer that
// was given still holds in the next life, nothing half-written is served, an SFTP transfer that is resumed by
// size leaves no hole, no id is given twice, and files of other people stay as they are.
func TestKill(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	run := newKilling(t, filepath.Join(t.TempDir(), "data"), false)
	run.lives(kills(t))
}

// killing is a run of lives on one data directory.
type killing struct {
	*testing.T
	dir     string
	full    bool // the disk is small: calls may be refused
	random  *rand.Rand
	theirs  []string // directories and files of other people, in the data directory, too
	before  map[string]string
	hostKey []byte
	maxID   int64
	checked int // answers
}

func newKilling(t *testing.T, dir string, full bool) *killing {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &killing{T: t, dir: dir, full: full, random: rand.New(rand.NewPCG(seed, 0))}
	startChild(t, "serve", dir).kill()
	elsewhere := t.TempDir()
	plant(t, elsewhere, map[string]string{"known_hosts": "host ssh-rsa AAAA\n", "dumps/1": "one", "photos/a.jpg": "sun", "link": "->photos"})
	plant(t, dir, map[string]string{"notes.txt": "Dear aunt,", "photos/a.jpg": "sun", "link": "->" + elsewhere, "dumps-of-mine/1": "one"})
	k.theirs = []string{elsewhere}
	for _, name := range []string{"notes.txt", "photos", "link", "dumps-of-mine"} {
		k.theirs = append(k.theirs, filepath.Join(dir, name))
	}
	k.before = inventory(t, k.theirs...)
	return k
}

// lives is so many lives, each of which ends in a kill, and a last one.
func (k *killing) lives(n int) {
	var clients []*account
	for life := range n + 1 {
		k.makeRoom()
		c := startChild(k, "serve", k.dir)
		if key := readFile(k, k.dir+"/ssh_host_ecdsa_key"); k.hostKey == nil {
			k.hostKey = key
		} else if !bytes.Equal(key, k.hostKey) {
			k.Error("the host key is new")
		}
		k.check(c.wire, clients)
		if life == n || k.Failed() {
			c.stop()
			break
		}
		clients = k.live(c, life)
	}
	k.Logf("%d kills, %d answers held against what was served after them", n, k.checked)
}

// live has clients of every kind at work until the emulator is killed.
func (k *killing) live(c *child, life int) (clients []*account) {
	kinds := []string{"https", "sftp", "upgrade", "testing", "reset", "https", "sftp"}
	began := make(chan struct{}, len(kinds))
	var wg sync.WaitGroup
	for i, kind := range kinds {
		a := &account{kind: kind, seed: uint64(life*100 + i), full: k.full}
		clients = append(clients, a)
		wg.Go(func() { a.live(c.wire, began) })
	}
	k.fill()
	for range kinds {
		<-began
	}
	select { // the instant is not agreed with anything that happens: this is what is tested
	case <-time.After(time.Duration(k.random.IntN(60_000)) * time.Microsecond):
	case <-k.Context().Done():
	}
	c.kill()
	wg.Wait()
	return clients
}

// check holds a life against what the last one has told, and the files against what they were.
func (k *killing) check(w *wire, clients []*account) {
	for _, a := range clients {
		a.check(w)
		k.checked += a.answers
		for _, r := range a.requests {
			k.maxID = max(k.maxID, r.id)
		}
	}
	if m := w.create(); m.id <= k.maxID {
		k.Errorf("id %d is given after %d", m.id, k.maxID)
	}
	if d := cmp.Diff(k.before, inventory(k, k.theirs...)); d != "" {
		k.Errorf("files of other people have changed (-before +after):\n%s", d)
	}
	names := []string{
		"UPGRADEMOCK-DATA", "requests.db", "dumps", "lost+found", "ca.pem", "ca-key.pem", "ssh_host_ecdsa_key", "known_hosts",
		"notes.txt", "photos", "link", "dumps-of-mine",
	}
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		k.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			k.Errorf("%s is left in the data directory", e.Name())
		}
	}
	if k.full { // what was set aside takes room, and nobody will look for it
		if err := os.RemoveAll(filepath.Join(k.dir, "lost+found")); err != nil {
			k.Fatal(err)
		}
		w.try("POST", "/_mock/reset", nil)
	}
}

// ballast is a file that fills a small disk while the clients are at work, so that there is room for the checks.
const ballast = 512 << 10

func (k *killing) makeRoom() {
	if err := os.Remove(k.dir + ".ballast"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.Fatal(err)
	}
}

func (k *killing) fill() {
	if k.full {
		os.WriteFile(k.dir+".ballast", make([]byte, ballast), 0o600) // as far as there is room
	}
}

// account is what one client was told by the emulator, until it died.
type account struct {
	kind     string
	seed     uint64
	full     bool
	requests []*told
	answers  int
	resets   []*resetting
}

// told is what the client was told of one request.
type told struct {
	made
	filename string
	sent     int      // dumps were sent up to this number …
	taken    int      // … and taken up to this one; dump 0 is none
	granted  bool     // an SFTP access
	states   []string // those that the request may be in; nil is whatever follows process
}

// resetting is a reset of the requests of one contract.
type resetting struct {
	requests        []*told
	asked, answered bool
}

// errRefused is a call that was refused where that may be.
var errRefused = errors.New("refused")

// dump is the request's nth dump. Its size grows.
func (r *told) dump(n int) []byte { return pattern(200_000+n*1000, uint64(r.id)*100+uint64(n)) }

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

func (a *account) create(w *wire, contract string) (*told, error) {
	filename := fmt.Sprintf("%d_%d.dump", a.seed, len(a.requests))
	answered, err := a.call(w, "create?"+sample("filename", filename, "contract", contract).Encode(), nil)
	if err != nil {
		return nil, err
	}
	r := &told{made: made{answered.Request.ID, answered.Request.Key}, filename: filename, states: []string{"draft"}}
	a.requests = append(a.requests, r)
	return r, nil
}

func (a *account) upload(w *wire, r *told) error {
	r.sent++
	_, err := a.call(w, "upload?"+r.params().Encode(), r.dump(r.sent))
	if err == nil {
		r.taken = r.sent
	}
	return err
}

// becomes makes a call after which the request is in other states: until it is answered, in those and in the
// ones before.
func (a *account) becomes(w *wire, r *told, states []string, call func() error) error {
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
	return a.becomes(w, r, nil, func() error {
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
	a.requests = append(a.requests, &told{
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
		err = a.becomes(w, r, []string{"testing"}, func() error {
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
		return a.becomes(w, r, []string{"delivered"}, func() error {
			_, err := a.call(w, "skip_test?"+r.params().Encode(), nil)
			return err
		})
	case 1:
		return a.becomes(w, r, []string{"done"}, func() error {
			_, err := w.try("POST", control+"release", nil)
			return err
		})
	case 2:
		return a.becomes(w, r, []string{"invalid"}, func() error {
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

// check holds the next life against what was told in the last.
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
		if r.states != nil && !slices.Contains(r.states, state) && !(slices.Contains(r.states, "!draft") && state != "draft") {
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
			w.Errorf("request %d of %s: %s with %d bytes, which are neither dump %d nor %d", r.id, a.kind, resp.Status, len(got), r.taken, r.sent)
		}
		if r.granted && state == "draft" && !a.full { // which needs room
			a.resume(w, r)
		}
	}
}

// checkResets holds that a reset which was answered was done, one that was not is done as a whole or not at
// all, and returns what is gone.
func (a *account) checkResets(w *wire) (gone map[*told]bool) {
	gone = make(map[*told]bool)
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

// A kill -9 while the emulator starts: the next start succeeds wherever the first would have, is refused
// wherever that would have been, and files of other people stay as they are.
func TestKill_starting(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for name, tc := range map[string]struct {
		make    func(t *testing.T) string
		refused bool
	}{
		"no directory": {func(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }, false},
		"empty":        {func(t *testing.T) string { return t.TempDir() }, false},
		"ours":         {kept, false},
		"earlier":      {unmarked, false},
		"foreign": {func(t *testing.T) string {
			dir := t.TempDir()
			plant(t, dir, map[string]string{"known_hosts": "host ssh-rsa AAAA\n", "dumps/1": "one", "letter.txt": "Dear aunt,"})
			return dir
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range (kills(t) + 4) / 5 {
				dir := tc.make(t)
				before := make(map[string]string)
				if tc.refused {
					before = inventory(t, dir)
				}
				cmd := childCommand(t, "serve", dir)
				cmd.Stderr = nil
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				select {
				case <-time.After(time.Duration(rand.IntN(60_000)) * time.Microsecond):
				case <-t.Context().Done():
				}
				cmd.Process.Kill()
				cmd.Wait()
				if tc.refused {
					if d := cmp.Diff(before, inventory(t, dir)); d != "" {
						t.Errorf("files have changed (-before +after):\n%s", d)
					}
					continue
				}
				c := startChild(t, "serve", dir)
				m := c.create()
				c.upload(m, pattern(1000, 1))
				c.stop()
				for path := range inventory(t, dir) {
					if strings.Contains(path, ".upgrademock-") || strings.HasSuffix(path, ".part") {
						t.Errorf("%s is left", path)
					}
				}
			}
		})
	}
}
