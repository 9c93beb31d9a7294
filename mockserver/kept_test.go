package mockserver_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// life is one run of an emulator on a data directory: it is closed when the function returns.
func life(t *testing.T, opts mockserver.Options, live func(*wire)) {
	t.Helper()
	srv := mockservertest.New(t, &opts)
	live(newWire(t, srv.URL(), srv))
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
}

// With a data directory, requests, states, dumps, accesses, host key and authority are the same in the next life.
func TestDataDir_keepsEverything(t *testing.T) {
	t.Parallel()
	clock := new(mockserver.ManualClock)
	opts := mockserver.Options{DataDir: filepath.Join(t.TempDir(), "made", "on", "demand"), Clock: clock}
	dump, later := fixtures.Dump("openchs.zip"), pattern(50_000, 1)
	var draft, half, pending, done, one made
	var hostKey, ca, knownHosts []byte
	want := make(map[made]string)

	life(t, opts, func(w *wire) {
		draft, half, pending, done = w.create("timezone", "UTC"), w.create(), w.create(), w.create()
		w.upload(draft, dump)
		w.grant(half, "rsa")
		w.put(w.login(half, "rsa"), "/db_name.dump", later[:20_000])
		w.upload(pending, dump)
		w.good("process", pending.params())
		w.status(pending)
		w.upload(done, dump)
		w.upload(done, later)
		w.finish(done)
		w.grant(done, "ed25519")
		one = madeOf(t, w.send("POST", "upgrade?"+sample("postgresql", "9.3").Encode(), nil, bytes.NewReader(later)))
		for _, m := range []made{draft, half, done} {
			want[m] = w.good("status", m.params()).Body
		}
		hostKey, ca = w.srv.HostKeys()[0].Marshal(), w.srv.Certificate().Raw
		knownHosts = readFile(t, w.knownHosts)
	})

	life(t, opts, func(w *wire) {
		if !bytes.Equal(w.srv.HostKeys()[0].Marshal(), hostKey) || !bytes.Equal(w.srv.Certificate().Raw, ca) {
			t.Error("host key or authority are new")
		}
		if bytes.Equal(knownHosts, readFile(t, w.knownHosts)) {
			t.Error("known_hosts still names the old port")
		}
		for m, body := range want {
			got := w.good("status", m.params()).Body
			diff(t, "status", withoutBase(t, body), withoutBase(t, got))
		}
		if s := w.status(pending); s["state"] != "processing" {
			t.Errorf("the request that had one poll is %v at the second", s["state"])
		}
		same(t, "the draft's dump", w.fetch(w.urls(draft)["original_dump_url"]), dump)
		same(t, "the dump that is done", w.fetch(w.urls(done)["upgraded_dump_url"]), later)
		same(t, "over SFTP", w.slurp(w.login(done, "ed25519"), "/upgraded_db_name.dump"), later)
		if s := w.await(one, "done"); s["migrated_sql_url"] == nil || s["postgresql"] != "9.3" {
			t.Errorf("the request made by upgrade: %v", s)
		}
		// A transfer goes on where it stood.
		c := w.login(half, "rsa")
		f, err := c.OpenFile("/db_name.dump", os.O_WRONLY)
		if err != nil {
			t.Fatal(err)
		}
		info, err := c.Stat("/db_name.dump")
		if err != nil || info.Size() != 20_000 {
			t.Fatalf("%v, %v", info, err)
		}
		if _, err := f.WriteAt(later[20_000:], 20_000); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		same(t, "the resumed dump", w.fetch(w.urls(half)["original_dump_url"]), later)
		if m := w.create(); m.id != one.id+1 {
			t.Errorf("the next id is %d after %d", m.id, one.id)
		}
	})
	life(t, opts, func(w *wire) {
		same(t, "the resumed dump", w.fetch(w.urls(half)["original_dump_url"]), later)
	})
}

// withoutBase takes the address, which is another in each life, out of an answer.
func withoutBase(tb testing.TB, body string) string {
	tb.Helper()
	return addresses.ReplaceAllString(body, "")
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// What was never complete is gone from the disk in the next life, and what was replaced is gone at once.
func TestDataDir_holdsNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := mockserver.Options{DataDir: dir}
	dumps := func() (total int64, files int) {
		entries, err := os.ReadDir(filepath.Join(dir, "dumps"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			total, files = total+info.Size(), files+1
		}
		return total, files
	}
	life(t, opts, func(w *wire) {
		m := w.create()
		w.grant(m, "rsa")
		for i := range 5 {
			w.upload(m, pattern(10_000, uint64(i)))
			w.put(w.login(m, "rsa"), "/db_name.dump", pattern(20_000, uint64(i)))
		}
		if total, files := dumps(); total != 20_000 || files != 1 {
			t.Errorf("after many uploads and puts, %d files of %d bytes", files, total)
		}
		w.raw("POST /database/v1/upload?" + m.params().Encode() + " HTTP/1.0\r\nContent-Length: 100\r\n\r\nabc")
		w.send("POST", "upload?key=x&request=1", nil, bytes.NewReader(pattern(1000, 1)))
		if total, files := dumps(); total != 20_000 || files != 1 {
			t.Errorf("after uploads that failed, %d files of %d bytes", files, total)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "dumps", "12345"), []byte("left by a kill"), 0o600); err != nil {
		t.Fatal(err)
	}
	life(t, opts, func(w *wire) {
		if total, files := dumps(); total != 20_000 || files != 1 {
			t.Errorf("in the next life, %d files of %d bytes", files, total)
		}
	})
}

// What is kept is for its owner alone: it holds keys and other people's databases.
func TestDataDir_isPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	life(t, mockserver.Options{DataDir: dir}, func(w *wire) {
		m := w.create()
		w.upload(m, []byte("x"))
		w.grant(m, "rsa")
		w.put(w.login(m, "rsa"), "/db_name.dump", []byte("y"))
	})
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if public := filepath.Base(path) == "ca.pem" || filepath.Base(path) == "known_hosts"; err == nil && !public &&
			info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Without a data directory, nothing is left after Close, also in the middle of transfers.
func TestClose_leavesNothing(t *testing.T) { // not parallel: TMPDIR
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for range 3 {
		life(t, mockserver.Options{}, func(w *wire) {
			m := w.create()
			w.upload(m, fixtures.Dump("openchs.zip"))
			w.grant(m, "rsa")
			f, err := w.login(m, "rsa").OpenFile("/db_name.dump", os.O_WRONLY)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(pattern(100_000, 1)); err != nil {
				t.Fatal(err)
			}
			conn := w.connect() // half an upload
			t.Cleanup(func() { conn.Close() })
			if _, err := conn.Write([]byte("POST /database/v1/upload?" + m.params().Encode() +
				" HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")); err != nil {
				t.Fatal(err)
			}
			if entries, err := os.ReadDir(tmp); err != nil || len(entries) != 1 {
				t.Errorf("while it runs: %v, %v", entries, err)
			}
		})
		if entries, err := os.ReadDir(tmp); err != nil || len(entries) > 0 {
			t.Errorf("after Close: %v, %v", entries, err)
		}
	}
}

// Close may come often, from many sides, before Start and instead of it.
func TestClose_anytime(t *testing.T) {
	t.Parallel()
	srv, err := mockserver.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 4 {
		go func() { done <- srv.Close() }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := srv.Start(); err == nil {
		t.Error("a closed server started")
	}
	running := mockservertest.New(t, nil)
	if err := running.Start(); err == nil {
		t.Error("a running server started")
	}
}
