package mockserver_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/client"
)

// addresses are the host and port in an answer's URLs.
var addresses = regexp.MustCompile(`https?://[0-9.]+:[0-9]+`)

// kills is how often a test kills: it costs most of this package's time. UPGRADEMOCK_KILLS has it kill more
// often; see bench/crash.sh.
func kills(t *testing.T) int {
	text, more := os.LookupEnv("UPGRADEMOCK_KILLS")
	if !more {
		return 12
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("UPGRADEMOCK_KILLS=%q: wanted how often to kill", text)
	}
	return n
}

// A kill -9 at any instant, with every kind of call, uploads, SFTP and rsync transfers under way: every
// answer that was given still holds in the next life, nothing half-written is served, an SFTP transfer that is resumed
// by size leaves no hole, one of rsync sends no whole file again, no id is given twice, and files of other people stay
// as they are.
func TestKill(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	run := newKilling(t, filepath.Join(t.TempDir(), "data"), false)
	run.lives(kills(t))
}

// killing is a run of lives on one data directory.
type killing struct {
	*testing.T
	dir     string
	full    bool // the disk is small: calls may be refused
	random  *rand.Rand
	theirs  []string // directories and files of other people, in the data directory, too
	before  map[string]string
	hostKey []byte
	maxID   int64
	scripts []*scriptAccount // of the last life
	checked int              // answers
}

func newKilling(t *testing.T, dir string, full bool) *killing {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &killing{T: t, dir: dir, full: full, random: rand.New(rand.NewPCG(seed, 0))}
	startChild(t, "serve", dir).kill()
	elsewhere := t.TempDir()
	plant(t, elsewhere, map[string]string{"known_hosts": "host ssh-rsa AAAA\n", "dumps/1": "one", "photos/a.jpg": "sun",
		"link": "->photos"})
	plant(t, dir, map[string]string{"notes.txt": "Dear aunt,", "photos/a.jpg": "sun", "link": "->" + elsewhere,
		"dumps-of-mine/1": "one"})
	k.theirs = []string{elsewhere}
	for _, name := range []string{"notes.txt", "photos", "link", "dumps-of-mine"} {
		k.theirs = append(k.theirs, filepath.Join(dir, name))
	}
	k.before = inventory(t, k.theirs...)
	return k
}

// lives is so many lives, each of which ends in a kill, and a last one.
func (k *killing) lives(n int) {
	var clients []*account
	for life := range n + 1 {
		k.makeRoom()
		c := startChild(k, "serve", k.dir)
		if key := readFile(k, k.dir+"/ssh_host_ecdsa_key"); k.hostKey == nil {
			k.hostKey = key
		} else if !bytes.Equal(key, k.hostKey) {
			k.Error("the host key is new")
		}
		k.check(c.wire, clients)
		if life == n || k.Failed() {
			c.stop()
			break
		}
		clients = k.live(c, life)
	}
	k.Logf("%d kills, %d answers held against what was served after them", n, k.checked)
}

// live has clients of every kind at work until the emulator is killed.
func (k *killing) live(c *child, life int) (clients []*account) {
	kinds := []string{"https", "sftp", "upgrade", "testing", "reset", "https", "sftp"}
	began := make(chan struct{}, len(kinds)+1)
	var wg sync.WaitGroup
	for i, kind := range kinds {
		a := &account{kind: kind, seed: uint64(life*100 + i), full: k.full}
		clients = append(clients, a)
		wg.Go(func() { a.live(c.wire, began) })
	}
	k.scripts = nil
	if !k.full { // whose refusals are as many as its calls
		signer, _, err := client.GenerateSSHKey()
		if err != nil {
			k.Fatal(err)
		}
		a := &scriptAccount{seed: uint64(life*100 + len(kinds)), dir: k.TempDir(), signer: signer}
		k.scripts = []*scriptAccount{a}
		wg.Go(func() { a.live(c.wire, began) })
	}
	k.fill()
	for range len(kinds) + len(k.scripts) {
		<-began
	}
	select { // the instant is not agreed with anything that happens: this is what is tested
	case <-time.After(time.Duration(k.random.IntN(60_000)) * time.Microsecond):
	case <-k.Context().Done():
	}
	c.kill()
	wg.Wait()
	return clients
}

// check holds a life against what the last one answered, and the files against what they were.
func (k *killing) check(w *wire, clients []*account) {
	for _, a := range clients {
		a.check(w)
		k.checked += a.answers
		for _, r := range a.requests {
			k.maxID = max(k.maxID, r.id)
		}
	}
	for _, a := range k.scripts {
		a.check(w)
		k.checked += a.answers
		for _, r := range a.requests {
			id, _ := strconv.ParseInt(r.ref.ID, 10, 64)
			k.maxID = max(k.maxID, id)
		}
	}
	if m := w.create(); m.id <= k.maxID {
		k.Errorf("id %d is given after %d", m.id, k.maxID)
	}
	if d := cmp.Diff(k.before, inventory(k, k.theirs...)); d != "" {
		k.Errorf("files of other people have changed (-before +after):\n%s", d)
	}
	names := []string{
		"UPGRADEMOCK-DATA", "requests.db", "dumps", "trees", "lost+found", "ca.pem", "ca-key.pem", "ssh_host_ecdsa_key",
		"known_hosts",
		"notes.txt", "photos", "link", "dumps-of-mine",
	}
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		k.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			k.Errorf("%s is left in the data directory", e.Name())
		}
	}
	if k.full { // what was set aside takes room, and nobody will look for it
		if err := os.RemoveAll(filepath.Join(k.dir, "lost+found")); err != nil {
			k.Fatal(err)
		}
		w.try("POST", "/_mock/reset", nil)
	}
}

// ballast is a file that fills a small disk while the clients are at work, so that there is room for the checks.
const ballast = 512 << 10

func (k *killing) makeRoom() {
	if err := os.Remove(k.dir + ".ballast"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.Fatal(err)
	}
}

func (k *killing) fill() {
	if k.full {
		os.WriteFile(k.dir+".ballast", make([]byte, ballast), 0o600) // as far as there is room
	}
}

// A kill -9 while the emulator starts: the next start succeeds wherever the first would have, is refused
// wherever that would have been, and files of other people stay as they are.
func TestKill_starting(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for name, tc := range map[string]struct {
		make    func(t *testing.T) string
		refused bool
	}{
		"no directory": {func(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }, false},
		"empty":        {func(t *testing.T) string { return t.TempDir() }, false},
		"ours":         {kept, false},
		"earlier":      {unmarked, false},
		"foreign": {func(t *testing.T) string {
			dir := t.TempDir()
			plant(t, dir, map[string]string{"known_hosts": "host ssh-rsa AAAA\n", "dumps/1": "one", "letter.txt": "Dear aunt,"})
			return dir
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range (kills(t) + 4) / 5 {
				dir := tc.make(t)
				before := make(map[string]string)
				if tc.refused {
					before = inventory(t, dir)
				}
				cmd := childCommand(t, "serve", dir)
				cmd.Stderr = nil
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				select {
				case <-time.After(time.Duration(rand.IntN(60_000)) * time.Microsecond):
				case <-t.Context().Done():
				}
				cmd.Process.Kill()
				cmd.Wait()
				if tc.refused {
					if d := cmp.Diff(before, inventory(t, dir)); d != "" {
						t.Errorf("files have changed (-before +after):\n%s", d)
					}
					continue
				}
				c := startChild(t, "serve", dir)
				m := c.create()
				c.upload(m, pattern(1000, 1))
				c.stop()
				for path := range inventory(t, dir) {
					if strings.Contains(path, ".upgrademock-") || strings.HasSuffix(path, ".part") {
						t.Errorf("%s is left", path)
					}
				}
			}
		})
	}
}
