package capsule_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/capsule"
	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

var stage = capsule.Stage{Clock: capsule.ClockVirtual, Seed: 7, Region: "eu2"}

// throughFile writes a capsule and reads it again.
func throughFile(t *testing.T, c *capsule.Capsule) *capsule.Capsule {
	t.Helper()
	var file bytes.Buffer
	if err := c.Write(&file); err != nil {
		t.Fatal(err)
	}
	got, err := capsule.Read(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatalf("%v\n%s", err, &file)
	}
	return got
}

// TestRead: what is written is what is read.
func TestRead(t *testing.T) {
	t.Parallel()
	scripts := []*scenario.Scenario{{Name: "a", Steps: []scenario.Step{{State: "done"}}}}
	made, err := capsule.New(t.Context(), stage, scripts, []journal.Event{
		{Seq: 1, On: scenario.OnCreate, Request: 7, Status: 200}, {Seq: 2, On: scenario.OnStatus, Request: 7, Status: 502},
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	made.Request, made.Failed = 7, []string{"a: exit"}
	made.Client = &capsule.Client{Command: []string{"sh", "-c", "x < y && z"}, Exit: 3}
	if diff := cmp.Diff(made, throughFile(t, made)); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
}

// TestUnpack: files that a scenario names are made where nothing of the old place is; dumps are made up.
func TestUnpack(t *testing.T) {
	t.Parallel()
	from := t.TempDir()
	random := make([]byte, 300<<10)
	rand.NewChaCha8([32]byte{}).Read(random)
	files := map[string][]byte{
		"up.zip": append(fixtures.Dump("openchs.zip"), make([]byte, 5000)...),
		"up.sql": fixtures.Dump("openchs.sql"), "notes.html": []byte("<h1>Notes</h1>\n"),
		"modules.zip": random, "store/0a/0a1b": []byte("a customer's file"),
		"log.txt": []byte("\x00\xff no text"), "report.html": fixtures.Dump("openchs.sql.gz"),
		"more.txt": []byte("-----BEGIN PRIVATE KEY-----\n"),
	}
	for name, content := range files {
		full := filepath.Join(from, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(from, name) }
	s := &scenario.Scenario{Name: "files", Steps: []scenario.Step{
		{State: "pending", For: scenario.For{Polls: 1}, Log: &scenario.Log{File: at("log.txt")}},
		{State: "done", Log: &scenario.Log{File: at("more.txt")}},
	}, Upgraded: scenario.Upgraded{Archive: at("up.zip"), SQL: at("up.sql"), Notes: at("notes.html"),
		Modules: at("modules.zip"), Filestore: at("store"), Report: at("report.html")}}
	made, err := capsule.New(t.Context(), stage, []*scenario.Scenario{s, s}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := made.Write(&file); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"CREATE TABLE", "customer's", "PRIVATE KEY", from} {
		if bytes.Contains(file.Bytes(), []byte(secret)) {
			t.Errorf("the capsule has %q in it", secret)
		}
	}
	if err := os.RemoveAll(from); err != nil {
		t.Fatal(err)
	}
	c, err := capsule.Read(&file)
	if err == nil {
		err = c.Unpack(t.TempDir())
	}
	if err != nil {
		t.Fatal(err)
	}
	u := c.Scenarios[1].Upgraded
	read := func(name string) []byte {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, got := range map[string]string{"notes.html": u.Notes, "log.txt": c.Scenarios[0].Steps[0].Log.File} {
		if diff := cmp.Diff(files[name], read(got)); diff != "" || filepath.Base(got) != name {
			t.Errorf("%s (-then +now):\n%s", got, diff)
		}
	}
	for name, got := range map[string]string{"up.zip": u.Archive, "up.sql": u.SQL, "modules.zip": u.Modules,
		"store/0a/0a1b": filepath.Join(u.Filestore, "0a/0a1b"), "report.html": u.Report,
		"more.txt": c.Scenarios[0].Steps[1].Log.File} {
		if text := read(got); bytes.Equal(text, files[name]) || len(text) != len(files[name]) {
			t.Errorf("%s has %d bytes, wanted others, %d", got, len(text), len(files[name]))
		}
	}
	kinds := func(name string) []string {
		text := read(name)
		return dump.Sniff(bytes.NewReader(text), int64(len(text))).Compressions
	}
	if diff := cmp.Diff([]string{"zip", "sql"}, kinds(u.Archive)); diff != "" {
		t.Errorf("the stand-in of the zip: %s", diff)
	}
	want := []string{
		"1/up.zip, which is a dump or a part of one; made-up bytes take its place, 8.88 Kb",
		"2/store, which is a dump or a part of one; made-up bytes take its place, 17.00 b",
		"3/modules.zip, which is large; made-up bytes take its place, 300.00 Kb",
		"5/report.html, which is a dump; made-up bytes take its place, 3.61 Kb",
		"6/up.sql, which is a dump or a part of one; made-up bytes take its place, 46.78 Kb",
		"8/more.txt, which has a private key in it; made-up bytes take its place, 28.00 b",
	}
	if diff := cmp.Diff(want, c.LeftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

// TestDump: a dump is made up with its size, as what it was.
func TestDump(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		size int
		want []string
	}{
		{"openchs.cdump", 200_000, []string{"pgdmp_custom", "sql"}},
		{"openchs.zip", 70_001, []string{"zip", "sql"}},
		{"openchs.sql.gz", 3692, []string{"gzip", "sql"}},
		{"openchs.sql.gz", 200_003, []string{"gzip", "sql"}},
		{"openchs.sql", 47906, []string{"sql"}},
	} {
		t.Run(fmt.Sprint(tc.name, tc.size), func(t *testing.T) {
			t.Parallel()
			content := append(fixtures.Dump(tc.name), make([]byte, tc.size)...)[:tc.size]
			content[tc.size-1] = 1
			path := filepath.Join(t.TempDir(), tc.name)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := capsule.DescribeDump(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if !d.Is(t.Context(), path) {
				t.Error("the dump is not what it is")
			}
			made, err := d.Unpack(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(made)
			if err != nil {
				t.Fatal(err)
			}
			got := dump.Sniff(bytes.NewReader(text), int64(len(text))).Compressions
			if diff := cmp.Diff(tc.want, got); diff != "" || len(text) != tc.size {
				t.Errorf("%d bytes, wanted %d; %s", len(text), tc.size, diff)
			}
			if filepath.Base(made) != tc.name || d.Is(t.Context(), made) {
				t.Errorf("%s is made up, and is the dump", made)
			}
		})
	}
}

// TestNew_bounds: what is too much is left out, and that is said.
func TestNew_bounds(t *testing.T) {
	t.Parallel()
	events := []journal.Event{{On: scenario.OnStatus, Request: 3}}
	for range capsule.MaxEvents + 5 {
		events = append(events, journal.Event{On: scenario.OnCreate, Request: 7, Agent: strings.Repeat("x", 50)})
	}
	c, err := capsule.New(t.Context(), stage, nil, events, 12)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"the first 12 events, which the emulator does not remember",
		"what happened to requests that were made before the journal begins: 3", "the last 5 of 10005 events"}
	if diff := cmp.Diff(want, c.LeftOut); diff != "" || len(c.Journal) != capsule.MaxEvents {
		t.Errorf("%d events; %s", len(c.Journal), diff)
	}
	large := []journal.Event{{On: scenario.OnCreate, Path: strings.Repeat("x", 300<<10)}}
	if c, err = capsule.New(t.Context(), stage, nil, large, 0); err != nil || len(c.Journal) != 0 || len(c.LeftOut) != 1 {
		t.Errorf("a large event is kept: %v, %v", c.LeftOut, err)
	}
	gone := &scenario.Scenario{Upgraded: scenario.Upgraded{Notes: "gone.html"}}
	_, err = capsule.New(t.Context(), stage, []*scenario.Scenario{gone}, nil, 0)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}
}

func TestRead_bad(t *testing.T) {
	t.Parallel()
	head := `{"upgrademock_capsule":1,"clock":"real",`
	for text, want := range map[string]string{
		"":                            "it is empty",
		"{":                           "it breaks off in line 1, byte 1",
		"{}":                          "wanted a capsule",
		"[1]":                         "wanted a capsule",
		"{\n \"a\": x}":               "in line 2, byte 7: invalid character 'x'",
		head + "\n\"journal\":[{\"se": "it breaks off in line 2, byte 15: it is not whole",
		`{"upgrademock_capsule":9, "version": "v7"}`:                              `it has format 9, of upgrademock "v7", and format 1 is read here`,
		`{"upgrademock_capsule":1}`:                                               "clock: wanted one of real, virtual, skip",
		head + `"journal":7}`:                                                     "it is damaged: journal: wanted a list",
		head + `"journal":[{},{"seq":"x"}]}`:                                      "journal[1]: seq: wanted uint64, found string",
		head + `"scenarios":[null]}`:                                              "scenarios[0]: wanted a scenario, found null",
		head + `"scenarios":[{"step":[]}]}`:                                       "unknown key `step`",
		head + `"files":[{"name":"../x"}]}`:                                       `"../x" is no name for a file`,
		head + `"files":[{"name":"a","size":9}]}`:                                 "its size is 9, and its content has 0 bytes",
		head + `"files":[{"name":"a","stand_in":"elf"}]}`:                         `unknown stand-in "elf"`,
		head + `"client":{"command":["a"],"dump":{"files":[{"name":"/etc/x"}]}}}`: `"/etc/x" is no name for a file`,
		head + `"client":{}}`:                                                     "wanted a command",
		head + `"journal":[` + strings.Repeat("{},", 10_000) + `{}]}`:             "journal[10000]: it is too long",
	} {
		if _, err := capsule.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %s", text, err, want)
		}
	}
	// What is large is not read to its end.
	var passed counter
	_, err := capsule.Read(io.TeeReader(io.LimitReader(zeros{}, 500<<20), &passed))
	if !errors.Is(err, capsule.ErrFormat) || passed > 40<<20 {
		t.Errorf("%v, after %d bytes", err, passed)
	}
}

type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return copy(b, strings.Repeat(" ", len(b))), nil }

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"upgrademock_capsule":1,"clock":"virtual","scenarios":[{"name":"a","steps":[{"state":"done"}]}],` +
		`"files":[{"name":"1/a","size":1,"text":"x"},{"name":"b","stand_in":"zip","size":9}],` +
		`"journal":[{"seq":1,"on":"status","status":200}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := capsule.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for i := range c.Files {
			c.Files[i].Size = min(c.Files[i].Size, 1<<20)
		}
		var file bytes.Buffer
		if err := c.Write(&file); err != nil {
			t.Fatal(err)
		}
		again, err := capsule.Read(&file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.Journal, again.Journal, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Error(diff)
		}
		dir := t.TempDir()
		c.Unpack(filepath.Join(dir, "below")) // which is not there
		if err := os.Mkdir(filepath.Join(dir, "below"), 0o700); err != nil {
			t.Fatal(err)
		}
		c.Unpack(filepath.Join(dir, "below"))
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%d files beside it: %v", len(entries), err)
		}
	})
}
