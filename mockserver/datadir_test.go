package mockserver_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// inventory is every file below the directories, with its kind, mode, and content or target.
func inventory(tb testing.TB, dirs ...string) map[string]string {
	tb.Helper()
	files := make(map[string]string)
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			what := info.Mode().String()
			switch {
			case info.Mode().IsRegular():
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				what += fmt.Sprintf(" %d %x", len(data), sha256.Sum256(data))
			case info.Mode()&fs.ModeSymlink != 0:
				target, err := os.Readlink(path)
				if err != nil {
					return err
				}
				what += " " + target
			}
			files[path] = what
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return files
}

// plant makes the files that are named, with their contents: a name that ends in a slash is a directory, a
// content that begins with "->" is the target of a link.
func plant(tb testing.TB, dir string, files map[string]string) {
	tb.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		target, isLink := strings.CutPrefix(content, "->")
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case isLink:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// refuses holds that no emulator starts on the directory, says why in one sentence, and changes nothing, in it
// and in others.
func refuses(t *testing.T, opts mockserver.Options, says []string, others ...string) {
	t.Helper()
	dirs := append([]string{opts.DataDir}, others...)
	before := inventory(t, dirs...)
	srv, err := mockserver.New(&opts)
	if err == nil {
		err = srv.Start()
		if closing := srv.Close(); closing != nil {
			t.Errorf("Close: %v", closing)
		}
	}
	if err == nil {
		t.Error("it started")
	} else {
		for _, want := range append(says, opts.DataDir) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q: %v", want, err)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("the error has more than one line: %v", err)
		}
	}
	if d := cmp.Diff(before, inventory(t, dirs...)); d != "" {
		t.Errorf("files have changed (-before +after):\n%s", d)
	}
}

// A directory with files of somebody else's is refused, whatever they are called, and stays as it is.
func TestDataDir_foreign(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"a file":                {"letter.txt": "Dear aunt,"},
		"a hidden file":         {".profile": "PS1='$ '"},
		"an empty file":         {"x": ""},
		"a directory":           {"photos/": ""},
		"dumps of their own":    {"dumps/holiday.dump": "sun", "dumps/1": "one", "dumps/deep/er/2": "two"},
		"numbered dumps":        {"dumps/1": "one", "dumps/2": "two"},
		"a link to dumps":       {"dumps": "->../elsewhere"},
		"a link":                {"anything": "->../elsewhere"},
		"SSH's own":             {"known_hosts": "host ssh-rsa AAAA\n", "id_rsa": "secret", "config": ""},
		"known_hosts":           {"known_hosts": "host ssh-rsa AAAA\n"},
		"a link to known_hosts": {"known_hosts": "->../elsewhere/known_hosts"},
		"an authority's":        {"ca.pem": "-----BEGIN CERTIFICATE-----\n"},
		"an authority's key":    {"ca-key.pem": "-----BEGIN EC PRIVATE KEY-----\n"},
		"a host key":            {"ssh_host_ecdsa_key": "secret"},
		"an empty database":     {"requests.db": ""},
		"a database":            {"requests.db": "SQLite format 3\x00" + strings.Repeat("x", 9000)},
		"a database and dumps":  {"requests.db": "nonsense", "dumps/1": "one"},
		"a link to a database":  {"requests.db": "->../elsewhere/requests.db"},
		"a mark that is none":   {"UPGRADEMOCK-DATA": "something else\n"},
		"a mark that is a link": {"UPGRADEMOCK-DATA": "->../elsewhere/mark"},
		"a mark to come":        {"UPGRADEMOCK-DATA": "upgrademock data directory, format 2\n"},
		"a mark of a size":      {"UPGRADEMOCK-DATA": strings.Repeat("x", 100_000)},
		"a cut mark and more":   {"UPGRADEMOCK-DATA": "upgrademock data", "letter.txt": "Dear aunt,"},
		"a mark and a database": {"UPGRADEMOCK-DATA": "", "requests.db": "nonsense"},
		"lost+found and more":   {"lost+found/": "", "letter.txt": "Dear aunt,"},
		"lost+found, a file":    {"lost+found": "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			dir, elsewhere := filepath.Join(top, "dir"), filepath.Join(top, "elsewhere")
			plant(t, elsewhere, map[string]string{"1": "a file", "known_hosts": "other ssh-rsa AAAA\n",
				"mark": "upgrademock data directory, format 1\n"})
			whole, err := os.ReadFile(filepath.Join(kept(t), "requests.db"))
			if err != nil {
				t.Fatal(err)
			}
			plant(t, elsewhere, map[string]string{"requests.db": string(whole)})
			plant(t, dir, files)
			refuses(t, mockserver.Options{DataDir: dir}, []string{"choose"}, elsewhere)
		})
	}
}

// kept is a data directory with two requests that have dumps, after the emulator has ended.
func kept(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	life(t, mockserver.Options{DataDir: dir}, func(w *wire) {
		for i := range uint64(2) {
			w.upload(w.create(), pattern(30_000, i))
		}
	})
	return dir
}

// A directory that may become one, and one that an earlier process was just making.
func TestDataDir_new(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"none":           nil,
		"an empty one":   {"./": ""},
		"a file system":  {"lost+found/": ""},
		"a kill at once": {"UPGRADEMOCK-DATA": ""},
		"a cut mark":     {"UPGRADEMOCK-DATA": "upgrademock data dir"},
		"a kill in between": {"UPGRADEMOCK-DATA": "upgrademock data directory, being made\n", "dumps/": "",
			".upgrademock-ABCDEFGHIJKLMNOPQRSTUVWXYZ": "half"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "dir")
			plant(t, dir, files)
			opts := mockserver.Options{DataDir: dir}
			var m made
			life(t, opts, func(w *wire) { m = w.create(); w.upload(m, pattern(1000, 1)) })
			life(t, opts, func(w *wire) {
				same(t, "the dump", w.fetch(w.urls(m)["original_dump_url"]), pattern(1000, 1))
			})
			mark := readFile(t, filepath.Join(dir, "UPGRADEMOCK-DATA"))
			diff(t, "the mark", "upgrademock data directory, format 1\n", string(mark))
			for path := range inventory(t, dir) {
				if strings.Contains(path, ".upgrademock-") {
					t.Errorf("%s is left", path)
				}
			}
		})
	}
}

// unmarked makes a data directory look like one of the time before there were marks.
func unmarked(t *testing.T) (dir string) {
	t.Helper()
	dir = kept(t)
	if err := os.Remove(filepath.Join(dir, "UPGRADEMOCK-DATA")); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(dir, "requests.db"), 0o600, &bolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return errors.Join(tx.DeleteBucket([]byte("state")), tx.DeleteBucket([]byte("kept")))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A directory of the time before there were marks is taken up, with a mark and a word, unless something foreign
// is in it.
func TestDataDir_earlier(t *testing.T) {
	t.Parallel()
	dir := unmarked(t)
	plant(t, dir, map[string]string{"ready.json": "{}", ".ca-123": "half"})
	life(t, mockserver.Options{DataDir: dir}, func(w *wire) {
		if n := len(w.srv.Requests()); n != 2 {
			t.Errorf("%d requests", n)
		}
		if e := w.srv.Events(journal.Filter{On: "data"}); len(e) != 1 || !strings.Contains(e[0].Why, "earlier") {
			t.Errorf("the journal says %+v", e)
		}
		if status, answer := w.control("GET", "/journal?on=data", ""); status != 200 || len(answer["events"].([]any)) != 1 {
			t.Errorf("the control API says %d %v", status, answer)
		}
		if m := w.create(); m.id != 10536 {
			t.Errorf("the next id is %d", m.id)
		}
	})
	for name, files := range map[string]map[string]string{
		"a file":               {"letter.txt": "Dear aunt,"},
		"among the dumps":      {"dumps/holiday.jpg": "sun"},
		"a link":               {"ready.json": "->../elsewhere"},
		"a link among dumps":   {"dumps/99": "->../../elsewhere"},
		"a directory of dumps": {"dumps/99/": ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := unmarked(t)
			plant(t, dir, files)
			refuses(t, mockserver.Options{DataDir: dir}, []string{"choose"})
		})
	}
}

// What is of ours in a data directory, and is not what it was: one sentence, and nothing is touched.
func TestDataDir_damaged(t *testing.T) {
	t.Parallel()
	rewrite := func(change func([]byte) []byte) func(string) error {
		return func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, change(data), 0o600)
		}
	}
	page := os.Getpagesize()
	fill := func(from, to int, with byte) func(string) error {
		return rewrite(func(b []byte) []byte {
			for i := from; i < min(to, len(b)); i++ {
				b[i] = with
			}
			return b
		})
	}
	replace := func(with func(path string) error) func(string) error {
		return func(path string) error { return errors.Join(os.Rename(path, path+"-moved"), with(path)) }
	}
	link := replace(func(path string) error { return os.Symlink(filepath.Base(path)+"-moved", path) })
	directory := replace(func(path string) error { return os.Mkdir(path, 0o700) })
	for name, tc := range map[string]struct {
		file   string
		damage func(path string) error
		says   string
	}{
		"database missing": {"requests.db", os.Remove, "missing"},
		"database empty":   {"requests.db", func(path string) error { return os.Truncate(path, 0) }, "empty"},
		"database short":   {"requests.db", func(path string) error { return os.Truncate(path, 100) }, "damaged"},
		"database one page": {"requests.db", func(path string) error { return os.Truncate(path, int64(page)) },
			"damaged"},
		"database two pages": {"requests.db", func(path string) error { return os.Truncate(path, int64(2*page)) },
			"damaged"},
		"database three pages": {"requests.db", func(path string) error { return os.Truncate(path, int64(3*page)) },
			"damaged"},
		"database of text": {
			"requests.db", rewrite(func([]byte) []byte { return bytes.Repeat([]byte("nonsense"), 5000) }), "damaged"},
		"database of zeros": {"requests.db", rewrite(func(b []byte) []byte { return make([]byte, len(b)) }),
			"damaged"},
		"database of garbage":      {"requests.db", fill(2*page, 1<<30, 0xa5), "damaged"},
		"database with lost pages": {"requests.db", fill(2*page, 1<<30, 0), "damaged"},
		"database of another":      {"requests.db", foreignDatabase, "damaged"},
		"database with bad record": {"requests.db", badRecord, "cannot be read"},
		"database a link":          {"requests.db", link, "a link"},
		"database a directory":     {"requests.db", directory, "a directory"},
		"dumps a link":             {"dumps", link, "a link"},
		"dumps a file": {"dumps", replace(func(path string) error { return os.WriteFile(path, nil, 0o600) }),
			"a file"},
		"host key a link": {"ssh_host_ecdsa_key", link, "a link"},
		"host key nonsense": {"ssh_host_ecdsa_key", rewrite(func([]byte) []byte { return []byte("nonsense") }),
			"remove"},
		"host key a directory": {"ssh_host_ecdsa_key", directory, "a directory"},
		"CA a link":            {"ca-key.pem", link, "a link"},
		"CA nonsense":          {"ca-key.pem", rewrite(func([]byte) []byte { return []byte("nonsense") }), "remove"},
		"certificate a link":   {"ca.pem", link, "a link"},
		"certificate of another": {
			"ca.pem", rewrite(func([]byte) []byte { return []byte("-----BEGIN CERTIFICATE-----\n") }), "something else"},
		"known_hosts a link":      {"known_hosts", link, "a link"},
		"known_hosts a directory": {"known_hosts", directory, "a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := kept(t)
			if err := tc.damage(filepath.Join(dir, tc.file)); err != nil {
				t.Fatal(err)
			}
			refuses(t, mockserver.Options{DataDir: dir}, []string{tc.file, tc.says})
		})
	}
}

func foreignDatabase(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("theirs"))
		return errors.Join(err, b.Put([]byte("a"), []byte("b")))
	})
	return errors.Join(err, db.Close())
}

func badRecord(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("requests")).Put(binary.BigEndian.AppendUint64(nil, 10534), []byte(`{"id": 10534}`))
	})
	return errors.Join(err, db.Close())
}

// Lines that others put into known_hosts stay there.
func TestDataDir_knownHosts(t *testing.T) {
	t.Parallel()
	dir := kept(t)
	path := filepath.Join(dir, "known_hosts")
	theirs := "other.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7Vz3Wb0H0gTn3m0d4J4yWq2Xx1nJzqV0m4iJg4m1aB\n"
	for _, before := range []bool{true, false} {
		ours := readFile(t, path)
		whole := append(append([]byte{}, ours...), strings.TrimSuffix(theirs, "\n")...)
		if before {
			whole = append([]byte(theirs), ours...)
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		life(t, mockserver.Options{DataDir: dir}, func(w *wire) {
			m := w.create()
			w.grant(m, "rsa")
			w.login(m, "rsa")
		})
	}
	got := string(readFile(t, path))
	if strings.Count(got, theirs) != 2 || strings.Count(got, "ecdsa-sha2-nistp256") != 1 {
		t.Errorf("known_hosts is\n%s", got)
	}
}

// Keys that others can read are taken away from them, and that is said.
func TestDataDir_modes(t *testing.T) {
	t.Parallel()
	dir := kept(t)
	private := []string{"ca-key.pem", "ssh_host_ecdsa_key", "requests.db", "dumps"}
	for _, name := range private {
		mode := os.FileMode(0o644)
		if name == "dumps" {
			mode = 0o755
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	life(t, mockserver.Options{DataDir: dir}, func(w *wire) {
		var said string
		for _, e := range w.srv.Events(journal.Filter{On: "data"}) {
			said += e.Why + "\n"
		}
		for _, name := range private {
			info, err := os.Lstat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
			if !strings.Contains(said, name) {
				t.Errorf("nothing is said of %s:\n%s", name, said)
			}
		}
	})
	life(t, mockserver.Options{DataDir: dir}, func(w *wire) {
		if e := w.srv.Events(journal.Filter{On: "data"}); len(e) > 0 {
			t.Errorf("said again: %+v", e)
		}
	})
}

// A database that is not the file on disk any more takes nothing, and health says so.
func TestDataDir_replacedWhileRunning(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ file string }{"database": {"requests.db"}, "dumps": {"dumps"}} {
		for how, replace := range map[string]func(path string) error{
			"moved":    func(string) error { return nil },
			"replaced": func(path string) error { return os.WriteFile(path, []byte("new"), 0o600) },
			"a link":   func(path string) error { return os.Symlink(filepath.Base(path)+"-moved", path) },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "data")
				w := onWire(t, &mockserver.Options{DataDir: dir})
				m := w.create()
				w.upload(m, pattern(1000, 1))
				w.good("process", m.params())
				path := filepath.Join(dir, tc.file)
				if err := errors.Join(os.Rename(path, path+"-moved"), replace(path)); err != nil {
					t.Fatal(err)
				}
				for _, a := range []answer{
					w.call("create", sample()), w.call("status", m.params()),
					w.call("request_sftp_access", m.params("ssh_keys", string(fixtures.PublicKey("rsa")))),
					w.send("POST", "upgrade?"+sample().Encode(), nil, strings.NewReader("SELECT 1;")),
				} {
					if len(a.Failures) == 0 {
						t.Errorf("acknowledged: %s", a.Body)
					}
				}
				if e := w.srv.Events(journal.Filter{On: "create"}); !strings.Contains(e[len(e)-1].Why, tc.file) {
					t.Errorf("the journal does not say why: %+v", e)
				}
				if status, answer := w.control("GET", "/healthz", ""); status != 503 || answer["data"] != false ||
					!strings.Contains(fmt.Sprint(answer["status"]), tc.file) {
					t.Errorf("health: %d %v", status, answer)
				}
				if status, _ := w.control("POST", "/reset", ""); status < 400 {
					t.Errorf("reset was answered %d", status)
				}
				// Put back, it is good again.
				if err := errors.Join(os.RemoveAll(path), os.Rename(path+"-moved", path)); err != nil {
					t.Fatal(err)
				}
				w.create()
				if status, answer := w.control("GET", "/healthz", ""); status != 200 || answer["data"] != true {
					t.Errorf("health: %d %v", status, answer)
				}
			})
		}
	}
	t.Run("database cut", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "data")
		w := onWire(t, &mockserver.Options{DataDir: dir})
		m := w.create()
		if err := os.Truncate(filepath.Join(dir, "requests.db"), 0); err != nil {
			t.Fatal(err)
		}
		diff(t, "create", []string{"SERVER:ERROR"}, w.call("create", sample()).reasons())
		if s := w.status(m); s["state"] != "draft" {
			t.Errorf("state %v", s["state"])
		}
		if status, _ := w.control("GET", "/healthz", ""); status != 503 {
			t.Errorf("health: %d", status)
		}
	})
}
