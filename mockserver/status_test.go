package mockserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
)

// sampleDump is a dump of which the platform can tell as much as of the one in the page's sample: a custom archive of
// PostgreSQL 9.4 and of 912.99 Kb, whose contents nobody can read.
func sampleDump() []byte {
	dump := make([]byte, 934_902)
	copy(dump, fixtures.Dump("openchs.cdump")[:160])
	return bytes.Replace(dump, []byte("15.18"), []byte("9.4.5"), 2)
}

// The page's sample answer, to the byte but for key and host (docs/fidelity.md, section 7, 3.8, 4.7).
func TestStatus_documentedSample(t *testing.T) {
	t.Parallel()
	onBothWires(t, &mockserver.Options{Clock: new(mockserver.ManualClock)}, func(t *testing.T, w *wire) {
		m := w.create()
		w.upload(m, sampleDump())
		want := strings.NewReplacer("Aw7pItGVKFuZ_FOR3U8VFQ==", m.key, "https://upgrade.odoo.com", w.base).Replace(
			compact(t, fixtures.Answer("status")))
		diff(t, "answer", want, strings.TrimSpace(w.good("status", m.params()).Body))
	})
}

// Before an upload, what is not known is null, and not left out (docs/fidelity.md, section 7).
func TestStatus_beforeUpload(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Clock: new(mockserver.ManualClock)})
	m := w.create("timezone", "Europe/Brussels", "aim", "production", "target", "6.1")
	want := strings.NewReplacer("Aw7pItGVKFuZ_FOR3U8VFQ==", m.key, "https://upgrade.odoo.com", w.base,
		`"912.99 Kb"`, "null", `["pgdmp_custom","sql"]`, "[]", `"9.4"`, "null",
		`"timezone":null`, `"timezone":"Europe/Brussels"`, `"aim":"test"`, `"aim":"production"`, `"target":"8.0"`,
		`"target":"6.1"`,
	).Replace(compact(t, fixtures.Answer("status")))
	diff(t, "answer", want, strings.TrimSpace(w.good("status", m.params()).Body))
}

// The keys keep their order in every state, and in the answers of create and upgrade (row 3.8, section 7).
func TestStatus_keyOrder(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	keys := func(body []byte) (keys []string) {
		dec := json.NewDecoder(bytes.NewReader(body))
		depth := 0
		for key := true; ; {
			token, err := dec.Token()
			if err != nil {
				return keys
			}
			switch v := token.(type) {
			case json.Delim:
				if v == '{' || v == '[' {
					depth++
				} else {
					depth--
				}
				key = true
			case string:
				if key && depth == 2 {
					keys = append(keys, v)
					key = false
					continue
				}
				key = true
			default:
				key = true
			}
		}
	}
	want := keys(fixtures.Answer("status"))
	if len(want) < 28 {
		t.Fatalf("the sample's keys: %q", want)
	}
	a := w.good("create", sample())
	m := madeOf(t, a)
	diff(t, "create", want, keys([]byte(a.Body)))
	w.upload(m, fixtures.Dump("openchs.zip"))
	for _, state := range []string{"draft", "pending", "processing", "done"} {
		if state == "pending" {
			w.good("process", m.params())
		}
		a := w.good("status", m.params())
		diff(t, state, want, keys([]byte(a.Body)))
		if a.Request["state"] != state {
			t.Errorf("state %v, want %s", a.Request["state"], state)
		}
	}
	one := w.send("POST", "upgrade?"+sample().Encode(), nil, strings.NewReader("SELECT 1;\n"))
	diff(t, "upgrade", append(want, "migrated_sql_url"), keys([]byte(one.Body)))
}

// Everything is of the type the page's sample has (docs/fidelity.md, section 7), in the last state, too.
func TestStatus_types(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create("timezone", "UTC")
	w.upload(m, fixtures.Dump("openchs.zip"))
	s := w.finish(m)
	for key, value := range s {
		want := "string"
		switch key {
		case "id", "issue":
			want = "float64"
		case "filestore":
			want = "bool"
		case "compressions":
			want = "[]interface {}"
		case "estimated_time", "customer_message":
			want = "<nil>"
		}
		if got := fmt.Sprintf("%T", value); got != want {
			t.Errorf("%s is a %s (%v), want a %s", key, got, value, want)
		}
	}
	if id, issue := s["id"].(float64), s["issue"].(float64); id != float64(int64(id)) || issue != float64(int64(issue)) {
		t.Errorf("id %v, issue %v: not integers", id, issue)
	}
}

// The URLs lead back to whoever asked, by the name of the call, unless PublicURL says otherwise; region and key are in
// them (docs/fidelity.md, section 7).
func TestStatus_urls(t *testing.T) {
	t.Parallel()
	paths := map[string]string{
		"status_url": "status", "notes_url": "upgraded/notes", "original_sql_url": "original/sql",
		"original_dump_url": "original/archive",
		"upgraded_sql_url":  "upgraded/sql", "upgraded_dump_url": "upgraded/archive", "modules_url": "modules/archive",
	}
	check := func(t *testing.T, w *wire, base, region string) {
		t.Helper()
		a := w.good("create", sample())
		m := madeOf(t, a)
		for key, path := range paths {
			if want := fmt.Sprintf("%s/database/%s/%d/%s/%s", base, region, m.id, m.key, path); a.Request[key] != want {
				t.Errorf("%s is %v, want %s", key, a.Request[key], want)
			}
		}
	}
	t.Run("as called", func(t *testing.T) {
		t.Parallel()
		onBothWires(t, nil, func(t *testing.T, w *wire) {
			check(t, w, w.base, "eu1")
			w.base = strings.Replace(w.base, "127.0.0.1", "localhost", 1)
			check(t, w, w.base, "eu1")
		})
	})
	t.Run("public", func(t *testing.T) {
		t.Parallel()
		for _, public := range []string{"https://upgrade.example.com", "http://upgrade.example.com:81/mock/"} {
			w := onWire(t, &mockserver.Options{PublicURL: public, Region: "us2"})
			check(t, w, strings.TrimSuffix(public, "/"), "us2")
		}
		for _, bad := range []string{"upgrade.example.com", "ftp://x", "http://", "http://x/?a=b", "http://x/#f",
			"http://%zz"} {
			if srv, err := mockserver.New(&mockserver.Options{PublicURL: bad}); err == nil {
				srv.Close()
				t.Errorf("public URL %q was taken", bad)
			}
		}
	})
}

// What a dump says of itself (row 4.7, section 9): recognized by content, never by name; what is unknown stays null.
func TestStatus_describesTheDump(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	type seen struct {
		Compressions, PostgreSQL, Version any
		HasUUID                           bool
	}
	list := func(words ...any) any { return words }
	for name, tc := range map[string]struct {
		dump []byte
		want seen
	}{
		"plain":      {fixtures.Dump("openchs.sql"), seen{list("sql"), "15", "8.0", true}},
		"inserts":    {fixtures.Dump("openchs.inserts.sql"), seen{list("sql"), "15", "8.0", true}},
		"custom":     {fixtures.Dump("openchs.cdump"), seen{list("pgdmp_custom", "sql"), "15", "8.0", true}},
		"tar":        {fixtures.Dump("openchs.tar"), seen{list("pgdmp_tar", "sql"), "15", "8.0", true}},
		"gzip":       {fixtures.Dump("openchs.sql.gz"), seen{list("gzip", "sql"), "15", "8.0", true}},
		"bzip2":      {fixtures.Dump("openchs.sql.bz2"), seen{list("bzip2", "sql"), "15", "8.0", true}},
		"xz":         {fixtures.Dump("openchs.sql.xz"), seen{list("xz", "sql"), "15", "8.0", true}},
		"custom.gz":  {fixtures.Dump("openchs.cdump.gz"), seen{list("gzip", "pgdmp_custom", "sql"), "15", "8.0", true}},
		"tar.gz":     {fixtures.Dump("openchs.tar.gz"), seen{list("gzip", "pgdmp_tar", "sql"), "15", "8.0", true}},
		"Odoo's zip": {fixtures.Dump("openchs.zip"), seen{list("zip", "sql"), "15", "8.0", true}},
		"the sample": {sampleDump(), seen{list("pgdmp_custom", "sql"), "9.4", nil, false}},
		"SQL of 9.4": {
			[]byte(
				"--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 9.4.5\n-- Dumped by pg_dump " +
					"version 9.4.5\n\nSELECT 1;\n",
			),
			seen{list("sql"), "9.4", nil, false},
		},
		"half a gzip": {fixtures.Dump("openchs.sql.gz")[:1000], seen{list("gzip", "sql"), "15", nil, false}},
		"noise":       {pattern(10_000, 5), seen{[]any{}, nil, nil, false}},
		"empty":       {[]byte{}, seen{[]any{}, nil, nil, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := w.with(t)
			m := w.create("filename", "misleading.zip")
			w.upload(m, tc.dump)
			s := w.status(m)
			diff(t, "status", tc.want, seen{s["compressions"], s["postgresql"], s["database_version"],
				s["database_uuid"] != nil})
			if s["state"] != "draft" || s["filesize"] == nil {
				t.Errorf("state %v, filesize %v", s["state"], s["filesize"])
			}
			if m2 := w.create("filename", "misleading.zip"); tc.want.HasUUID {
				w.grant(m2, "rsa")
				w.put(w.login(m2, "rsa"), "/misleading.zip", tc.dump)
				s2 := w.status(m2)
				for _, key := range []string{"compressions", "postgresql", "database_version", "database_uuid", "filesize"} {
					diff(t, key+" of the same dump over SFTP", s[key], s2[key])
				}
			}
		})
	}
}

// Sizes as the page's sample writes them (docs/fidelity.md, section 7). Bigger ones are in TestBig.
func TestStatus_filesize(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	for size, want := range map[int]string{
		0: "0.00 b", 1: "1.00 b", 1023: "1023.00 b", 1024: "1.00 Kb", 934_902: "912.99 Kb", 1 << 20: "1.00 Mb",
		3_250_586: "3.10 Mb",
	} {
		m := w.create()
		w.upload(m, make([]byte, size))
		if got := w.status(m)["filesize"]; got != want {
			t.Errorf("%d bytes are %v, want %s", size, got, want)
		}
	}
}
