package platform

import (
	"errors"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// A handle is good for its request as long as that is there, and not longer. With another key there is none.
func TestFind(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	for name, tc := range map[string]struct {
		change func(*Ref)
		found  bool
	}{
		"its own":                 {func(*Ref) {}, true},
		"another's key":           {func(ref *Ref) { ref.Key = noKey }, false},
		"a request there is none": {func(ref *Ref) { ref.ID = "1" }, false},
		"no id":                   {func(ref *Ref) { ref.ID = "0" + ref.ID }, false},
		"no key":                  {func(ref *Ref) { ref.Key = "" }, false},
	} {
		ref := create(t, p)
		tc.change(&ref)
		r, fails := p.Find(ref)
		if (r != nil) != tc.found || (fails == nil) != tc.found {
			t.Errorf("%s: found %v, %v", name, r != nil, fails)
		}
	}
}

func TestRequest_forgotten(t *testing.T) {
	t.Parallel()
	ended := 0
	script := scenario.Default()
	script.Faults = []scenario.Fault{{On: scenario.OnStatus, Reset: true}}
	p := open(t, t.TempDir(), func(o *Options) {
		o.Script = func(CreateParams) *scenario.Scenario { return script }
		o.AccessEnded = func(int64) { ended++ }
	})
	ref := create(t, p)
	if fails := upload(t, p, ref, []byte("dump")); fails != nil {
		t.Fatal(fails)
	}
	login := share(t, p, ref)
	r := find(t, p, ref)
	u, err := p.NewUpload()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Reset(func(int64, string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	_, status := r.Status()
	_, process := r.Process()
	_, skip := r.SkipTest()
	_, uploaded := r.Upload(u)
	_, granted := r.Grant([]string{theKey})
	for name, fails := range map[string]Failures{
		"status": status, "process": process, "skip_test": skip, "upload": uploaded, "grant": granted,
		"may upload": r.MayUpload(), "may grant": r.MayGrant(),
	} {
		if len(fails) != 1 || fails[0].Reason != ReasonRequestNotFound {
			t.Errorf("%s: %v, want %s", name, fails, ReasonRequestNotFound)
		}
	}
	_, force := r.Force(StateTesting, nil)
	_, release := r.Release()
	if !errors.Is(force, fs.ErrNotExist) || !errors.Is(release, fs.ErrNotExist) {
		t.Errorf("force: %v, release: %v", force, release)
	}
	_, original := r.Original()
	_, upgraded := r.Upgraded()
	if !errors.Is(original, ErrNoContent) || !errors.Is(upgraded, ErrNoContent) {
		t.Errorf("original: %v, upgraded: %v", original, upgraded)
	}
	if fault := r.Pick(scenario.OnStatus); fault != nil {
		t.Errorf("a fault was picked: %+v", fault)
	}
	if _, err := login.Stat(); !errors.Is(err, ErrAccessEnded) {
		t.Errorf("stat: %v", err)
	}
	if r.Revoke(); ended != 1 {
		t.Errorf("the end of the access was reported %d times", ended)
	}
	noLeaks(t, p)
}

// A change of one request does not change another, also if it cannot be written to disk.
func TestRequest_apart(t *testing.T) {
	t.Parallel()
	script := scenario.Default()
	script.Faults = []scenario.Fault{{On: scenario.OnStatus, Times: 1, Reset: true}}
	p := open(t, t.TempDir(), func(o *Options) {
		o.Script = func(CreateParams) *scenario.Scenario { return script }
	})
	touched, faulted, other := create(t, p), create(t, p), create(t, p)
	before := find(t, p, other).Snapshot()
	if fails := upload(t, p, touched, []byte("dump")); fails != nil {
		t.Fatal(fails)
	}
	share(t, p, touched)
	if err := p.store.close(); err != nil { // from here on nothing can be
		t.Fatal(err)
	}
	find(t, p, touched).Revoke()
	for _, ref := range []Ref{faulted, other} {
		if fault := find(t, p, ref).Pick(scenario.OnStatus); fault == nil {
			t.Errorf("no fault was picked for request %s, as if it had been before", ref.ID)
		}
	}
	if s := find(t, p, touched).Snapshot(); !s.HasDump || s.AccessExpires != nil {
		t.Errorf("the first request: dump %v, access until %v", s.HasDump, s.AccessExpires)
	}
	before.FaultsUsed = 1 // the one that was picked
	after := find(t, p, other).Snapshot()
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("the other request has changed (-before +after):\n%s", d)
	}
}

// What a request was made with is read without the lock, while things become of it.
func TestRequest_meanwhile(t *testing.T) {
	t.Parallel()
	script := scenario.Default()
	script.Upgraded.Built = true
	p := open(t, t.TempDir(), func(o *Options) {
		o.Script = func(CreateParams) *scenario.Scenario { return script }
	})
	ref := create(t, p)
	if fails := upload(t, p, ref, []byte("dump")); fails != nil {
		t.Fatal(fails)
	}
	if _, fails := find(t, p, ref).Process(); fails != nil {
		t.Fatal(fails)
	}
	if _, err := find(t, p, ref).Force(StateDone, nil); err != nil {
		t.Fatal(err)
	}
	r := find(t, p, ref)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			c, err := r.UpgradedSQL()
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
		wg.Go(func() {
			if _, fails := r.Grant([]string{theKey}); fails != nil {
				t.Error(fails)
			}
		})
	}
	wg.Wait()
}

// What a poll was answered is still true after a kill, also when the clock of the next process is behind: one that
// stands begins anew.
func TestStatus_keepsWhatItAnswered(t *testing.T) {
	t.Parallel()
	began := time.Date(2015, 9, 9, 7, 13, 49, 0, time.UTC)
	now := began
	script := &scenario.Scenario{Name: "x",
		Steps: []scenario.Step{{State: "processing", For: scenario.For{Duration: time.Hour}}, {State: StateDone}}}
	p := open(t, t.TempDir(), func(o *Options) {
		o.Now = func() time.Time { return now }
		o.Script = func(CreateParams) *scenario.Scenario { return script }
	})
	ref := create(t, p)
	if fails := upload(t, p, ref, []byte("dump")); fails != nil {
		t.Fatal(fails)
	}
	if _, fails := find(t, p, ref).Process(); fails != nil {
		t.Fatal(fails)
	}
	now = began.Add(2 * time.Hour)
	check := func(p *Platform) {
		t.Helper()
		s, fails := find(t, p, ref).Status()
		if fails != nil || s.State != StateDone {
			t.Errorf("%q, %v; want %s", s.State, fails, StateDone)
		}
	}
	check(p)
	check(killed(t, p, func(o *Options) { o.Now = func() time.Time { return began } }))
}
