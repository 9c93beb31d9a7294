package client_test

import (
	"io"
	"net/http"
	"strings"
)

// examplePlatform answers as the documentation's sample does; after process the request is done.
func examplePlatform() http.Handler {
	state := "draft"
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, ok(strings.Replace(sampleRequest, `"state": "draft"`, `"state": "`+state+`"`, 1)))
	}
	mux.HandleFunc("/database/v1/create", answer)
	mux.HandleFunc("/database/v1/status", answer)
	mux.HandleFunc("/database/v1/upload", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"failures": []}`)
	})
	mux.HandleFunc("/database/v1/process", func(w http.ResponseWriter, _ *http.Request) {
		state = "done"
		_, _ = io.WriteString(w, `{"failures": []}`)
	})
	return mux
}
