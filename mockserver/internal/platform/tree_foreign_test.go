//go:build unix

package platform

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// What is neither a file nor a directory is no part of a dump, however it came among its files, and nothing waits for
// it.
func TestTree_foreign(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), following(scenario.DefaultScript()))
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := createScript(t, p)
	u := begin(t, r)
	sent := write(t, u, map[string]string{"origin.dump/toc.dat": "PGDMP", "origin.dump/1.dat": "x"})
	home := p.opts.Dir.File(filepath.Join(datadir.Trees, name(r.ID()), dataDir, "origin.dump"))
	plant := func() {
		t.Helper()
		err := errors.Join(syscall.Mkfifo(home+"/2.dat", 0o600), os.Symlink(secret, home+"/3.dat"),
			os.Symlink(filepath.Dir(secret), home+"/out"))
		if err != nil {
			t.Fatal(err)
		}
	}
	plant()
	if s := end(t, u, true, sent...); !s.HasDump || s.Upload.Files != 2 {
		t.Errorf("%+v", s.Upload)
	}
	if _, fails := r.Process(); fails != nil {
		t.Fatal(fails)
	}
	for !ended(r.Snapshot().State) {
		r.Status()
	}
	got := contents(t, resultsOf(t, r))
	want := map[string]string{"upgraded.dump/toc.dat": "PGDMP", "upgraded.dump/1.dat": "x", reportName: "", logName: ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("for download (-want +got)\n%s", diff)
	}
	if err := p.Reset(func(int64, string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	noLeaks(t, p)
	if text, err := os.ReadFile(secret); string(text) != "secret" {
		t.Errorf("what a link led to is %q, %v", text, err)
	}
}

// A link in the place of a request's directory, or of the upload, is not followed.
func TestTree_linked(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	outside := t.TempDir()
	r := createScript(t, p)
	rsync(t, r, map[string]string{"origin.sql": "x"})
	home := p.opts.Dir.File(filepath.Join(datadir.Trees, name(r.ID())))
	u := begin(t, r)
	err := errors.Join(os.Remove(home+"/data/origin.sql"), os.Symlink(outside, home+"/data/origin.sql"))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := ending(u, true, []TreeFile{{Name: "origin.sql", Size: 1}}); err == nil || s.HasDump {
		t.Errorf("a link was taken for the upload: %+v, %v", s.Upload, err)
	}
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, home); err != nil {
		t.Fatal(err)
	}
	if _, err := r.BeginUpload(); err == nil {
		t.Error("an upload went through a link")
	}
	if entries, err := os.ReadDir(outside); len(entries) > 0 || err != nil {
		t.Errorf("outside is %v, %v", entries, err)
	}
}
