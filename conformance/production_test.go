package conformance_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
)

// With Production: one request, aim test, one call at a time; the outcome is judged when a later run comes back to it.
func TestProduction(t *testing.T) {
	t.Parallel()
	s := refserver.New(t)
	s.Steps = []string{"pending", "pending", "pending", "done"}
	target := conformance.Target{URL: s.URL(), Contract: contract, Email: "someone@example.com"}
	var saved *conformance.Saved
	opts := &conformance.Options{Production: true, Pause: time.Millisecond,
		Save: func(s conformance.Saved) { saved = &s }}
	first := judged(t, target, opts)

	requests := s.Created()
	for _, params := range requests {
		if params["aim"] != "test" || params["email"] != "someone@example.com" {
			t.Errorf("created with %v", params)
		}
	}
	if len(requests) != 1 || len(first.Created) != 1 || !strings.HasSuffix(first.Created[0].StatusURL, "/status") {
		t.Errorf("%d requests made, %v listed, want one", len(requests), first.Created)
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
	second := judged(t, target, &conformance.Options{Production: true, Pause: time.Millisecond, Resume: &resume,
		Wait: 30 * time.Second})
	verdicts := map[string]conformance.Verdict{}
	for _, res := range second.Results {
		verdicts[res.ID] = res.Verdict
	}
	for _, id := range []string{"process/reaches-done", "urls/upgraded-archive", "urls/range", "sftp/done-name",
		"status/unchanging"} {
		if verdicts[id] != conformance.Pass {
			t.Errorf("%s: %q after resuming, want pass", id, verdicts[id])
		}
	}
	if verdicts["create/succeeds"] == conformance.Pass {
		t.Error("create was judged again")
	}
	if n := len(s.Created()); n != 1 {
		t.Errorf("%d requests in the end, want one", n)
	}
}
