package livepage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The parts of the page that compute, as the browser runs them.
func TestPage_parts(t *testing.T) {
	t.Parallel()
	srv := started(t, nil)
	p := newTab(t, 1400, 900)
	p.open(srv, "")
	for _, tc := range []struct{ module, expression, want string }{
		{"words", `m.bytes(0)`, "0 B"},
		{"words", `m.bytes(1536)`, "1.5 KiB"},
		{"words", `m.bytes(50 * 2 ** 30)`, "50 GiB"},
		{"words", `m.ago(200)`, "just now"},
		{"words", `m.ago(3 * 3600e3 + 60e3)`, "3 h 1 min ago"},
		{"words", `JSON.stringify(m.parseSearch("on:status M1 nope:x http://x"))`,
			`{"text":["m1","http://x"],"unknown":["nope"],"on":"status"}`},
		{"words", `String(m.eventPasses({on: "status", fault: "faults[0]"}, m.parseSearch("fault: on:sta")))`, "true"},
		{"words", `String(m.eventPasses({on: "status"}, m.parseSearch("fault:")))`, "false"},
		{"words", `m.searchText(m.parseSearch("nope:x M1 state:don Fault:"))`, "fault: state:don m1"},
		{"words", `m.summary({on: "rsync.upload", received: 2048, rsync: {count: 1, exit: -1}})`,
			"2.0 KiB in · 1 file, broken off"},
		{"transfer", `JSON.stringify(m.split([{from: 5, to: 30}], [{from: 0, to: 10}, {from: 20, to: 25}]))`,
			`{"fresh":[{"from":10,"to":20},{"from":25,"to":30}],"again":[{"from":5,"to":10},{"from":20,"to":25}]}`},
		{"transfer", `JSON.stringify(m.join([{from: 5, to: 7}], [{from: 0, to: 5}, {from: 9, to: 12}]))`,
			`[{"from":0,"to":7},{"from":9,"to":12}]`},
		{"snippets", `m.curl({listeners: [{name: "http", address: "http://h"}]}, {id: 7, api: "database", key: "a=&"})`,
			`curl -sS 'http://h/database/v1/status?request=7&key=a%3D%26'`},
		{"snippets", `m.curl({listeners: [{name: "https", address: "https://h"}], ca_file: "/a b"}, {api: "script", token: "it's"})`,
			`curl -sS --cacert '/a b' -H 'Content-Type: application/json' -d ` +
				`'{"jsonrpc":"2.0","method":"not_used","params":{"token":"it'\''s"}}' https://h/upgrade/request/status`},
	} {
		got := script[string](p, `import("./page/`+tc.module+`.js").then((m) => `+tc.expression+`)`)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.expression, diff)
		}
	}
}

// A transfer over rsync is shown file by file.
func TestPage_rsync(t *testing.T) {
	t.Parallel()
	srv := started(t, nil)
	p := newTab(t, 1400, 900)
	p.open(srv, "")
	text := script[string](p, `Promise.all([import("./page/ui.js"), import("./page/transfer.js")]).then(([ui, m]) => {
		const files = [{name: "toc.dat", size: 10, sent: 10}, {name: "1.dat.gz", size: 2048, sent: 0, skipped: true}];
		const events = [{seq: 1, at: "2026-01-01T00:00:00Z", on: "rsync.upload", session: 2, size: 2058, fault: "faults[0]",
			fired: {at: 10}, rsync: {count: 150, exit: -1, skipped: 1, files}}];
		const box = document.createElement("div");
		ui.render(ui.html`+"`<${m.Transfer} events=${events} request=${{dump_size: 0, shared_size: 0}} />`"+`, box);
		return box.textContent.replace(/\s+/g, " ");
	})`)
	want := "arrived sent again was theremissingfault00:00:00 rsync.uploadsession 2 broke off150 files, 1 there before, " +
		"2.0 KiBfaults[0], at byte 10toc.dat10 B of 10 B1.dat.gzwas thereand 148 more"
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
