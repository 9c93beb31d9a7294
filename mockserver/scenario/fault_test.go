package scenario_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func TestFailure_marshalsAsInAnAnswer(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(&scenario.Failure{
		Reason: "TARGET:INVALID", Message: `Invalid value "5.0"`,
		More: map[string]any{"value": "5.0", "expected": []string{"6.0", "6.1"}, "reason": "not this one"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"expected":["6.0","6.1"],"message":"Invalid value \"5.0\"","reason":"TARGET:INVALID","value":"5.0"}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHTTP_defaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		http   scenario.HTTP
		status int
		header http.Header
	}{
		{"nothing said", scenario.HTTP{}, 200, http.Header{}},
		{"a body is HTML", scenario.HTTP{Status: 502, Body: "<html>"}, 502, http.Header{"Content-Type": {"text/html"}}},
		{"unless said", scenario.HTTP{ContentType: "text/plain", Body: "x"}, 200, http.Header{"Content-Type": {"text/plain"}}},
		{
			"or as a header",
			scenario.HTTP{Status: 503, Headers: map[string]string{"retry-after": "1", "content-type": "a/b"}, Body: "x"}, 503,
			http.Header{"Content-Type": {"a/b"}, "Retry-After": {"1"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.http.StatusCode(); got != tc.status {
				t.Errorf("status %d, want %d", got, tc.status)
			}
			if diff := cmp.Diff(tc.header, tc.http.Header()); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}
