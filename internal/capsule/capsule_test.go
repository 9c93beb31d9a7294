package capsule_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/internal/capsule"
	"github.com/upgrademock/upgrademock/internal/testclient"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPlay: the calls of a capsule get the same answers again, under every built-in scenario.
func TestPlay(t *testing.T) {
	t.Parallel()
	for i, name := range scenario.Builtins() {
		if testprog.Sample() && i%6 != 3 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script, err := scenario.Builtin(name)
			if err != nil {
				t.Fatal(err)
			}
			testclient.Hasten(script)
			sftp, hold := testclient.Wants(script)
			events := testclient.Drive(t, script, sftp, hold)
			var file bytes.Buffer
			made := capsule.New("v1", &mockserver.Options{Scenarios: []*scenario.Scenario{script}}, events)
			if err := made.Write(&file); err != nil {
				t.Fatal(err)
			}
			if file.Len() > 256<<10 {
				t.Errorf("the capsule has %d bytes", file.Len())
			}
			c, err := capsule.Read(&file)
			if err != nil {
				t.Fatal(err)
			}
			now, err := c.Play(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			difference, n := capsule.Compare(c.Journal, now)
			if difference != nil || n == 0 {
				t.Errorf("%d are the same, then %v", n, difference)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	status := func(request int64, seconds int, state string) journal.Event {
		return journal.Event{On: "status", Request: request, Status: 200, State: state,
			At: time.Unix(int64(seconds), 0)}
	}
	then := []journal.Event{status(7, 0, "pending"), status(7, 1, "pending"), status(7, 2, "done")}
	for name, tc := range map[string]struct {
		now  []journal.Event
		want string
		n    int
	}{
		"the same, of another number and at other times": {
			now: []journal.Event{status(9, 50, "pending"), status(9, 90, "done"), status(9, 91, "done")}, n: 2,
		},
		"another answer": {
			now:  []journal.Event{status(9, 50, "pending"), status(9, 90, "invalid")},
			want: "request 1, call 2: then status 200 done; now status 200 invalid", n: 1,
		},
		"too few": {
			now:  []journal.Event{status(9, 50, "pending")},
			want: "request 1, call 2: then status 200 done; now nothing more", n: 1,
		},
		"another request": {
			now:  append(append([]journal.Event{}, then...), status(9, 50, "pending")),
			want: "request 2, call 1: then nothing more; now status 200 pending", n: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			difference, n := capsule.Compare(then, tc.now)
			got := ""
			if difference != nil {
				got = difference.String()
			}
			if got != tc.want || n != tc.n {
				t.Errorf("got %q after %d, want %q after %d", got, n, tc.want, tc.n)
			}
		})
	}
}

// TestShrink: what has nothing to do with the failure goes.
func TestShrink(t *testing.T) {
	t.Parallel()
	s, err := scenario.Parse("", []byte(`
name: big
when: {api: database, aim: test}
steps:
  - {state: pending, for: 3 polls, set: {estimated_time: "00:30"}}
  - {state: processing, for: 2h}
  - {state: testing, for: released}
  - {state: done, set: {filestore: true}}
faults:
  - {on: upload, times: 1, after: 64KiB, reset: true}
  - {on: status, skip: 4, times: 9, http: {status: 502, body: no}}
  - {on: download, times: 1, cut: true}
upgraded: built
`))
	if err != nil {
		t.Fatal(err)
	}
	got, tries, err := capsule.Shrink(s, 200, func(s *scenario.Scenario) (bool, error) {
		for _, f := range s.Faults { // the client gives up at three errors in a row
			if f.HTTP != nil && (f.Times == 0 || f.Times >= 3) {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil || tries == 0 || tries >= 200 {
		t.Fatalf("%d tries, %v", tries, err)
	}
	want := &scenario.Scenario{Name: "big", When: scenario.When{"api": "database"},
		Faults: []scenario.Fault{{On: "status", Times: 3, HTTP: &scenario.HTTP{Status: 502, Body: "no"}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wrong := errors.New("wrong")
	if _, _, err := capsule.Shrink(s, 5, func(*scenario.Scenario) (bool, error) { return false, wrong }); err != wrong {
		t.Errorf("got %v", err)
	}
}

func TestRead_bad(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":    "at byte 0: unexpected end of JSON input",
		"{":   "at byte 1: unexpected end of JSON input",
		"{}":  "wanted a capsule",
		"[1]": "wanted a capsule",
		`{"upgrademock_capsule":9, "version": "v7"}`:          "it has format 9, of upgrademock v7, and format 1 is read here",
		`{"upgrademock_capsule":1,"journal":7}`:               "it is damaged",
		`{"upgrademock_capsule":1,"scenarios":[null]}`:        "it is damaged",
		`{"upgrademock_capsule":1,"scenarios":[{"step":[]}]}`: "unknown key `step`",
	} {
		if _, err := capsule.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"upgrademock_capsule":1,"clock":"virtual","scenarios":[{"name":"a","steps":[{"state":"done"}]}],` +
		`"journal":[{"seq":1,"on":"status","status":200}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := capsule.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		if d, _ := capsule.Compare(c.Journal, c.Journal); d != nil {
			t.Errorf("a journal differs from itself: %v", d)
		}
		if err := c.Write(&bytes.Buffer{}); err != nil {
			t.Error(err)
		}
	})
}
