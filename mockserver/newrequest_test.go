package mockserver_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

func TestOptions_Requests(t *testing.T) {
	t.Parallel()
	opts := &mockserver.Options{
		DataDir: t.TempDir(),
		Requests: []mockserver.NewRequest{
			{},
			{Contract: "M654321-fedcba", Target: "7.0", Dump: []byte("-- a dump\n")},
			{Dump: []byte("-- a dump\n"), Process: true},
			{Dump: []byte("-- a dump\n"), State: "done", Set: map[string]any{"estimated_time": "00:30"}},
			{State: "invalid"},
		},
	}
	srv, err := mockserver.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range srv.Requests() {
		estimated, _ := r.Status["estimated_time"].(string)
		got = append(got, strings.TrimSpace(strings.Join([]string{
			r.Contract, r.Status["target"].(string), r.State, r.Status["issue_stage"].(string), estimated,
		}, " ")))
	}
	want := []string{
		"M123456-abcdef 8.0 draft new", "M654321-fedcba 7.0 draft new", "M123456-abcdef 8.0 pending pending",
		"M123456-abcdef 8.0 done done 00:30", "M123456-abcdef 8.0 invalid invalid",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	if again := mockservertest.New(t, opts).Requests(); len(again) != len(want) {
		t.Errorf("%d requests after a restart, want the %d that there were", len(again), len(want))
	}
}

// One of the script API is found by its token, and its dump came as if over rsync.
func TestOptions_Requests_script(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{
		Requests: []mockserver.NewRequest{
			{API: mockserver.APIScript, SSHKey: publicKey("ed25519")},
			{
				API:      mockserver.APIScript,
				Contract: "M654321-fedcba",
				Filename: "db.sql.gz",
				Dump:     fixtures.Dump("openchs.sql.gz"),
				Process:  true,
			},
			{API: mockserver.APIScript, State: "failed", Set: map[string]any{"reason": "broken"}},
			{API: mockserver.APIScript, Dump: []byte("-- a dump\n"), State: "done"},
		},
	})
	want := []string{"new", "pending", "failed broken", "done"}
	for i, r := range w.srv.Requests() {
		if r.API != mockserver.APIScript || len(r.Key) != 58 {
			t.Errorf("request %d: %+v", i, r)
		}
		got := w.rpc("status", "token", r.Key).Result
		text, _ := got["reason"].(string)
		if text = strings.TrimSpace(fmt.Sprint(got["status"], " ", text)); text != want[i] {
			t.Errorf("request %d is %s, want %s", i, text, want[i])
		}
	}
	done := w.srv.Requests()[3]
	if a := w.rpc(
		"transfer/start",
		"token",
		done.Key,
		"transfer_type",
		"download",
	); a.Result["dump_name"] != "upgraded.zip" {
		t.Error(a.Body)
	}
	for _, bad := range []mockserver.NewRequest{
		{API: "scripts"}, {API: mockserver.APIScript, SSHKey: "x"}, {API: mockserver.APIScript, Process: true},
		{API: mockserver.APIScript, Set: map[string]any{"estimated_time": "x"}}, {Set: map[string]any{"archived": true}},
		{API: mockserver.APIScript, Target: "nonsense"},
	} {
		_, err := mockserver.New(&mockserver.Options{Requests: []mockserver.NewRequest{bad}})
		if wrong, ok := errors.AsType[*mockserver.OptionError](err); !ok || wrong.Option != "Requests" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A request that is there from the start is as good as one that was created by a call.
func TestOptions_Requests_goOn(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Requests: []mockserver.NewRequest{{Dump: []byte("-- a dump\n"), Process: true}}})
	r := w.srv.Requests()[0]
	m := made{id: r.ID, key: r.Key}
	var states []string
	for range 3 {
		states = append(states, w.status(m)["state"].(string))
	}
	if diff := cmp.Diff([]string{"pending", "processing", "done"}, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

func TestOptions_Requests_bad(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		request mockserver.NewRequest
		want    string
	}{
		"a target that there is not": {mockserver.NewRequest{Target: "5.0"}, "TARGET:INVALID"},
		"processed without a dump":   {mockserver.NewRequest{Process: true}, "DUMP:MISSING"},
		"done without a dump":        {mockserver.NewRequest{State: "done"}, "has no dump"},
		"a key that there is not": {
			mockserver.NewRequest{State: "testing", Set: map[string]any{"x": 1}}, "unknown status key",
		},
		"too large": {mockserver.NewRequest{Dump: make([]byte, 100)}, "DUMP:TOO_LARGE"},
	} {
		srv, err := mockserver.New(&mockserver.Options{MaxDump: 50, Requests: []mockserver.NewRequest{{}, tc.request}})
		if err == nil {
			srv.Close()
		}
		wrong, ok := errors.AsType[*mockserver.OptionError](err)
		if !ok || wrong.Option != "Requests" || !strings.Contains(err.Error(), "number 2: ") ||
			!strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}
