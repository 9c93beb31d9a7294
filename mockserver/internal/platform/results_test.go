package platform

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// upgrade uploads files and brings the request to its end.
func upgrade(tb testing.TB, r *Request, files map[string]string) {
	tb.Helper()
	rsync(tb, r, files)
	if _, fails := r.Process(); fails != nil {
		tb.Fatal(fails)
	}
	for !ended(r.Snapshot().State) {
		if _, fails := r.Status(); fails != nil {
			tb.Fatal(fails)
		}
	}
}

// resultsOf returns the files for download, which are released with the test.
func resultsOf(tb testing.TB, r *Request) fs.FS {
	tb.Helper()
	files, release, err := r.Results()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := release(); err != nil {
			tb.Error(err)
		}
	})
	return files
}

// contents are the files in a file system; the report and the log are only named.
func contents(tb testing.TB, files fs.FS) map[string]string {
	tb.Helper()
	got := make(map[string]string)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if got[name] = string(text); name == reportName || name == logName {
			got[name] = ""
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

// unzipped are the files in a zip, with what Odoo's manifest is left out.
func unzipped(tb testing.TB, data string) map[string]string {
	tb.Helper()
	z, err := zip.NewReader(strings.NewReader(data), int64(len(data)))
	if err != nil {
		tb.Fatal(err)
	}
	got := contents(tb, z)
	delete(got, "manifest.json")
	return got
}

// fixture is a sample dump under a name.
func fixture(name, dump string) map[string]string {
	return map[string]string{name: string(fixtures.Dump(dump))}
}

func sqlOf(tb testing.TB, name string) string {
	tb.Helper()
	data := fixtures.Dump(name)
	r, err := dump.SQL(tb.Context(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	sql, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return string(sql)
}

// What was uploaded comes back in the form that its API has for it: a directory as it is, a file as a zip with its
// SQL and a filestore.
func TestResults(t *testing.T) {
	t.Parallel()
	directory := make(map[string]string)
	for name, text := range directoryDump(t) {
		directory["upgraded.dump/"+strings.TrimPrefix(name, "origin.dump/")] = text
	}
	for name, tt := range map[string]struct {
		upload map[string]string
		want   map[string]string // beside report and log
		sql    string            // in upgraded.zip
	}{
		"a directory":     {directoryDump(t), directory, ""},
		"custom format":   {fixture("origin.dump", "openchs.cdump"), nil, sqlOf(t, "openchs.cdump")},
		"SQL":             {fixture("origin.sql", "openchs.sql"), nil, sqlOf(t, "openchs.sql")},
		"gzip":            {fixture("origin.sql.gz", "openchs.sql.gz"), nil, sqlOf(t, "openchs.sql.gz")},
		"no dump":         {map[string]string{"origin.sql": "made up"}, nil, "made up"},
		"a zip of Odoo's": {fixture("origin.zip", "openchs.zip"), fixture("upgraded.zip", "openchs.zip"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, t.TempDir(), following(scenario.DefaultScript()))
			r := createScript(t, p)
			upgrade(t, r, tt.upload)
			files := resultsOf(t, r)
			got := contents(t, files)
			if err := fstest.TestFS(files, reportName, logName); err != nil {
				t.Error(err)
			}
			for _, text := range []string{reportName, logName} {
				if _, ok := got[text]; !ok {
					t.Errorf("there is no %s", text)
				}
				delete(got, text)
			}
			if tt.sql != "" {
				members := unzipped(t, got["upgraded.zip"])
				if diff := cmp.Diff(tt.sql, members["dump.sql"]); diff != "" {
					t.Errorf("dump.sql (-want +got)\n%s", diff)
				}
				if n := len(members); n != 2 {
					t.Errorf("%d files are in the zip, want dump.sql and one in filestore/", n)
				}
				delete(got, "upgraded.zip")
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			want := "upgraded.zip"
			if name == "a directory" {
				want = "upgraded.dump"
			}
			if r.DumpName() != want {
				t.Errorf("dump_name is %s, want %s", r.DumpName(), want)
			}
		})
	}
}

// A script names other files, or leaves some out.
func TestResults_scripted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"new.zip": "zip", "new.dump": "custom", "new/toc.dat": "PGDMP", "new/1.dat": "x", "store/ab/abc": "stored",
		"report": "<p>mine", "log": "my log",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("new.zip", filepath.Join(dir, "link.zip")); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	renamed, none := "upgrade.zip", ""
	file, folder := map[string]string{"origin.sql": "made up"}, map[string]string{"origin.dump/toc.dat": "PGDMP"}
	both := scenario.Missing{Report: true, Log: true}
	noFilestore := scenario.Missing{Filestore: true, Report: true, Log: true}
	for name, tt := range map[string]struct {
		upload   map[string]string
		upgraded scenario.Upgraded
		dumpName string
		want     map[string]string
		zipped   map[string]string // in the dump; nil: not looked at
	}{
		"nothing but the dump": {folder, scenario.Upgraded{Missing: both}, "upgraded.dump",
			map[string]string{"upgraded.dump/toc.dat": "PGDMP"}, nil},
		"no dump": {folder, scenario.Upgraded{Missing: scenario.Missing{Archive: true}}, "upgraded.dump",
			map[string]string{reportName: "", logName: ""}, nil},
		"another name": {folder, scenario.Upgraded{DumpName: &renamed, Missing: both}, "upgrade.zip",
			map[string]string{"upgrade.zip/toc.dat": "PGDMP"}, nil},
		"no name": {folder, scenario.Upgraded{DumpName: &none, Missing: both}, "", map[string]string{}, nil},
		"another archive": {folder, scenario.Upgraded{Archive: at("new.zip"), Missing: both}, "upgraded.zip",
			map[string]string{"upgraded.zip": "zip"}, nil},
		"a link to it": {folder, scenario.Upgraded{Archive: at("link.zip"), Missing: both}, "upgraded.zip",
			map[string]string{"upgraded.zip": "zip"}, nil},
		"a custom dump": {file, scenario.Upgraded{Archive: at("new.dump"), Missing: both}, "upgraded.dump",
			map[string]string{"upgraded.dump": "custom"}, nil},
		"another directory": {file, scenario.Upgraded{Archive: at("new"), Missing: both}, "upgraded.dump",
			map[string]string{"upgraded.dump/toc.dat": "PGDMP", "upgraded.dump/1.dat": "x"}, nil},
		"a filestore beside": {folder, scenario.Upgraded{Filestore: at("store"), Missing: both}, "upgraded.dump",
			map[string]string{"upgraded.dump/toc.dat": "PGDMP", "filestore/ab/abc": "stored"}, nil},
		"a filestore inside": {file, scenario.Upgraded{Filestore: at("store"), Missing: both}, "upgraded.zip", nil,
			map[string]string{"dump.sql": "made up", "filestore/ab/abc": "stored"}},
		"no filestore": {file, scenario.Upgraded{Missing: noFilestore}, "upgraded.zip", nil,
			map[string]string{"dump.sql": "made up"}},
		"report and log": {folder, scenario.Upgraded{
			Report: at("report"), Log: at("log"), Missing: scenario.Missing{Archive: true},
		}, "upgraded.dump",
			map[string]string{reportName: "<p>mine", logName: "my log"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, t.TempDir(), following(&scenario.Scenario{Upgraded: tt.upgraded}))
			r := createScript(t, p)
			upgrade(t, r, tt.upload)
			files := resultsOf(t, r)
			if r.DumpName() != tt.dumpName {
				t.Errorf("dump_name is %q, want %q", r.DumpName(), tt.dumpName)
			}
			got := contents(t, files)
			if err := fstest.TestFS(files, slices.Collect(maps.Keys(got))...); err != nil {
				t.Error(err)
			}
			for _, name := range []string{reportName, logName} {
				if text, err := fs.ReadFile(files, name); err == nil && tt.want[name] != "" {
					got[name] = string(text)
				}
			}
			if tt.zipped != nil {
				if diff := cmp.Diff(tt.zipped, unzipped(t, got[tt.dumpName])); diff != "" {
					t.Errorf("in the zip (-want +got)\n%s", diff)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	for name, u := range map[string]scenario.Upgraded{
		"archive": {Archive: at("none")}, "filestore": {Filestore: at("none")},
		"report": {Report: at("none")}, "log": {Log: at("none")},
	} {
		p := open(t, t.TempDir(), following(&scenario.Scenario{Upgraded: u}))
		r := createScript(t, p)
		upgrade(t, r, file)
		if _, _, err := r.Results(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "the scenario's") {
			t.Errorf("%s, which is not there: %v", name, err)
		}
	}
}

// A built archive is a small database of its own, and beside a directory a filestore alone.
func TestResults_built(t *testing.T) {
	t.Parallel()
	script := &scenario.Scenario{Upgraded: scenario.Upgraded{Built: true}}
	p := open(t, t.TempDir(), following(script))
	r := createScript(t, p)
	upgrade(t, r, map[string]string{"origin.dump/toc.dat": "PGDMP"})
	got := contents(t, resultsOf(t, r))
	if len(got) != 4 || got["upgraded.dump/toc.dat"] != "PGDMP" {
		t.Errorf("the files are %q", got)
	}
	r = createScript(t, p)
	upgrade(t, r, map[string]string{"origin.sql": "made up"})
	files := unzipped(t, contents(t, resultsOf(t, r))["upgraded.zip"])
	if len(files) != 2 || !strings.Contains(files["dump.sql"], "ir_config_parameter") {
		t.Errorf("in the zip are %q", files)
	}
}

// The report and the log tell of the request, the log as it was while the upgrade ran; a dump that cannot be read,
// and a state that has no results, are errors.
func TestResults_texts(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), following(scenario.DefaultScript()))
	params := scriptParams()
	params.Aim, params.Target = "production", "saas~18.2"
	s, fails := p.CreateScript(params)
	if fails != nil {
		t.Fatal(fails)
	}
	r := token(t, p, s.Key)
	if _, _, err := r.Results(); !errors.Is(err, ErrNoContent) {
		t.Errorf("in new: %v", err)
	}
	upgrade(t, r, map[string]string{"origin.sql": "made up"})
	files := resultsOf(t, r)
	log, err := fs.ReadFile(files, logName)
	if diff := cmp.Diff(logOf(t, r), string(log)); diff != "" || err != nil {
		t.Errorf("%v (-log +file)\n%s", err, diff)
	}
	report, err := fs.ReadFile(files, reportName)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("request %d", s.ID), "for production", "saas~18.2", "origin.sql", "no, as this upgrade is",
	} {
		if !strings.Contains(string(report), want) {
			t.Errorf("the report does not say %q:\n%s", want, report)
		}
	}
	for name, file := range map[string]string{"origin.sql.gz": "openchs.sql.gz", "origin.dump": "openchs.cdump"} {
		r := createScript(t, p)
		upgrade(t, r, map[string]string{name: string(fixtures.Dump(file)[:2000])})
		if _, _, err := r.Results(); !errors.Is(err, ErrUnreadable) {
			t.Errorf("a cut %s: %v", file, err)
		}
	}
}

// The zip is made once, by the time that it is asked for, and is there after a kill.
func TestResults_madeOnce(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), following(scenario.DefaultScript()))
	r := createScript(t, p)
	upgrade(t, r, map[string]string{"origin.sql": string(fixtures.Dump("openchs.sql"))})
	p.background.Wait()
	if r.rec.Upgraded == nil {
		t.Error("nothing was made before it was asked for")
	}
	first, again := contents(t, resultsOf(t, r)), contents(t, resultsOf(t, r))
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	q := killed(t, p)
	made := token(t, q, r.Key())
	diff := cmp.Diff(first, contents(t, resultsOf(t, made)))
	if diff != "" || made.rec.Upgraded.Seq != r.rec.Upgraded.Seq {
		t.Errorf("after a kill (-before +after)\n%s", diff)
	}
	noLeaks(t, q)
	if err := q.Reset(func(int64, string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	noLeaks(t, q)
}
