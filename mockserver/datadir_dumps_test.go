package mockserver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Files among the dumps that belong to no request are set aside, and that is said.
func TestDataDir_lostAndFound(t *testing.T) {
	t.Parallel()
	dir := kept(t)
	secret := filepath.Join(t.TempDir(), "secret")
	plant(t, filepath.Dir(secret), map[string]string{"secret": "theirs"})
	theirs := map[string]string{"77": "seventy-seven", "holiday.jpg": "sun", "78/79": "deep", "80": "->" + secret,
		"81.part/": "", "082.part": "zero"}
	plant(t, filepath.Join(dir, "dumps"), theirs)
	plant(t, filepath.Join(dir, "dumps"), map[string]string{
		"9000.part": "an upload under way when the process was killed"})
	plant(t, filepath.Join(dir, "lost+found"), map[string]string{"77": "of an earlier time"})
	life(t, mockserver.Options{DataDir: dir}, func(w *wire) {
		e := w.srv.Events(journal.Filter{On: "data"})
		if len(e) != 1 || !strings.Contains(e[0].Why, "holiday.jpg") || !strings.Contains(e[0].Why, "lost+found") {
			t.Errorf("the journal says %+v", e)
		}
		m := w.create()
		w.upload(m, pattern(1000, 3)) // gets a number that none of them has
	})
	found := filepath.Join(dir, "lost+found")
	for name, content := range map[string]string{"77": "of an earlier time", "77.1": "seventy-seven", "holiday.jpg": "sun",
		"78/79": "deep", "80": "theirs", "082.part": "zero"} {
		diff(t, name, content, string(readFile(t, filepath.Join(found, name))))
	}
	left, err := filepath.Glob(filepath.Join(dir, "dumps", "*"))
	if err != nil || len(left) != 3 {
		t.Errorf("among the dumps: %v, %v", left, err)
	}
}

// A dump that is gone, cut or replaced: its request says SERVER:ERROR, the journal says why, and the others go on.
func TestDataDir_damagedDump(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"gone": os.Remove,
		"cut":  func(path string) error { return os.Truncate(path, 10) },
		"link": func(path string) error {
			return errors.Join(os.Rename(path, path+"-moved"), os.Symlink(path+"-moved", path))
		},
		"directory": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/running=%v", name, running), func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "data")
				opts := mockserver.Options{DataDir: dir}
				var draft, other made
				find := func() string {
					t.Helper()
					entries, err := os.ReadDir(filepath.Join(dir, "dumps"))
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range entries {
						if info, err := e.Info(); err == nil && info.Size() == 30_001 {
							return filepath.Join(dir, "dumps", e.Name())
						}
					}
					t.Fatal("the dump is not there")
					return ""
				}
				first := func(w *wire) {
					draft, other = w.create(), w.create()
					w.upload(draft, pattern(30_001, 1))
					w.upload(other, pattern(30_000, 2))
					w.grant(draft, "rsa")
				}
				check := func(w *wire) {
					diff(t, "process", []string{"SERVER:ERROR"}, w.call("process", draft.params()).reasons())
					diff(t, "status", []string{"SERVER:ERROR"}, w.call("status", draft.params()).reasons())
					if _, err := w.dial(draft, "rsa"); err == nil {
						t.Error("SFTP let the request in")
					}
					e := w.srv.Events(journal.Filter{On: "process"})
					if len(e) == 0 || !strings.Contains(e[0].Why, "the dump's file") {
						t.Errorf("the journal says %+v", e)
					}
					same(t, "the other's dump", w.fetch(w.urls(other)["original_dump_url"]), pattern(30_000, 2))
					w.finish(other)
					w.upload(w.create(), pattern(1000, 1))
				}
				if running {
					w := onWire(t, &opts)
					first(w)
					if err := damage(find()); err != nil {
						t.Fatal(err)
					}
					check(w)
					return
				}
				life(t, opts, first)
				if err := damage(find()); err != nil {
					t.Fatal(err)
				}
				life(t, opts, func(w *wire) {
					if e := w.srv.Events(journal.Filter{On: "data", Request: draft.id}); len(e) != 1 {
						t.Errorf("the journal says %+v", e)
					}
					check(w)
				})
			})
		}
	}
}

// Bytes that were changed are found when the dumps are read, which is done on demand.
func TestDataDir_checkDumps(t *testing.T) {
	t.Parallel()
	opts := mockserver.Options{DataDir: filepath.Join(t.TempDir(), "data")}
	var http, sftp, other made
	life(t, opts, func(w *wire) {
		http, sftp, other = w.create(), w.create(), w.create()
		w.upload(http, pattern(30_001, 1))
		w.grant(sftp, "rsa")
		w.put(w.login(sftp, "rsa"), "/db_name.dump", pattern(30_002, 2))
		w.upload(other, pattern(30_000, 3))
		w.create() // without a dump
		if err := w.srv.CheckDumps(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	dumps, err := filepath.Glob(filepath.Join(opts.DataDir, "dumps", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range dumps {
		data := readFile(t, path)
		if len(data) == 30_000 {
			continue
		}
		data[20_000] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	life(t, opts, func(w *wire) {
		w.status(http)
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if err := w.srv.CheckDumps(stopped); !errors.Is(err, context.Canceled) {
			t.Errorf("the check was not stopped: %v", err)
		}
		if err := w.srv.CheckDumps(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, m := range []made{http, sftp} {
			diff(t, "process", []string{"SERVER:ERROR"}, w.call("process", m.params()).reasons())
			if e := w.srv.Events(journal.Filter{On: "data", Request: m.id}); len(e) != 1 ||
				!strings.Contains(e[0].Why, "checksum") {
				t.Errorf("the journal says %+v", e)
			}
		}
		w.finish(other)
	})
}

// Ids, numbers, keys made of a seed, the clock and what was counted go on where they were, after a reset, a
// restart, and a kill.
func TestDataDir_goesOn(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	script := &scenario.Scenario{
		Name: "once", When: map[string]string{"contract": "FAULT*"},
		Steps:  []scenario.Step{{State: "processing", For: scenario.For{Duration: time.Hour}}, {State: "done"}},
		Faults: []scenario.Fault{{On: "create", Times: 2, Failure: &scenario.Failure{Reason: "SERVER:ERROR", Message: "x"}}},
	}
	options := func() mockserver.Options {
		return mockserver.Options{DataDir: dir, Seed: 7, Clock: new(mockserver.ManualClock), Scenarios: []*scenario.Scenario{
			script}}
	}
	keys := make(map[string]bool)
	create := func(w *wire, want int64) made {
		t.Helper()
		m := w.create()
		if m.id != want || keys[m.key] {
			t.Errorf("id %d, want %d; a key of another: %v", m.id, want, keys[m.key])
		}
		keys[m.key] = true
		return m
	}
	refused := func(w *wire) bool { return len(w.call("create", sample("contract", "FAULT1")).Failures) > 0 }
	var m made
	var etag string
	life(t, options(), func(w *wire) {
		m = create(w, 10534)
		w.upload(m, pattern(1000, 1))
		resp, _ := w.get(w.urls(m)["original_dump_url"])
		etag = resp.Header.Get("ETag")
		if !refused(w) {
			t.Error("the fault was not triggered")
		}
		if err := w.srv.Reset(mockserver.Scope{Request: m.id}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.srv.Advance(90 * time.Minute); err != nil {
			t.Fatal(err)
		}
	})
	life(t, options(), func(w *wire) {
		m = create(w, 10535)
		if s := w.status(m); s["created_at"] != "2015-09-09T08:43:49Z" && s["created_at"] != "2015-09-09 08:43:49" {
			t.Errorf("created_at is %v: the clock went back", s["created_at"])
		}
		w.upload(m, pattern(1000, 2))
		if resp, _ := w.get(w.urls(m)["original_dump_url"]); resp.Header.Get("ETag") == etag {
			t.Error("another dump has the ETag of the first")
		}
		if !refused(w) {
			t.Error("the fault is not triggered for the second time")
		}
		if refused(w) {
			t.Error("the fault is triggered for the third time")
		}
		if err := w.srv.Reset(mockserver.Scope{}); err != nil {
			t.Fatal(err)
		}
	})
	life(t, options(), func(w *wire) {
		create(w, 10537)
		if !refused(w) {
			t.Error("the fault was not forgotten by the reset")
		}
	})
	// Another run with the same seed has the same keys for the same ids.
	srv := mockservertest.New(t, &mockserver.Options{Seed: 7})
	if w := newWire(t, srv.URL(), srv); !keys[w.create().key] {
		t.Error("the first key is another one with the same seed")
	}
}
