package conformance_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/conformance"
)

// With Production: one request, aim test, one call at a time; the outcome is judged when a later run comes back to it.
func TestProduction(t *testing.T) {
	t.Parallel()
	s := newIsland(t)
	s.steps = []string{"pending", "pending", "pending", "done"}
	target := conformance.Target{URL: s.URL(), Contract: contract, Email: "someone@example.com"}
	var saved *conformance.Saved
	opts := &conformance.Options{Production: true, Pause: time.Millisecond, Save: func(s conformance.Saved) { saved = &s }}
	first := judged(t, target, opts)

	s.mu.Lock()
	requests := len(s.reqs)
	for _, r := range s.reqs {
		if r.params["aim"] != "test" || r.params["email"] != "someone@example.com" {
			t.Errorf("created with %v", r.params)
		}
	}
	s.mu.Unlock()
	if requests != 1 || len(first.Created) != 1 || !strings.HasSuffix(first.Created[0].StatusURL, "/status") {
		t.Errorf("%d requests made, %v listed, want one", requests, first.Created)
	}
	if saved == nil {
		t.Fatal("the request was not saved, though its upgrade had not ended")
	}
	if first.Skipped == 0 || first.Passed < 60 {
		t.Errorf("%d passed, %d skipped", first.Passed, first.Skipped)
	}

	data, err := json.Marshal(saved)
	if err != nil {
		t.Fatal(err)
	}
	var resume conformance.Saved
	if err := json.Unmarshal(data, &resume); err != nil {
		t.Fatal(err)
	}
	second := judged(t, target, &conformance.Options{Production: true, Pause: time.Millisecond, Resume: &resume, Wait: 30 * time.Second})
	verdicts := map[string]conformance.Verdict{}
	for _, res := range second.Results {
		verdicts[res.ID] = res.Verdict
	}
	for _, id := range []string{"process/reaches-done", "urls/upgraded-archive", "urls/range", "sftp/done-name", "status/unchanging"} {
		if verdicts[id] != conformance.Pass {
			t.Errorf("%s: %q after resuming, want pass", id, verdicts[id])
		}
	}
	if verdicts["create/succeeds"] == conformance.Pass {
		t.Error("create was judged again")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.reqs) != 1 {
		t.Errorf("%d requests in the end, want one", len(s.reqs))
	}
}
