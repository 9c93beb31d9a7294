package platform

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// A call that has been told whose it is finds that request as long as it is there, and not longer. With another key it never does.
func TestIdentify(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	for name, tc := range map[string]struct {
		change func(*Ref)
		forget bool
		id     bool // it is told whose it is
		found  bool
	}{
		"its own":                 {func(*Ref) {}, false, true, true},
		"forgotten meanwhile":     {func(*Ref) {}, true, true, false},
		"another's key":           {func(ref *Ref) { ref.Key = noKey }, false, false, false},
		"a request there is none": {func(ref *Ref) { ref.ID = "1" }, false, false, false},
	} {
		ref := create(t, p)
		tc.change(&ref)
		id, _, _, _ := p.Identify(&ref, scenario.OnStatus)
		if tc.forget {
			if err := p.Reset(func(other int64, _ string) bool { return other == id }); err != nil {
				t.Fatal(err)
			}
		}
		fails := p.Status(ref, new(Snapshot))
		if (id != 0) != tc.id || (fails == nil) != tc.found {
			t.Errorf("%s: identified as %d, then %v", name, id, fails)
		}
		if _, found := p.Look(ref); found != tc.found {
			t.Errorf("%s: seen: %v", name, found)
		}
	}
}

// What becomes of one request is its own affair, also when it cannot be written down.
func TestRequest_apart(t *testing.T) {
	t.Parallel()
	script := scenario.Default()
	script.Faults = []scenario.Fault{{On: scenario.OnStatus, Times: 1, Reset: true}}
	p := open(t, t.TempDir(), func(o *Options) {
		o.Script = func(CreateParams) *scenario.Scenario { return script }
	})
	touched, struck, other := create(t, p), create(t, p), create(t, p)
	before, _ := p.Look(other)
	if fails := upload(t, p, touched, []byte("dump")); fails != nil {
		t.Fatal(fails)
	}
	share(t, p, touched)
	if err := p.store.close(); err != nil { // from here on nothing can be
		t.Fatal(err)
	}
	p.RevokeAccess(firstID)
	for _, ref := range []Ref{struck, other} {
		if _, _, _, fault := p.Identify(&ref, scenario.OnStatus); fault == nil {
			t.Errorf("no fault struck request %s, as if it had had its turn", ref.ID)
		}
	}
	if s, _ := p.Look(touched); !s.HasDump || s.AccessExpires != nil {
		t.Errorf("the first request: dump %v, access until %v", s.HasDump, s.AccessExpires)
	}
	after, _ := p.Look(other)
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
	if _, fails := p.Process(ref); fails != nil {
		t.Fatal(fails)
	}
	if _, err := p.Force(firstID, StateDone, nil); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			c, err := p.UpgradedSQL(ref)
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
		wg.Go(func() {
			if _, fails := p.GrantAccess(ref, []string{theKey}, nil); fails != nil {
				t.Error(fails)
			}
		})
	}
	wg.Wait()
}

// What a poll was answered is still true after a kill, also when the clock of the next process is behind: one that stands begins anew.
func TestStatus_keepsWhatItTold(t *testing.T) {
	t.Parallel()
	began := time.Date(2015, 9, 9, 7, 13, 49, 0, time.UTC)
	now := began
	script := &scenario.Scenario{Name: "x", Steps: []scenario.Step{{State: "processing", For: scenario.For{Duration: time.Hour}}, {State: StateDone}}}
	p := open(t, t.TempDir(), func(o *Options) {
		o.Now = func() time.Time { return now }
		o.Script = func(CreateParams) *scenario.Scenario { return script }
	})
	ref := create(t, p)
	if fails := upload(t, p, ref, []byte("dump")); fails != nil {
		t.Fatal(fails)
	}
	if _, fails := p.Process(ref); fails != nil {
		t.Fatal(fails)
	}
	now = began.Add(2 * time.Hour)
	check := func(p *Platform) {
		t.Helper()
		var s Snapshot
		if fails := p.Status(ref, &s); fails != nil || s.State != StateDone {
			t.Errorf("%q, %v; want %s", s.State, fails, StateDone)
		}
	}
	check(p)
	check(killed(t, p, func(o *Options) { o.Now = func() time.Time { return began } }))
}
