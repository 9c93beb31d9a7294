package redact_test

import (
	"testing"

	"github.com/upgrademock/upgrademock/mockserver/internal/redact"
)

// BenchmarkPoll is what the texts of one poll cost.
func BenchmarkPoll(b *testing.B) {
	var keys redact.Keys
	keys.Add(key)
	for b.Loop() {
		for _, text := range [...]string{keys.Path("/database/v1/status"), "M123456-abcdef", "GET", "python-requests/2.28.1",
			"request", "10534", "key", "u4_T…"} {
			keys.Hide(text)
		}
		redact.IsSecret("request")
		redact.IsSecret("key")
	}
}
