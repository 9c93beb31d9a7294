package pgarchive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/dump/pgarchive"
)

func ptr(s string) *string { return &s }

// small is an archive with two tables and large objects, of no version yet.
func small() archive {
	return archive{
		server: "9.4.5",
		entries: []entry{
			{id: 1, desc: "ENCODING", tag: "ENCODING", defn: "SET client_encoding = 'UTF8';\n"},
			{id: 2, desc: "STDSTRINGS", tag: "STDSTRINGS", defn: "SET standard_conforming_strings = 'on';\n"},
			{id: 5, desc: "TABLE", tag: "users", defn: "CREATE TABLE users (\n    id integer\n);\n",
				drop:      "DROP TABLE public.users;\n",
				namespace: "public", owner: "odoo", tablespace: ptr("")},
			{id: 6, desc: "TABLE", tag: "order", defn: "CREATE TABLE \"order\" (\n    id integer\n);\n",
				drop:      "DROP TABLE public.\"order\";\n",
				namespace: "public", owner: "Mr. \"X\"", tablespace: ptr("Fast Disk")},
			{id: 7, desc: "TABLE DATA", tag: "users", copy: "COPY users (id) FROM stdin;\n", namespace: "public", owner: "odoo",
				data: []byte("1\n2\n" + strings.Repeat("3\n", 50) + "\\.\n\n\n")},
			{id: 8, desc: "TABLE DATA", tag: "order", copy: "COPY \"order\" (id) FROM stdin;\n", namespace: "public",
				owner: "odoo",
				data:  []byte("\\.\n\n\n")},
			{id: 9, desc: "TABLE DATA", tag: "nothing", namespace: "public", owner: "odoo"},
			{id: 10, desc: "BLOBS", tag: "BLOBS", blobs: []blob{{424242, []byte("a\x00\\'")}, {424243, nil}}},
			{id: 11, desc: "SEQUENCE SET", tag: "s", defn: "SELECT pg_catalog.setval('s', 5, true);\n", namespace: "public",
				owner: "odoo"},
		},
	}
}

const smallSQL = `--
-- PostgreSQL database dump
--

-- Dumped from database version 9.4.5
-- Dumped by pg_dump version 9.4.6

SET statement_timeout = 0;
SET lock_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;

SET search_path = public, pg_catalog;

SET default_tablespace = '';

--
-- Name: users; Type: TABLE; Schema: public; Owner: odoo
--

CREATE TABLE users (
    id integer
);


ALTER TABLE public.users OWNER TO odoo;

SET default_tablespace = "Fast Disk";

--
-- Name: order; Type: TABLE; Schema: public; Owner: Mr. "X"; Tablespace: Fast Disk
--

CREATE TABLE "order" (
    id integer
);


ALTER TABLE public."order" OWNER TO "Mr. ""X""";

--
-- Data for Name: users; Type: TABLE DATA; Schema: public; Owner: odoo
--

COPY users (id) FROM stdin;
1
2
<50 rows>\.


--
-- Data for Name: order; Type: TABLE DATA; Schema: public; Owner: odoo
--

COPY "order" (id) FROM stdin;
\.


--
-- Data for Name: nothing; Type: TABLE DATA; Schema: public; Owner: odoo
--

--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

SET search_path = pg_catalog;

BEGIN;

SELECT pg_catalog.lo_open('424242', 131072);
SELECT pg_catalog.lowrite(0, '\x61005c27');
SELECT pg_catalog.lo_close(0);

SELECT pg_catalog.lo_open('424243', 131072);
SELECT pg_catalog.lo_close(0);

COMMIT;

SET search_path = public, pg_catalog;

--
-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: odoo
--

SELECT pg_catalog.setval('s', 5, true);


--
-- PostgreSQL database dump complete
--

`

func wantSmall(minor int) string {
	sql := strings.Replace(smallSQL, "<50 rows>", strings.Repeat("3\n", 50), 1)
	if minor < 12 { // large objects were made where they are written
		for _, oid := range []string{"424242", "424243"} {
			sql = strings.Replace(sql, "lo_open('"+oid+"'", "lo_open(pg_catalog.lo_create('"+oid+"')", 1)
		}
	}
	return sql
}

// readers are the two ways to read an archive.
var readers = map[string]func([]byte) io.Reader{
	"random": func(b []byte) io.Reader { return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))) },
	"stream": func(b []byte) io.Reader { return bytes.NewBuffer(b) },
}

func openCustom(r io.Reader) (*pgarchive.Archive, error) { return pgarchive.Open(r, nil) }

// openTar opens the members of a tar.
func openTar(r io.Reader) (*pgarchive.Archive, error) {
	files := fstest.MapFS{}
	members := tar.NewReader(r)
	for {
		h, err := members.Next()
		if err != nil { // the end, or what is broken is missing
			return pgarchive.OpenFS(files, nil)
		}
		data, _ := io.ReadAll(members)
		files[h.Name] = &fstest.MapFile{Data: data}
	}
}

func writeSQL(open func(io.Reader) (*pgarchive.Archive, error), r io.Reader) (string, error) {
	a, err := open(r)
	if err != nil {
		return "", err
	}
	var sql strings.Builder
	err = a.WriteSQL(&sql)
	return sql.String(), err
}

// Every version, method, way to lay out the data and way to read it gives the same text. Only what is out of order
// cannot be read from a stream, and says so.
func TestWriteSQL_matrix(t *testing.T) {
	t.Parallel()
	layouts := map[string][]int{"in order": nil, "out of order": {9, 10, 8, 7}}
	for minor := 10; minor <= 16; minor++ {
		methods := []byte{0, 1}
		if minor >= 15 {
			methods = append(methods, 2, 3)
		}
		for _, method := range methods {
			for layout, order := range layouts {
				for _, offsets := range []bool{true, false} {
					a := small()
					a.minor, a.compression, a.order, a.offsets = minor, method, order, offsets
					b := a.custom(t)
					for way, reader := range readers {
						name := fmt.Sprintf("1.%d, method %d, %s, offsets %v, %s", minor, method, layout, offsets, way)
						sql, err := writeSQL(openCustom, reader(b))
						if order != nil && way == "stream" {
							if !errors.Is(err, pgarchive.ErrOrder) {
								t.Errorf("%s: error %v, want ErrOrder", name, err)
							}
							continue
						}
						if err != nil {
							t.Errorf("%s: %v", name, err)
						}
						if diff := cmp.Diff(wantSmall(minor), sql); diff != "" {
							t.Errorf("%s (-want +got):\n%s", name, diff)
						}
					}
				}
			}
		}
		for layout, order := range layouts {
			a := small()
			a.minor, a.order = minor, order
			b := a.tar(t)
			name := fmt.Sprintf("1.%d, tar, %s", minor, layout)
			sql, err := writeSQL(openTar, bytes.NewReader(b))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if diff := cmp.Diff(wantSmall(minor), sql); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

// Archives of machines whose integers have eight bytes.
func TestWriteSQL_wideIntegers(t *testing.T) {
	t.Parallel()
	a := small()
	a.minor, a.intSize, a.compression = 14, 8, 1
	sql, err := writeSQL(openCustom, bytes.NewReader(a.custom(t)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantSmall(14), sql); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// body returns what is between the settings and the end of the text that an archive with these entries gives.
func body(t *testing.T, a archive, open func(io.Reader) (*pgarchive.Archive, error), r io.Reader) string {
	t.Helper()
	sql, err := writeSQL(open, r)
	if err != nil {
		t.Fatal(err)
	}
	_, sql, _ = strings.Cut(sql, "SET client_min_messages = warning;\n")
	sql, _, ok := strings.Cut(sql, "--\n-- PostgreSQL database dump complete\n--\n\n")
	if !ok {
		t.Fatalf("no end:\n%s", sql)
	}
	return sql
}

// Since PostgreSQL 17 one entry may stand for many large objects: their making, their owner, their rights, their data.
func TestWriteSQL_manyLargeObjects(t *testing.T) {
	t.Parallel()
	a := archive{minor: 16, entries: []entry{
		{id: 3, desc: "BLOB METADATA", tag: "11..12", defn: "11\n12\n", drop: "SELECT pg_catalog.lo_unlink(", owner: "odoo"},
		{id: 4, desc: "BLOB METADATA", tag: "13", defn: "13\n", drop: "SELECT pg_catalog.lo_unlink(", owner: "odoo"},
		{id: 5, desc: "BLOBS", tag: "BLOBS", blobs: []blob{{11, []byte("a")}, {12, []byte("b")}}, deps: []int{3}},
		{id: 6, desc: "BLOBS", tag: "BLOBS", blobs: []blob{{13, []byte("c")}}, deps: []int{4}},
		{id: 7, desc: "ACL", tag: "LARGE OBJECTS 11..12", deps: []int{3}, owner: "odoo",
			defn: "REVOKE ALL ON LARGE OBJECT 11 FROM \"a;b\";\nGRANT ALL ON LARGE OBJECT 11 TO PUBLIC;\n"},
	}}
	write := func(n, hex string) string {
		return "SELECT pg_catalog.lo_open('" + n + "', 131072);\nSELECT pg_catalog.lowrite(0, " +
			"'\\x" + hex + "');\nSELECT pg_catalog.lo_close(0);\n\n"
	}
	want := `
--
-- Name: 11..12; Type: BLOB METADATA; Schema: -; Owner: odoo
--

SELECT pg_catalog.lo_create('11');
SELECT pg_catalog.lo_create('12');

ALTER LARGE OBJECT 11 OWNER TO odoo;
ALTER LARGE OBJECT 12 OWNER TO odoo;

--
-- Name: 13; Type: BLOB METADATA; Schema: -; Owner: odoo
--

SELECT pg_catalog.lo_create('13');

ALTER LARGE OBJECT 13 OWNER TO odoo;

--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

SET search_path = pg_catalog;

BEGIN;

` + write("11", "61") + write("12", "62") + `COMMIT;

--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

` + write("13", "63") + `COMMIT;

--
-- Name: LARGE OBJECTS 11..12; Type: ACL; Schema: -; Owner: odoo
--

REVOKE ALL ON LARGE OBJECT 11 FROM "a;b";
REVOKE ALL ON LARGE OBJECT 12 FROM "a;b";

GRANT ALL ON LARGE OBJECT 11 TO PUBLIC;
GRANT ALL ON LARGE OBJECT 12 TO PUBLIC;

`
	for way, reader := range readers {
		if diff := cmp.Diff(want, body(t, a, openCustom, reader(a.custom(t)))); diff != "" {
			t.Errorf("custom, %s (-want +got):\n%s", way, diff)
		}
	}
	if diff := cmp.Diff(want, body(t, a, openTar, bytes.NewReader(a.tar(t)))); diff != "" {
		t.Errorf("tar (-want +got):\n%s", diff)
	}
}

// The settings are those that the dumped server knows, so that its own version takes the text back.
func TestWriteSQL_settings(t *testing.T) {
	t.Parallel()
	strs := func(on string) []entry {
		return []entry{{id: 1, desc: "STDSTRINGS", tag: "STDSTRINGS",
			defn: "SET standard_conforming_strings = '" + on + "';\n"}}
	}
	for server, want := range map[string]string{
		"8.4.22": "statement_timeout check_function_bodies xmloption client_min_messages",
		"9.3.1":  "statement_timeout lock_timeout check_function_bodies xmloption client_min_messages",
		"9.6.24": "statement_timeout lock_timeout idle_in_transaction_session_timeout " +
			"check_function_bodies xmloption client_min_messages row_security",
		"15.18 (Debian 15.18)": "statement_timeout lock_timeout idle_in_transaction_session_timeout " +
			"check_function_bodies xmloption client_min_messages row_security",
		"17.0": "statement_timeout lock_timeout idle_in_transaction_session_timeout " +
			"transaction_timeout check_function_bodies xmloption client_min_messages row_security",
		"18beta1": "statement_timeout lock_timeout idle_in_transaction_session_timeout " +
			"transaction_timeout check_function_bodies xmloption client_min_messages row_security",
		"":                      "statement_timeout check_function_bodies client_min_messages",
		"something\n\\! rm -rf": "statement_timeout check_function_bodies client_min_messages",
	} {
		a := archive{minor: 13, server: server}
		sql, err := writeSQL(openCustom, bytes.NewReader(a.custom(t)))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(sql) {
			if rest, ok := strings.CutPrefix(line, "SET "); ok {
				got = append(got, strings.Fields(rest)[0])
			} else if !strings.HasPrefix(line, "--") && line != "\n" {
				t.Errorf("%q: a line %q", server, line)
			}
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", server, diff)
		}
	}
	a := archive{minor: 11, server: "8.4.22", entries: append(strs("off"),
		entry{id: 2, desc: "BLOBS", tag: "BLOBS", blobs: []blob{{7, []byte("x")}}})}
	sql, err := writeSQL(openCustom, bytes.NewReader(a.custom(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"standard_conforming_strings = off;", "escape_string_warning = off;",
		`lowrite(0, '\\x78')`} {
		if !strings.Contains(sql, want) {
			t.Errorf("without standard strings: no %s in\n%s", want, sql)
		}
	}
}
