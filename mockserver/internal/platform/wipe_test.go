package platform

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// A wipe takes the dumps of all requests of the contract, cancels those under way, and is there after a kill. A
// second one finds nothing.
func TestWipe(t *testing.T) {
	t.Parallel()
	var ended []int64
	p := open(t, t.TempDir(), following(scenario.DefaultScript()), func(o *Options) {
		o.TransferEnded = func(id int64) { ended = append(ended, id) }
	})
	var ids []int64
	make := func(state string) *Request {
		r := inState(t, p, state)
		ids = append(ids, r.ID())
		return r
	}
	fresh, pending, progress, done := make(StateNew), make(StatePending), make(StateProgress), make(StateDone)
	if _, release, err := done.Results(); err != nil {
		t.Fatal(err)
	} else if err := release(); err != nil {
		t.Fatal(err)
	}
	failed := make(StateNew)
	if _, err := failed.Force(StateFailed, nil); err != nil {
		t.Fatal(err)
	}
	empty := createScript(t, p)
	ids = append(ids, empty.ID())
	uploading := createScript(t, p)
	ids = append(ids, uploading.ID())
	u := begin(t, uploading)
	sent := write(t, u, map[string]string{"origin.sql": "SELECT 1;"})
	others := scriptParams()
	others.Contract = "M2"
	s, fails := p.CreateScript(others)
	if fails != nil {
		t.Fatal(fails)
	}
	other := token(t, p, s.Key)
	rsync(t, other, map[string]string{"origin.sql": "SELECT 1;"})
	older := create(t, p) // of the same contract, over the database API
	if fails := upload(t, p, older, []byte("dump")); fails != nil {
		t.Fatal(fails)
	}
	for name, tt := range map[string]struct{ contract, token string }{
		"no token": {"M1", ""}, "a wrong token": {"M1", "x"}, "another contract's token": {"M1", other.Key()},
		"no contract": {"", fresh.Key()}, "the contract of others": {"M2", fresh.Key()},
	} {
		wiped, notWiped, fails := p.Wipe(tt.contract, tt.token)
		if diff := cmp.Diff(noToken()[0].Message, messages(fails)); diff != "" || wiped != nil || notWiped != nil {
			t.Errorf("%s: %v %v (-want +got)\n%s", name, wiped, notWiped, diff)
		}
	}
	wiped, notWiped, fails := p.Wipe(" M1", done.Key())
	if diff := cmp.Diff(ids, wiped); diff != "" || notWiped != nil || fails != nil {
		t.Errorf("%v, %v (-want +got)\n%s", notWiped, fails, diff)
	}
	for _, id := range ids {
		if !slices.Contains(ended, id) {
			t.Errorf("TransferEnded was not called for %d", id)
		}
	}
	if _, err := ending(u, true, sent); err == nil {
		t.Error("a session that ended after the wipe made a dump")
	}
	if wiped, notWiped, fails := p.Wipe("M1", fresh.Key()); wiped != nil || notWiped != nil || fails != nil {
		t.Errorf("a second wipe: %v, %v, %v", wiped, notWiped, fails)
	}
	p.background.Wait()
	noLeaks(t, p)
	states := map[*Request]string{
		fresh: StateNew, pending: StateCancelled, progress: StateCancelled, done: StateDone, failed: StateFailed,
	}
	for name, q := range map[string]*Platform{"now": p, "after a kill": killed(t, p)} {
		for r, state := range states {
			expectWiped(t, name, token(t, q, r.Key()), state)
		}
		if s := token(t, q, other.Key()).Snapshot(); !s.HasDump || s.Archived {
			t.Errorf("%s: another contract's: %+v", name, s)
		}
		if got := string(original(t, q, older)); got != "dump" {
			t.Errorf("%s: the database API's dump is %q", name, got)
		}
	}
}

// inState is a request that has come into a state.
func inState(t *testing.T, p *Platform, state string) *Request {
	t.Helper()
	r := createScript(t, p)
	rsync(t, r, map[string]string{"origin.sql": "SELECT 1;"})
	if state == StateNew {
		return r
	}
	if _, fails := r.Process(); fails != nil {
		t.Fatal(fails)
	}
	for r.Snapshot().State != state {
		r.Status()
	}
	return r
}

// expectWiped checks that a request is in the state, counts as archived, and can be used for nothing.
func expectWiped(t *testing.T, name string, r *Request, state string) {
	t.Helper()
	s, fails := r.Status()
	if fails != nil || s.State != state || !s.Archived || s.HasDump || s.Upload != nil {
		t.Errorf("%s: %+v, %v; want %s", name, s, fails, state)
	}
	_, upload := r.BeginUpload()
	_, _, results := r.Results()
	_, process := r.Process()
	if upload == nil || !errors.Is(results, ErrNoContent) || process == nil {
		t.Errorf("%s: %s can be used: %v, %v, %v", name, state, upload, results, process)
	}
}

func messages(fails Failures) string {
	text := ""
	for _, f := range fails {
		text += f.Message
	}
	return text
}
