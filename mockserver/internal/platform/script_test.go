package platform

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func scriptParams() ScriptParams {
	return ScriptParams{
		Contract: "M1", Target: "17.0", Aim: "test", Actuator: "cli", APIVersion: "0.2",
		SSHKey: string(fixtures.PublicKey("rsa")), EnvVars: []string{"A=1", "B=x y"},
	}
}

// createScript makes a request of the script API.
func createScript(tb testing.TB, p *Platform) *Request {
	tb.Helper()
	s, fails := p.CreateScript(scriptParams())
	if fails != nil {
		tb.Fatal(fails)
	}
	return token(tb, p, s.Key)
}

func token(tb testing.TB, p *Platform, token string) *Request {
	tb.Helper()
	r, fails := p.FindToken(token)
	if fails != nil {
		tb.Fatal(fails)
	}
	return r
}

var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{57}$`)

func TestCreateScript(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), func(o *Options) { o.Contracts = []string{"M1*", "M123456-*"} })
	create(t, p)
	s, fails := p.CreateScript(scriptParams())
	if fails != nil {
		t.Fatal(fails)
	}
	if !tokenForm.MatchString(s.Key) {
		t.Errorf("the token is %q", s.Key)
	}
	got := Snapshot{
		ID: s.ID, API: s.API, State: s.State, Contract: s.Contract, Target: s.Target, Aim: s.Aim, Actuator: s.Actuator,
		APIVersion: s.APIVersion, EnvVars: s.EnvVars, PGCompatible: s.PGCompatible,
	}
	want := Snapshot{
		ID: firstID + 1, API: APIScript, State: StateNew, Contract: "M1", Target: "17.0", Aim: "test", Actuator: "cli",
		APIVersion: "0.2", EnvVars: []string{"A=1", "B=x y"}, PGCompatible: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for name, tt := range map[string]struct {
		change func(*ScriptParams)
		says   string // part of the message; "" is none
	}{
		"a glob":              {func(s *ScriptParams) { s.Contract = "M19" }, ""},
		"blanks":              {func(s *ScriptParams) { s.Contract, s.Target, s.Aim = " M1\n", " 17.0", "test " }, ""},
		"production":          {func(s *ScriptParams) { s.Aim = "production" }, ""},
		"no api_version":      {func(s *ScriptParams) { s.APIVersion, s.Actuator, s.EnvVars = "", "", nil }, ""},
		"saas":                {func(s *ScriptParams) { s.Target = "saas~17.4" }, ""},
		"ed25519":             {func(s *ScriptParams) { s.SSHKey = string(fixtures.PublicKey("ed25519")) }, ""},
		"ecdsa":               {func(s *ScriptParams) { s.SSHKey = string(fixtures.PublicKey("ecdsa")) }, ""},
		"CRLF":                {func(s *ScriptParams) { s.SSHKey = strings.TrimSpace(s.SSHKey) + "\r\n" }, ""},
		"no contract":         {func(s *ScriptParams) { s.Contract = " " }, "The contract is missing: give the number"},
		"another contract":    {func(s *ScriptParams) { s.Contract = "X1" }, `There is no contract "X1": check`},
		"the sample contract": {func(s *ScriptParams) { s.Contract = "M123456-abcxyz" }, "There is no contract"},
		"no target":           {func(s *ScriptParams) { s.Target = "" }, "The target is missing"},
		"no point":            {func(s *ScriptParams) { s.Target = "18" }, `"18" is no version to upgrade to: name one`},
		"a fruit":             {func(s *ScriptParams) { s.Target = "banana" }, `"banana" is no version`},
		"the first":           {func(s *ScriptParams) { s.Target = "13.0" }, ""},
		"before the script":   {func(s *ScriptParams) { s.Target = "12.0" }, `"12.0" is no version`},
		"long ago":            {func(s *ScriptParams) { s.Target = "8.0" }, `"8.0" is no version to upgrade to: name one`},
		"saas long ago":       {func(s *ScriptParams) { s.Target = "saas-6" }, "is no version"},
		"zero":                {func(s *ScriptParams) { s.Target = "0.0" }, "is no version"},
		"a patch":             {func(s *ScriptParams) { s.Target = "17.0.1" }, "is no version"},
		"no aim":              {func(s *ScriptParams) { s.Aim = "" }, "choose test or production"},
		"another aim":         {func(s *ScriptParams) { s.Aim = "rehearsal" }, `"rehearsal": choose test or production`},
		"no key":              {func(s *ScriptParams) { s.SSHKey = "" }, "The SSH key cannot be used: there is none"},
		"words":               {func(s *ScriptParams) { s.SSHKey = "my key" }, "neither a public key"},
		"two keys":            {func(s *ScriptParams) { s.SSHKey += string(fixtures.PublicKey("ecdsa")) }, "several lines"},
		"a comment before it": {func(s *ScriptParams) { s.SSHKey = "# mine\n" + s.SSHKey }, "several lines"},
		"only a comment":      {func(s *ScriptParams) { s.SSHKey = "# mine" }, "no public key at all"},
		"private": {func(s *ScriptParams) { s.SSHKey = string(fixtures.Key("ed25519")) },
			"this is a private key"},
		"a long key": {func(s *ScriptParams) { s.SSHKey += strings.Repeat("x", 20_000) },
			"which has less than 16384"},
		"a megabyte of variables": {func(s *ScriptParams) { s.EnvVars = []string{strings.Repeat("x", 1<<20)} },
			"The environment variables have 1048577 bytes: send fewer"},
		"many empty variables": {func(s *ScriptParams) { s.EnvVars = make([]string, 100_000) }, "send fewer"},
		"a long actuator":      {func(s *ScriptParams) { s.Actuator = strings.Repeat("x", 200) }, "send a short one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			params := scriptParams()
			tt.change(&params)
			s, fails := p.CreateScript(params)
			switch {
			case tt.says == "" && (fails != nil || s.State != StateNew):
				t.Errorf("%+v, %v", s, fails)
			case tt.says != "" && (len(fails) != 1 || !strings.Contains(fails[0].Message, tt.says)):
				t.Errorf("%+v, want a message with %q", fails, tt.says)
			}
			for _, f := range fails {
				if strings.Contains(f.Message+f.Why, "PRIVATE") || len(f.Message) > 400 || f.Why == "" {
					t.Errorf("%+v", f)
				}
			}
		})
	}
	params := ScriptParams{Contract: "X", Target: "y", Aim: "z", SSHKey: "k"}
	if _, fails := p.CreateScript(params); len(fails) != 4 {
		t.Errorf("%d failures, want all four: %v", len(fails), fails)
	}
}

// Where targets are given, they are the only ones.
func TestCreateScript_targets(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), func(o *Options) { o.ScriptTargets, o.MaxRequests = []string{"18.0", "19.0"}, 1 })
	params := scriptParams()
	_, fails := p.CreateScript(params)
	if want := `There are no upgrades to "17.0": choose one of 18.0, 19.0`; len(fails) != 1 || fails[0].Message != want {
		t.Errorf("%v, want %s", fails, want)
	}
	params.Target = "19.0"
	if _, fails := p.CreateScript(params); fails != nil {
		t.Error(fails)
	}
	if _, fails := p.CreateScript(params); len(fails) != 1 || fails[0].Reason != ReasonServerError {
		t.Errorf("more requests than there may be: %v", fails)
	}
}

// Tokens are the same for the same seed, and no two of them are the same.
func TestCreateScript_seed(t *testing.T) {
	t.Parallel()
	var made [2][]string
	for i := range made {
		p := open(t, t.TempDir(), func(o *Options) { o.Seed = 7 })
		for range 200 {
			key := createScript(t, p).Key()
			if !tokenForm.MatchString(key) {
				t.Errorf("the token is %q", key)
			}
			made[i] = append(made[i], key)
		}
	}
	if diff := cmp.Diff(made[0], made[1]); diff != "" {
		t.Errorf("the tokens differ:\n%s", diff)
	}
	seen := make(map[string]bool)
	for _, key := range made[0] {
		seen[key] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d different tokens of 200", len(seen))
	}
}

// A token finds its request, and all that do not fit get one answer. Neither API finds the requests of the other.
func TestFindToken(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	r, other := createScript(t, p), create(t, p)
	if got := token(t, p, r.Key()); got != r {
		t.Errorf("found request %d, want %d", got.ID(), r.ID())
	}
	if r.API() != APIScript || find(t, p, other).API() != APIDatabase || find(t, p, other).SSHKey() != "" {
		t.Errorf("request %d is of the API %s", r.ID(), r.API())
	}
	if len(r.SSHKey()) < 300 || !strings.Contains(string(fixtures.PublicKey("rsa")), r.SSHKey()) {
		t.Errorf("the key is %q", r.SSHKey())
	}
	var answers []Failures
	for _, wrong := range []string{
		"", "x", r.Key()[1:], r.Key() + "x", " " + r.Key(), other.Key, strings.Repeat("x", 1<<20),
	} {
		found, fails := p.FindToken(wrong)
		if found != nil || len(fails) != 1 {
			t.Errorf("%.20q: %v, %v", wrong, found, fails)
		}
		answers = append(answers, fails)
	}
	for _, a := range answers {
		if diff := cmp.Diff(answers[0], a); diff != "" {
			t.Errorf("the answers differ:\n%s", diff)
		}
	}
	ref := Ref{ID: fmt.Sprint(r.ID()), Key: r.Key()}
	if _, fails := p.Find(ref); len(fails) != 1 || fails[0].Reason != ReasonRequestNotFound {
		t.Errorf("the database API found it: %v", fails)
	}
	if _, err := p.Share(SFTPUser(r.ID()), r.SSHKey()); err == nil {
		t.Error("an SFTP login found it")
	}
	if err := p.Reset(func(id int64, _ string) bool { return id == r.ID() }); err != nil {
		t.Fatal(err)
	}
	_, fails := p.FindToken(r.Key())
	if diff := cmp.Diff(answers[0], fails); diff != "" {
		t.Errorf("after a reset (-want +got)\n%s", diff)
	}
	_, fails = r.Status()
	if diff := cmp.Diff(answers[0], fails); diff != "" {
		t.Errorf("a handle after a reset (-want +got)\n%s", diff)
	}
}

// A request without a script of its own is new, pending for one poll, in progress for one poll, and done; a script with
// nothing but faults has these states, too. Each API has its own.
func TestScriptStates(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]*scenario.Scenario{
		"default": scenario.DefaultScript(), "faults alone": {Faults: []scenario.Fault{{On: scenario.OnStatus}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changes []string
			var ended int
			p := open(t, t.TempDir(), func(o *Options) {
				o.Script = func(CreateParams) *scenario.Scenario { return script }
				o.Changed = func(c Change) { changes = append(changes, c.From+" "+c.To) }
				o.TransferEnded = func(int64) { ended++ }
			})
			r := createScript(t, p)
			poll := func(want string) {
				t.Helper()
				if s, fails := r.Status(); fails != nil || s.State != want {
					t.Errorf("the state is %s, want %s (%v)", s.State, want, fails)
				}
			}
			poll(StateNew)
			poll(StateNew)
			rsync(t, r, map[string]string{"origin.sql": "SELECT 1;"})
			if s, fails := r.Process(); fails != nil || s.State != StatePending || !s.PGCompatible {
				t.Errorf("%s, %v", s.State, fails)
			}
			poll(StatePending)
			poll(StateProgress)
			poll(StateDone)
			poll(StateDone)
			if diff := cmp.Diff([]string{"new pending", "pending progress", "progress done"}, changes); diff != "" {
				t.Error(diff)
			}
			if ended == 0 {
				t.Error("TransferEnded was not called")
			}
			q := find(t, p, create(t, p))
			if got := q.Snapshot().State; got != StateDraft {
				t.Errorf("a request of the database API is %s", got)
			}
		})
	}
}

// What a step sets is in the status from then on.
func TestScriptSet(t *testing.T) {
	t.Parallel()
	script := &scenario.Scenario{Steps: []scenario.Step{
		{State: StatePending, For: scenario.For{Polls: 1}, Set: map[string]any{"is_pg_version_compatible": false}},
		{State: "odd", For: scenario.For{Polls: 1}},
		{State: StateFailed, Set: map[string]any{"reason": "a view broke", "archived": true}},
	}}
	p := open(t, t.TempDir(), func(o *Options) { o.Script = func(CreateParams) *scenario.Scenario { return script } })
	r := createScript(t, p)
	rsync(t, r, map[string]string{"origin.sql": "SELECT 1;"})
	if s, fails := r.Process(); fails != nil || s.PGCompatible || s.State != StatePending {
		t.Errorf("%+v, %v", s, fails)
	}
	for _, want := range []string{StatePending, "odd", StateFailed} {
		s, fails := r.Status()
		failed := want == StateFailed
		if fails != nil || s.State != want || (s.Reason == "a view broke") != failed || s.Archived != failed {
			t.Errorf("%+v, %v; want %s", s, fails, want)
		}
	}
}

// Process is possible in new with a complete dump, answers the same while the upgrade is under way, and fails at its
// end.
func TestProcessScript(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), func(o *Options) {
		o.Script = func(CreateParams) *scenario.Scenario { return scenario.DefaultScript() }
	})
	r := createScript(t, p)
	refused := func(says string) {
		t.Helper()
		_, fails := r.Process()
		if len(fails) != 1 || !strings.Contains(fails[0].Message, says) || fails[0].Why == "" {
			t.Errorf("%+v, want a message with %q", fails, says)
		}
	}
	refused("nothing has been uploaded")
	u, err := r.BeginUpload()
	if err != nil {
		t.Fatal(err)
	}
	refused("a session of rsync still writes it")
	end(t, u, false)
	refused("the session of rsync broke, and was not continued")
	rsync(t, r, map[string]string{"origin.dump/1.dat": "x", "origin.dump/2.dat": "y"})
	refused("the directory origin.dump has no toc.dat")
	rsync(t, r, map[string]string{"origin.sql": ""})
	refused("the uploaded dump is empty")
	rsync(t, r, map[string]string{"origin.sql": "SELECT 1;"})
	first, fails := r.Process()
	if fails != nil {
		t.Fatal(fails)
	}
	again, fails := r.Process()
	first.Elapsed, again.Elapsed = 0, 0
	if diff := cmp.Diff(first, again); diff != "" || fails != nil {
		t.Errorf("a second process: %v (-first +second)\n%s", fails, diff)
	}
	for range 3 {
		r.Status()
	}
	refused("is in state done, and is not upgraded again")
	for _, state := range []string{StateFailed, StateCancelled} {
		if _, err := r.Force(state, nil); err != nil {
			t.Error(err)
		}
		refused("begin a new upgrade")
	}
}

// Uploads are for new, downloads for done.
func TestMayTransfer(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	for state, want := range map[string][2]string{
		StateNew:       {"", "wait for that"},
		StatePending:   {"begin a new upgrade", "wait for that"},
		StateProgress:  {"begin a new upgrade", "wait for that"},
		StateDone:      {"begin a new upgrade", ""},
		StateFailed:    {"begin a new upgrade", "has nothing to download"},
		StateCancelled: {"begin a new upgrade", "has nothing to download"},
		"odd":          {"begin a new upgrade", "wait for that"},
	} {
		r := createScript(t, p)
		rsync(t, r, map[string]string{"origin.sql": "SELECT 1;"})
		if state != StateNew {
			if _, err := r.Force(state, nil); err != nil {
				t.Fatal(err)
			}
		}
		for i, kind := range []string{Uploading, Downloading} {
			fails := r.MayTransfer(kind)
			if want[i] == "" && fails != nil ||
				want[i] != "" && (len(fails) != 1 || !strings.Contains(fails[0].Message, want[i])) {
				t.Errorf("%s in %s: %v, want %q", kind, state, fails, want[i])
			}
		}
		fails := r.MayTransfer("sideways")
		if len(fails) != 1 || !strings.Contains(fails[0].Message, "choose upload or download") {
			t.Errorf("%v", fails)
		}
	}
}

// Requests of the script API are put into states from outside as others are, and begin in new.
func TestForceScript(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	r := createScript(t, p)
	for _, tt := range []struct{ state, says string }{
		{StateNew, "is in state new already"},
		{StateDone, "has no dump"},
		{StatePending, ""},
		{StateNew, "no request goes back to new"},
		{StateFailed, ""},
	} {
		s, err := r.Force(tt.state, map[string]any{"reason": "so"})
		if tt.says == "" && (err != nil || s.State != tt.state || s.Reason != "so") {
			t.Errorf("%+v, %v", s, err)
		}
		if tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%v, want %q", err, tt.says)
		}
	}
}
