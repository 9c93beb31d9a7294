package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// platform is a small upgrade platform over HTTP, written for these tests from the wire contract and apart from the
// emulator, so that a misreading shared by client and emulator shows. It serves one request.
type platform struct {
	*httptest.Server

	mu     sync.Mutex
	calls  []string
	dump   []byte
	states []string // after process, one a poll; the last stays
	state  string
	polls  int
	extra  map[string]any // of the status

	// before may answer in place of the platform; it returns whether it did. n counts the calls of a method from 0.
	before func(method string, n int, w http.ResponseWriter, r *http.Request) bool
}

const platformKey = "sEcReT-KeY_0123456789Aw=="

func newPlatform(tb testing.TB, states ...string) *platform {
	tb.Helper()
	p := &platform{states: states, state: "draft", extra: map[string]any{}}
	p.Server = httptest.NewServer(p)
	tb.Cleanup(p.Close)
	return p
}

func (p *platform) env() map[string]string {
	return map[string]string{"UPGRADE_URL": p.URL, "UPGRADE_CONTRACT": "M1-a", "UPGRADE_EMAIL": "a@b.cd",
		"UPGRADE_REQUEST": "77", "UPGRADE_KEY": platformKey}
}

// count returns how often a method was called.
func (p *platform) count(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.calls {
		if c == method {
			n++
		}
	}
	return n
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, api := strings.CutPrefix(r.URL.Path, "/database/v1/")
	if !api {
		method = "download"
	}
	p.mu.Lock()
	n := 0
	for _, c := range p.calls {
		if c == method {
			n++
		}
	}
	p.calls = append(p.calls, method)
	p.mu.Unlock()
	if p.before != nil && p.before(method, n, w, r) {
		return
	}
	if method == "upload" {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.dump = raw
		p.mu.Unlock()
		_, _ = io.WriteString(w, `{"failures": []}`)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if method == "download" {
		if (p.state != "done" && p.state != "delivered") || !strings.Contains(r.URL.Path, "/77/"+platformKey+"/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(p.dump))
		return
	}
	_ = r.ParseForm()
	switch method {
	case "create":
		if r.Form.Get("target") == "5.0" {
			_, _ = io.WriteString(w, `{"failures": [{"reason": "TARGET:INVALID", "message": "Invalid value \"5.0\"",
				"value": "5.0", "expected": ["8.0"]}]}`)
			return
		}
		p.answer(w)
		return
	case "process":
		if p.state != "draft" {
			_, _ = io.WriteString(w, `{"failures": [{"reason": "STATE:INVALID", "message": "not a draft"}]}`)
			return
		}
		p.state = p.states[0]
	case "skip_test":
		p.state = "delivered"
		p.states = []string{"delivered"}
	case "status":
		if r.Form.Get("request") != "77" || r.Form.Get("key") != platformKey {
			_, _ = io.WriteString(w, `{"failures": [{"reason": "REQUEST:NOT_FOUND", "message": "Can not find request"}]}`)
			return
		}
		if p.state != "draft" {
			p.state = p.states[min(p.polls, len(p.states)-1)]
			p.polls++
		}
		p.answer(w)
		return
	default:
		http.NotFound(w, r)
		return
	}
	_, _ = io.WriteString(w, `{"failures": []}`)
}

func (p *platform) answer(w io.Writer) {
	base := p.URL + "/database/eu1/77/" + platformKey + "/"
	request := map[string]any{"id": 77, "key": platformKey, "state": p.state, "email": "a@b.cd", "target": "8.0",
		"aim": "test", "filename": "db.dump",
		"upgraded_dump_url": base + "upgraded/archive", "upgraded_sql_url": base + "upgraded/sql",
		"notes_url": base + "upgraded/notes", "customer_message": nil}
	if p.dump != nil {
		request["filesize"] = fmt.Sprintf("%.2f b", float64(len(p.dump)))
	}
	for k, v := range p.extra {
		request[k] = v
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"failures": []any{}, "request": request})
}

// sequence returns the calls without repeated polls.
func (p *platform) sequence() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Compact(slices.Clone(p.calls))
}
