package platform

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// clock is one that a test moves.
type clock struct{ now time.Time }

func (c *clock) in(o *Options) { o.Now = func() time.Time { return c.now } }

func following(script *scenario.Scenario) func(*Options) {
	return func(o *Options) { o.Script = func(CreateParams) *scenario.Scenario { return script } }
}

func logOf(tb testing.TB, r *Request) string {
	tb.Helper()
	log, size, err := r.Log()
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(io.NewSectionReader(log, 0, size+1))
	if err != nil || int64(len(text)) != size {
		tb.Fatalf("%d bytes of %d, %v", len(text), size, err)
	}
	return string(text)
}

var odooLine = regexp.MustCompile(`^2026-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \d+ ` +
	`(INFO|WARNING|CRITICAL) (\?|db_10534) odoo[a-z.]*: \S`)

// The default log is empty before the upgrade, grows with the clock and the states, never shrinks, and reads like
// that of an Odoo server of the target version. After a kill it is the same.
func TestLog(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		steps []scenario.Step
		last  []string // what the whole log says
	}{
		"default": {nil, []string{
			"Odoo version 17.0", "Loading module base (1/12)", "Loading module website (12/12)", "Modules loaded.",
		}},
		"timed": {[]scenario.Step{
			{State: StatePending, For: scenario.For{Duration: time.Minute}},
			{State: StateProgress, For: scenario.For{Duration: 20 * time.Minute}},
			{State: "odd", For: scenario.For{Duration: 20 * time.Minute}},
			{State: StateDone},
		}, []string{"Loading module base (1/12)", "Loading module website (12/12)", "Modules loaded."}},
		"failed": {[]scenario.Step{
			{State: StateProgress, For: scenario.For{Polls: 2}},
			{State: StateFailed, Set: map[string]any{"reason": "a view broke"}},
		}, []string{"website", "CRITICAL db_10534", "Traceback (most recent call last):", "UpgradeError: a view broke"}},
		"failed at once": {[]scenario.Step{{State: StateFailed}},
			[]string{"Odoo version", "UpgradeError: the upgrade failed"}},
		"cancelled": {[]scenario.Step{{State: StatePending, For: scenario.For{Polls: 1}}, {State: StateCancelled}},
			[]string{"The upgrade was cancelled"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &clock{modified}
			p := open(t, t.TempDir(), following(&scenario.Scenario{Steps: tt.steps}), c.in)
			r := createScript(t, p)
			rsync(t, r, map[string]string{"origin.sql": "SELECT 1;"})
			if got := logOf(t, r); got != "" {
				t.Errorf("before the upgrade: %q", got)
			}
			if _, fails := r.Process(); fails != nil {
				t.Fatal(fails)
			}
			before, grown := "", 0
			for i := 0; !ended(r.Snapshot().State); i++ {
				now := logOf(t, r)
				if !strings.HasPrefix(now, before) || now == "" {
					t.Fatalf("after %q came %q", before, now)
				}
				if len(now) > len(before) {
					grown++
				}
				before, c.now = now, c.now.Add(20*time.Second+time.Millisecond)
				if i%7 == 6 {
					r.Status()
				}
			}
			whole := logOf(t, r)
			if !strings.HasPrefix(whole, before) || grown == 0 && before != "" {
				t.Errorf("it grew %d times, and after %q came %q", grown, before, whole)
			}
			c.now = c.now.Add(time.Hour)
			if diff := cmp.Diff(whole, logOf(t, r)); diff != "" {
				t.Errorf("it grew after the end:\n%s", diff)
			}
			if diff := cmp.Diff(whole, logOf(t, token(t, killed(t, p, c.in), r.Key()))); diff != "" {
				t.Errorf("after a kill (-before +after)\n%s", diff)
			}
			for _, says := range tt.last {
				if !strings.Contains(whole, says) {
					t.Errorf("it does not say %q:\n%s", says, whole)
				}
			}
			expectOdooLog(t, whole)
		})
	}
}

// expectOdooLog checks the lines, and that their times ascend.
func expectOdooLog(t *testing.T, log string) {
	t.Helper()
	last := ""
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "Traceback") || strings.HasPrefix(line, " ") || strings.HasPrefix(line, "odoo.") {
			continue
		}
		if !odooLine.MatchString(line) || line[:23] < last {
			t.Errorf("after %s comes the line %q", last, line)
		}
		last = line[:min(len(line), 23)]
	}
}

// A request that is put from state to state outside its script has a log that only grows, too.
func TestLog_forced(t *testing.T) {
	t.Parallel()
	c := &clock{modified}
	p := open(t, t.TempDir(), c.in)
	r := createScript(t, p)
	before := ""
	for i, state := range []string{StatePending, StateProgress, StateFailed, StateFailed, StateProgress, StateCancelled} {
		if _, err := r.Force(state, map[string]any{"reason": fmt.Sprintf("try %d", i)}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			now := logOf(t, r)
			if !strings.HasPrefix(now, before) {
				t.Fatalf("after %q came %q", before, now)
			}
			before, c.now = now, c.now.Add(time.Second)
		}
	}
	if n := strings.Count(before, "UpgradeError: try 2"); n != 1 {
		t.Errorf("%d failures:\n%s", n, before)
	}
	for range maxReached {
		for _, state := range []string{StateProgress, StateCancelled} {
			if _, err := r.Force(state, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(r.rec.Reached) > maxReached {
		t.Errorf("%d states are remembered", len(r.rec.Reached))
	}
}

// A script's own log comes by its steps, of texts and files; where one step has a log, the others have none.
func TestLog_scripted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "log")
	if err := os.WriteFile(file, []byte("from a file: é\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := &scenario.Scenario{Steps: []scenario.Step{
		{State: StatePending, For: scenario.For{Polls: 1}},
		{State: StateProgress, For: scenario.For{Polls: 1}, Log: &scenario.Log{Text: "one\n"}},
		{State: StateProgress, For: scenario.For{Polls: 1}, Log: &scenario.Log{File: file}},
		{State: StateDone, Log: &scenario.Log{Text: "end"}},
	}}
	p := open(t, t.TempDir(), following(script))
	r := createScript(t, p)
	rsync(t, r, map[string]string{"origin.sql": "SELECT 1;"})
	r.Process()
	const two, whole = "one\nfrom a file: é\n", "one\nfrom a file: é\nend"
	for _, want := range []string{"", "one\n", two, whole, whole} {
		r.Status()
		if got := logOf(t, r); got != want {
			t.Errorf("in %s the log is %q, want %q", r.Snapshot().State, got, want)
		}
	}
	if err := os.Truncate(file, maxLog+1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Log(); err == nil || !strings.Contains(err.Error(), "name a smaller file") {
		t.Errorf("a file that is too large: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Log(); err == nil || !strings.Contains(err.Error(), "the log of step 3 of the scenario") {
		t.Errorf("a file that is missing: %v", err)
	}
}
