package mockserver_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
)

// FuzzScriptAPI sends any body to any call. What the script demands of all answers holds (rows S1.6 to S1.13): it would
// crash otherwise. No body meets a bug.
func FuzzScriptAPI(f *testing.F) {
	var log safeBuffer
	srv, err := mockserver.New(&mockserver.Options{
		Logger:   slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})),
		Requests: []mockserver.NewRequest{{API: mockserver.APIScript, Dump: []byte("-- a dump\n")}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { srv.Close() })
	token := srv.Requests()[0].Key
	names := []string{"create", "transfer/start", "transfer/stop", "process", "status", "wipe"}
	for i := range names {
		f.Add(i, []byte(createWith(f)))
		f.Add(i, []byte(`{"id": 1, "params": {"token": "TOKEN", "transfer_type": "download", "contract": "M123456-abcdef"}}`))
		f.Add(i, []byte(`{"id": {}, "params": {"token": "TOKEN"}}`))
		f.Add(i, []byte(`{"id": "\ud800", "params": {"token": null, "contract": "\u0000"}}`))
	}
	f.Fuzz(func(t *testing.T, call int, body []byte) {
		name := names[max(0, call)%len(names)]
		body = bytes.ReplaceAll(body, []byte("TOKEN"), []byte(token))
		r := httptest.NewRequest(http.MethodPost, "/upgrade/request/"+name, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		srv.ServeHTTP(rec, r)
		answer := rec.Body.Bytes()
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Length") != strconv.Itoa(len(answer)) {
			t.Fatalf("%s: %d, Content-Length %s for %d bytes", name, rec.Code, rec.Header().Get("Content-Length"), len(answer))
		}
		var envelope struct {
			Version string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Result  map[string]any  `json:"result"`
			Error   *struct {
				Data struct{ Message string }
			} `json:"error"`
		}
		if err := json.Unmarshal(answer, &envelope); err != nil || envelope.Version != "2.0" || envelope.ID == nil {
			t.Fatalf("%s: %v: %s", name, err, answer)
		}
		failure, failed := envelope.Result["error"]
		switch {
		case (envelope.Result == nil) == (envelope.Error == nil):
			t.Fatalf("%s has a result and an error, or none of them: %s", name, answer)
		case failed && failure == "" || envelope.Error != nil && envelope.Error.Data.Message == "":
			t.Fatalf("%s: a failure without words: %s", name, answer)
		}
		if strings.Contains(log.String(), "a bug of the emulator") {
			t.Fatalf("%s: %s", name, log.String())
		}
	})
}
