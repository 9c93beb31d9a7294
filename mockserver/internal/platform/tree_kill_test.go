package platform

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// What was acknowledged is there after a kill at any instant: the request and its token, the files that were whole, a
// complete dump. What rsync was writing is not.
func TestTree_killed(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	r := createScript(t, p)
	again := func(p *Platform) (*Platform, *Request) {
		t.Helper()
		next := killed(t, p)
		noLeaks(t, next)
		return next, token(t, next, r.Key())
	}
	if _, q := again(p); q.Snapshot().State != StateNew || q.SSHKey() != r.SSHKey() {
		t.Errorf("a new request is %+v", q.Snapshot())
	}
	u := begin(t, r)
	if _, q := again(p); q.Snapshot().HasDump {
		t.Errorf("after the beginning of a session: %+v", q.Snapshot().Upload)
	}
	first := write(t, u, map[string]string{"origin.dump/1.dat": "one", "origin.dump/.2.dat.abcdef": "half"})
	_, q := again(p)
	if s := q.Snapshot(); s.HasDump || s.Upload.Incomplete != whyKilled {
		t.Errorf("in a session: %+v", s.Upload)
	}
	v := begin(t, q) // which goes on after the kill
	if text, err := v.Root().ReadFile("origin.dump/1.dat"); string(text) != "one" {
		t.Errorf("the file that was whole is %q, %v", text, err)
	}
	if _, err := v.Root().Lstat("origin.dump/.2.dat.abcdef"); err == nil {
		t.Error("what was being written is there")
	}
	sent := write(t, v, map[string]string{"origin.dump/toc.dat": "PGDMP"})
	complete, err := ending(v, true, sent, first[1:]...)
	if err != nil || !complete.HasDump {
		t.Fatalf("%+v, %v", complete.Upload, err)
	}
	p, q = again(q.p)
	if diff := cmp.Diff(complete, q.Snapshot()); diff != "" {
		t.Errorf("a complete dump (-before +after the kill)\n%s", diff)
	}
	w := begin(t, q)
	p2, q2 := again(p)
	if !q2.Snapshot().HasDump {
		t.Error("a session that had touched nothing has cost the dump")
	}
	if _, fails := q2.Process(); fails != nil {
		t.Error(fails)
	}
	if _, q3 := again(p2); q3.Snapshot().State != StatePending {
		t.Errorf("a request that was processed is %s", q3.Snapshot().State)
	}
	write(t, w, map[string]string{"origin.dump/toc.dat": "PGDMP and more"})
	if _, q = again(p); q.Snapshot().HasDump || q.Snapshot().Upload.Incomplete != whyKilled {
		t.Errorf("a session that had replaced a file: %+v", q.Snapshot().Upload)
	}
}

// What somebody did to the files of a complete dump while the emulator was down is damage, in words; what it finds that
// belongs to no request is set aside.
func TestTree_damaged(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(home string) error
		says   string // "" is no damage at the start
		deep   string // what CheckDumps says
	}{
		"nothing": {func(string) error { return nil }, "", ""},
		"missing": {func(home string) error { return os.Remove(home + "/data/origin.dump/3.dat") },
			"origin.dump/3.dat is missing", ""},
		"cut": {func(home string) error { return os.Truncate(home+"/data/origin.dump/toc.dat", 2) },
			"origin.dump/toc.dat was changed: it has 2 bytes, and had 5", ""},
		"longer": {func(home string) error { return os.Truncate(home+"/data/origin.dump/toc.dat", 20) },
			"it has 20 bytes", ""},
		"changed": {func(home string) error {
			return os.WriteFile(home+"/data/origin.dump/toc.dat", []byte("PGDMQ"), 0o600)
		}, "",
			"origin.dump/toc.dat was changed: its checksum is"},
		"a link": {func(home string) error {
			file := home + "/data/origin.dump/3.dat"
			if err := os.Rename(file, home+"/3"); err != nil {
				return err
			}
			return os.Symlink(home+"/3", file)
		}, "origin.dump/3.dat was replaced by a link", ""},
		"a linked directory": {func(home string) error {
			if err := os.Rename(home+"/data/origin.dump", home+"/aside"); err != nil {
				return err
			}
			return os.Symlink("../aside", home+"/data/origin.dump")
		}, "it is a link, not a directory", ""},
		"all of it": {os.RemoveAll, "data is missing", ""},
		"the list": {func(home string) error {
			lists, err := filepath.Glob(home + "/files.*")
			if err != nil || len(lists) != 1 {
				t.Errorf("the lists are %q, %v", lists, err)
			}
			return os.Remove(lists[0])
		}, "is missing", ""},
		"a cut list": {func(home string) error {
			lists, _ := filepath.Glob(home + "/files.*")
			return os.Truncate(lists[0], 10)
		}, "is no list of files", ""},
		"an empty list": {func(home string) error {
			lists, _ := filepath.Glob(home + "/files.*")
			return os.Truncate(lists[0], 0)
		}, "it lists 0 files, and listed 3", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := open(t, dir)
			r := createScript(t, p)
			rsync(t, r, map[string]string{"origin.dump/toc.dat": "PGDMP", "origin.dump/3.dat": "x", "origin.dump/4.dat": "y"})
			other := createScript(t, p)
			rsync(t, other, map[string]string{"origin.sql": "x"})
			down := t.TempDir()
			if err := os.CopyFS(down, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := tt.change(filepath.Join(down, datadir.Trees, r.ref().ID)); err != nil {
				t.Fatal(err)
			}
			next := open(t, down)
			q := token(t, next, r.Key())
			expectDamage(t, next, q, tt.says)
			if _, fails := token(t, next, other.Key()).Process(); fails != nil {
				t.Errorf("another request: %v", fails)
			}
			if tt.says == "" {
				if err := next.CheckDumps(t.Context()); err != nil {
					t.Fatal(err)
				}
				expectDamage(t, next, q, tt.deep)
			}
		})
	}
}

func (r *Request) ref() Ref { return Ref{ID: name(r.ID()), Key: r.Key()} }

// expectDamage checks what is known to be wrong with a request, and that its calls tell it.
func expectDamage(t *testing.T, p *Platform, r *Request, says string) {
	t.Helper()
	damage := p.Damaged()[r.ID()]
	_, fails := r.Status()
	switch {
	case says == "" && (damage != nil || fails != nil):
		t.Errorf("damage %v, and status says %v; want none", damage, fails)
	case says != "" && (damage == nil || !strings.Contains(damage.Error(), says)):
		t.Errorf("damage %v, want one with %q", damage, says)
	case says != "" && (len(fails) != 1 || fails[0].Reason != ReasonServerError || !strings.Contains(fails[0].Why, says)):
		t.Errorf("status says %+v", fails)
	}
}

// A file that is lost while the emulator runs is noticed by process.
func TestTree_damagedNow(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	r := createScript(t, p)
	rsync(t, r, map[string]string{"origin.dump/toc.dat": "PGDMP", "origin.dump/3.dat": "x"})
	file := filepath.Join(datadir.Trees, name(r.ID()), dataDir, "origin.dump/3.dat")
	if err := os.Remove(p.opts.Dir.File(file)); err != nil {
		t.Fatal(err)
	}
	if _, fails := r.Process(); len(fails) != 1 || fails[0].Reason != ReasonServerError {
		t.Errorf("%+v", fails)
	}
	expectDamage(t, p, r, "origin.dump/3.dat is missing")
}

// What belongs to no request is set aside under its name, and the lists of earlier uploads are removed.
func TestTrees_settle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := open(t, dir)
	r := createScript(t, p)
	for range 3 {
		rsync(t, r, map[string]string{"origin.sql": "x"})
	}
	lists, _ := filepath.Glob(filepath.Join(dir, datadir.Trees, "*", "files.*"))
	if len(lists) != 1 {
		t.Errorf("the lists are %q", lists)
	}
	down := t.TempDir()
	if err := os.CopyFS(down, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"trees/99/data/origin.sql": "lost", "trees/notes": "mine", "trees/" + name(r.ID()) + "/files.999": "",
	} {
		file := filepath.Join(down, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := open(t, down)
	noLeaks(t, next)
	got := make(map[string]string)
	err := fs.WalkDir(os.DirFS(down), ".", func(path string, d fs.DirEntry, err error) error {
		if strings.HasPrefix(path, "lost+found/") || strings.HasPrefix(path, "trees/") {
			if text, err := os.ReadFile(filepath.Join(down, path)); err == nil && !strings.Contains(path, "/files.") {
				got[path] = string(text)
			} else if err == nil {
				got["a list"] += "1"
			}
		}
		return err
	})
	want := map[string]string{
		"lost+found/99/data/origin.sql": "lost", "lost+found/notes": "mine", "a list": "1",
		"trees/" + name(r.ID()) + "/data/origin.sql": "x",
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	notes := strings.Join(next.opts.Dir.Notes(), "\n")
	if !strings.Contains(notes, "99, notes belonged to no request in trees") {
		t.Errorf("the notes are %q", notes)
	}
}

// A directory without anything of the script API, as earlier versions left it, is taken up as it is.
func TestTrees_olderDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := open(t, dir)
	ref := create(t, p)
	if fails := upload(t, p, ref, []byte("the dump")); fails != nil {
		t.Fatal(fails)
	}
	older := t.TempDir()
	if err := os.CopyFS(older, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(older, datadir.Trees)); err == nil {
		t.Error("a directory for uploads over rsync was made, and none is needed")
	}
	next := open(t, older, func(o *Options) {
		o.Script = func(CreateParams) *scenario.Scenario { return scenario.DefaultScript() }
	})
	if got := string(original(t, next, ref)); got != "the dump" {
		t.Errorf("the dump is %q", got)
	}
	r := createScript(t, next)
	rsync(t, r, map[string]string{"origin.sql": "x"})
	if r.ID() != firstID+1 {
		t.Errorf("the next id is %d", r.ID())
	}
	if q := token(t, killed(t, next), r.Key()); !q.Snapshot().HasDump {
		t.Error("the dump is not there after a kill")
	}
}
