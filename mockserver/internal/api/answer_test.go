package api

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func TestScripted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		http   scenario.HTTP
		status int
		header http.Header
	}{
		{"nothing said", scenario.HTTP{}, 200, http.Header{}},
		{"a body is HTML", scenario.HTTP{Status: 502, Body: "<html>"}, 502, http.Header{"Content-Type": {"text/html"}}},
		{"unless said", scenario.HTTP{ContentType: "text/plain", Body: "x"}, 200, http.Header{
			"Content-Type": {"text/plain"}}},
		{
			"or as a header",
			scenario.HTTP{Status: 503, Headers: map[string]string{"retry-after": "1", "content-type": "a/b"}, Body: "x"}, 503,
			http.Header{"Content-Type": {"a/b"}, "Retry-After": {"1"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			want := &Answer{Status: tc.status, Header: tc.header, Body: tc.http.Body}
			if diff := cmp.Diff(want, scripted(&tc.http)); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
		})
	}
}
