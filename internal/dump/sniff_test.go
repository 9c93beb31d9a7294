package dump_test

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
)

func sniff(b []byte) dump.Info { return dump.Sniff(bytes.NewReader(b), int64(len(b))) }

// Sniff finds the same in every real dump of one database, whatever it is packed in.
func TestSniff_realDumps(t *testing.T) {
	t.Parallel()
	for name, packings := range map[string][]string{
		"openchs.sql":          {"sql"},
		"openchs.inserts.sql":  {"sql"},
		"openchs.columns.sql":  {"sql"},
		"openchs.cdump":        {"pgdmp_custom", "sql"},
		"openchs.stored.cdump": {"pgdmp_custom", "sql"},
		"openchs.piped.cdump":  {"pgdmp_custom", "sql"},
		"openchs.tar":          {"pgdmp_tar", "sql"},
		"openchs.sql.gz":       {"gzip", "sql"},
		"openchs.sql.bz2":      {"bzip2", "sql"},
		"openchs.sql.xz":       {"xz", "sql"},
		"openchs.cdump.gz":     {"gzip", "pgdmp_custom", "sql"},
		"openchs.tar.gz":       {"gzip", "pgdmp_tar", "sql"},
		"openchs.zip":          {"zip", "sql"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := dump.Info{
				Compressions:    packings,
				PostgreSQL:      "15",
				DatabaseVersion: "8.0",
				DatabaseUUID:    "5c5ff0f6-56c4-11e5-9b25-3c970e9d8d32",
			}
			if diff := cmp.Diff(want, sniff(fixtures.Dump(name))); diff != "" {
				t.Errorf("Sniff (-want +got):\n%s", diff)
			}
		})
	}
}

// Packings in each other, whatever is in them.
func TestSniff_packings(t *testing.T) {
	t.Parallel()
	custom := string(fixtures.Dump("openchs.cdump"))
	tarred := string(fixtures.Dump("openchs.tar"))
	for name, tt := range map[string]struct {
		in   string
		want []string
	}{
		"nothing":                     {"", []string{}},
		"text":                        {"Dear upgrade team,\n", []string{}},
		"json":                        {`{"sql": "SELECT 1;"}`, []string{}},
		"text with a NUL":             {"SELECT 1;\x00", []string{}},
		"zstd":                        {packed(t, "SELECT 1;", "zstd"), []string{"zstd", "sql"}},
		"lz4":                         {packed(t, "SELECT 1;", "lz4"), []string{"lz4", "sql"}},
		"zip with folders":            {packed(t, "SELECT 1;", "zip"), []string{"zip", "sql"}},
		"zip of one file, any name":   {packed(t, "SELECT 1;", "onlyzip"), []string{"zip", "sql"}},
		"stored zip of a custom dump": {packed(t, custom, "storedzip"), []string{"zip", "pgdmp_custom", "sql"}},
		"zip of a custom dump":        {packed(t, custom, "zip"), []string{"zip", "pgdmp_custom", "sql"}},
		"zip of nothing":              {packed(t, "", "emptyzip"), []string{"zip"}},
		"gzip of a zip":               {packed(t, custom, "zip", "gzip"), []string{"gzip", "zip", "pgdmp_custom", "sql"}},
		"zip of a zip":                {packed(t, "SELECT 1;", "zip", "onlyzip"), []string{"zip", "zip", "sql"}},
		"tar of SQL":                  {packed(t, "SELECT 1;", "tar"), []string{"tar", "sql"}},
		"tar of a tar":                {packed(t, tarred, "tar"), []string{"tar", "pgdmp_tar", "sql"}},
		"xz of a tar":                 {packed(t, "SELECT 1;", "tar", "xz"), []string{"xz", "tar", "sql"}},
		"gzip of text":                {packed(t, "hello", "gzip"), []string{"gzip"}},
		"cut gzip":                    {packed(t, "SELECT 1;", "gzip")[:5], []string{"gzip"}},
		"eight packings": {packed(t, "SELECT 1;", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip"),
			[]string{"gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "sql"}},
		"one too many": {packed(t, "SELECT 1;", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip"),
			[]string{"gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip"}},
		"only the magic": {"PGDMP", []string{"pgdmp_custom", "sql"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, sniff([]byte(tt.in)).Compressions); diff != "" {
				t.Errorf("Compressions (-want +got):\n%s", diff)
			}
		})
	}
}

// What begins like SQL is SQL.
func TestSniff_sql(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"--\n-- PostgreSQL database dump\n--\n",
		"\n\n  \t-- a comment",
		"/* a comment */",
		"\ufeffSELECT 1",
		"set client_encoding to 'latin1'; -- \xe9",
		"BEGIN;",
		"\\restrict abc\n",
		"\\connect db\n",
		"COPY t (a) FROM stdin;\n\\.\n",
	} {
		if diff := cmp.Diff([]string{"sql"}, sniff([]byte(in)).Compressions); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
	for _, in := range []string{"selected works", "SETTING", "\\\\server\\share", "-", "%PDF-1.4", "update_log"} {
		if diff := cmp.Diff([]string{}, sniff([]byte(in)).Compressions); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

func TestSniff_facts(t *testing.T) {
	t.Parallel()
	const uuid = "5c5ff0f6-56c4-11e5-9b25-3c970e9d8d32"
	for name, tt := range map[string]struct {
		sql  string
		want dump.Info
	}{
		"PostgreSQL before 10": {"-- Dumped from database version 9.4.5\n", dump.Info{PostgreSQL: "9.4"}},
		"PostgreSQL since 10":  {"-- Dumped from database version 12.3 (Ubuntu 12.3-1)\n", dump.Info{PostgreSQL: "12"}},
		"PostgreSQL to be":     {"-- Dumped from database version 19beta1\n", dump.Info{PostgreSQL: "19"}},
		"PostgreSQL, no version": {"-- Dumped from database version of my own\nSELECT 1;\n",
			dump.Info{}},
		"CR LF": {"-- Dumped from database version 9.6.24\r\nCOPY ir_config_parameter (key, value) FROM stdin;\r\n" +
			"database.uuid\tabc\r\n\\.\r\n",
			dump.Info{PostgreSQL: "9.6", DatabaseUUID: "abc"}},
		"columns in any order": {"COPY public.ir_config_parameter (value, id, key) FROM stdin;\n" +
			"no\t1\tdatabase.secret\n" + uuid + "\t2\tdatabase.uuid\n\\.\n", dump.Info{DatabaseUUID: uuid}},
		"no schema, quoted names": {"COPY \"ir_config_parameter\" (id, \"key\", \"value\") FROM stdin;\n" +
			"1\tdatabase.uuid\t" + uuid + "\n",
			dump.Info{DatabaseUUID: uuid}},
		"uuid is NULL": {"COPY ir_config_parameter (key, value) FROM stdin;\ndatabase.uuid\t\\N\n\\.\n", dump.Info{}},
		"uuid is prose": {"COPY ir_config_parameter (key, value) FROM stdin;\ndatabase.uuid\tsee above\n\\.\n",
			dump.Info{}},
		"a key like it": {"COPY ir_config_parameter (key, value) FROM stdin;\nmy.database.uuid\tabc\n\\.\n", dump.Info{}},
		"a table like it": {"COPY public.x_ir_config_parameter (key, value) FROM stdin;\ndatabase.uuid\tabc\n\\.\n" +
			"COPY public.\"IR_CONFIG_PARAMETER\" (key, value) FROM stdin;\ndatabase.uuid\tdef\n\\.\n", dump.Info{}},
		"rows cut short": {"COPY ir_config_parameter (id, key, value) FROM stdin;\n1\n\n1\tdatabase.uuid\n" +
			"2\tdatabase.uuid\tabc\n\\.\n",
			dump.Info{DatabaseUUID: "abc"}},
		"an escaped value": {"COPY ir_config_parameter (key, value) FROM stdin;\ndatabase.uuid\ta\\\\b\n\\.\n",
			dump.Info{DatabaseUUID: `a\b`}},
		"the first counts": {"COPY ir_config_parameter (key, value) FROM stdin;\ndatabase.uuid\ta\ndatabase.uuid\tb\n\\.\n",
			dump.Info{DatabaseUUID: "a"}},
		"inserts": {"INSERT INTO public.ir_config_parameter (key, value) VALUES ('database.uuid', 'a''b');",
			dump.Info{DatabaseUUID: "a'b"}},
		"inserts without columns": {"CREATE TABLE public.ir_config_parameter (\n" +
			"    id integer DEFAULT nextval('a,b'::regclass) NOT NULL,\n" +
			"    price numeric(16,2),\n    \"value\" text,\n    key character varying(256) NOT NULL,\n" +
			"    CONSTRAINT c CHECK ((id > 0))\n);\n" +
			"INSERT INTO public.ir_config_parameter VALUES (1, 0.5, 'abc', 'database.uuid');\n", dump.Info{DatabaseUUID: "abc"}},
		"rows of inserts, with all kinds of values": {"insert into ir_config_parameter (id, key, value) values\n" +
			"\t(1, E'x\\'y', '(;'),\n" +
			"\t(-2, NULL, now()),\n\t(3, E'database.uuid', 'abc');", dump.Info{DatabaseUUID: "abc"}},
		"a row of NULL keeps no value of the one before": {"INSERT INTO ir_config_parameter (key, value) VALUES " +
			"('database.uuid', NULL), (NULL, 'abc');",
			dump.Info{}},
		"decoy in a string": {"INSERT INTO t VALUES ('\nCOPY ir_config_parameter (key, value) FROM stdin;\n" +
			"database.uuid\tdecoy\n');\n" +
			"COPY ir_config_parameter (key, value) FROM stdin;\ndatabase.uuid\treal\n", dump.Info{DatabaseUUID: "real"}},
		"decoy in a string with escapes": {"INSERT INTO t VALUES (E'it''s \\'\n" +
			"COPY ir_config_parameter (key, value) FROM stdin;\ndatabase.uuid\tdecoy\n');\n" +
			"COPY ir_config_parameter (key, value) FROM stdin;\ndatabase.uuid\treal\n", dump.Info{DatabaseUUID: "real"}},
		"decoy in a string of before 9.1": {"SET standard_conforming_strings = off;\nINSERT INTO t VALUES ('\\';\n" +
			"COPY ir_config_parameter (key, value) FROM stdin;\n" +
			"database.uuid\tdecoy\n');\nCOPY ir_config_parameter (key, value) FROM stdin;\n" +
			"database.uuid\treal\n", dump.Info{DatabaseUUID: "real"}},
		"a backslash in a string is just that": {"INSERT INTO t VALUES ('\\');\n" +
			"COPY ir_config_parameter (key, value) FROM stdin;\ndatabase.uuid\treal\n",
			dump.Info{DatabaseUUID: "real"}},
		"decoy in a function": {"CREATE FUNCTION f() AS $_$ $a$ $_ $1;\n" +
			"INSERT INTO ir_config_parameter (key, value) VALUES ('database.uuid', 'decoy');\n$_$;\n" +
			"INSERT INTO ir_config_parameter (key, value) VALUES ('database.uuid', 'real');", dump.Info{DatabaseUUID: "real"}},
		"decoy in a comment": {"-- it's\n/* ; /* */ INSERT INTO ir_config_parameter (key, value) VALUES " +
			"('database.uuid', 'decoy'); */\n" +
			"INSERT /* ' */ INTO ir_config_parameter -- '\n" +
			" (key, value) VALUES ('database.uuid', 'real');", dump.Info{DatabaseUUID: "real"}},
		"decoy in a name": {"CREATE TABLE \"a;\nINSERT INTO ir_config_parameter (key, value) VALUES ('database.uuid', " +
			"'decoy');\" (a text);\n" +
			"INSERT INTO ir_config_parameter (key, value) VALUES ('database.uuid', 'real');", dump.Info{DatabaseUUID: "real"}},
		"decoy in another table's data": {"COPY t (a) FROM stdin;\n-- Dumped from database version 8.0.1\n" +
			"COPY ir_config_parameter (key, value) FROM stdin;\n\\.\n" +
			"-- Dumped from database version 9.4.5\n", dump.Info{PostgreSQL: "9.4"}},
		"a parameter and an operator": {"PREPARE p AS SELECT $1 - -1, a$b$c;\n" +
			"INSERT INTO ir_config_parameter (key, value) VALUES ('database.uuid', 'real');",
			dump.Info{DatabaseUUID: "real"}},
		"psql's commands": {"\\restrict it's\n\\connect \"my db;\n-- Dumped from database version 16.1\n\\unrestrict it's\n",
			dump.Info{PostgreSQL: "16"}},
		"a line longer than any buffer": {"COPY t (a) FROM stdin;\n" + strings.Repeat("x", 1<<20) + "\n\\.\n" +
			"COPY ir_config_parameter (key, value, more) FROM stdin;\ndatabase.uuid\treal\t" + strings.Repeat("\\n",
			1<<19) + "\n",
			dump.Info{DatabaseUUID: "real"}},
		"a statement longer than any buffer": {"INSERT INTO t VALUES ('" + strings.Repeat("x;''\n", 1<<19) + "');\n" +
			"INSERT INTO ir_config_parameter (key, value) VALUES ('database.uuid', 'real');", dump.Info{DatabaseUUID: "real"}},
		"base": {"COPY ir_module_module (id, name, latest_version) FROM stdin;\n1\taccount\t1.0\n2\tbase\t7.0.1.3\n\\.\n",
			dump.Info{DatabaseVersion: "7.0"}},
		"base of before OpenERP 6": {"COPY ir_module_module (name, latest_version) FROM stdin;\nbase\t1.3\n\\.\n",
			dump.Info{}},
		"base between releases": {"COPY ir_module_module (name, latest_version) FROM stdin;\nbase\tsaas~14.3.1.3\n\\.\n",
			dump.Info{DatabaseVersion: "saas~14.3"}},
		"base between older releases": {"COPY ir_module_module (name, latest_version) FROM stdin;\n" +
			"base\t10.saas~15.1.3\n\\.\n",
			dump.Info{DatabaseVersion: "saas~15"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sql := "SELECT 1;\n" + tt.sql
			tt.want.Compressions = []string{"sql"}
			if diff := cmp.Diff(tt.want, sniff([]byte(sql))); diff != "" {
				t.Errorf("Sniff (-want +got):\n%s", diff)
			}
		})
	}
}

// Odoo's backup: its manifest is read first, and has what the SQL has not.
func TestSniff_manifest(t *testing.T) {
	t.Parallel()
	const sql = "-- Dumped from database version 9.4.5\nCOPY ir_module_module (name, latest_version) FROM stdin;\n" +
		"base\t7.0.1.3\n\\.\n"
	for name, tt := range map[string]struct {
		manifest, sql       string
		version, postgresql string
	}{
		"major_version":     {`{"version": "9.0c-20160101", "major_version": "9.0"}`, sql, "9.0", "9.4"},
		"version":           {`{"version": "8.0-20150909"}`, sql, "8.0", "9.4"},
		"enterprise":        {`{"version": "16.0+e"}`, sql, "16.0", "9.4"},
		"between releases":  {`{"version": "saas~14.3+e", "major_version": "saas~14.3"}`, sql, "saas~14.3", "9.4"},
		"pg_version":        {`{"version": "16.0", "pg_version": "14.0"}`, "SELECT 1;", "16.0", "14"},
		"old pg_version":    {`{"version": "9.0", "pg_version": "9.5"}`, "SELECT 1;", "9.0", "9.5"},
		"nothing of use":    {`{"version": 16, "major_version": null}`, sql, "7.0", "9.4"},
		"no JSON":           {`oops`, sql, "7.0", "9.4"},
		"a version of none": {`{"version": "latest"}`, sql, "7.0", "9.4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			if err := packZip(&b, zip.Deflate, member{"dump.sql", tt.sql}, member{"manifest.json", tt.manifest}); err != nil {
				t.Fatal(err)
			}
			want := dump.Info{Compressions: []string{"zip", "sql"}, PostgreSQL: tt.postgresql, DatabaseVersion: tt.version}
			if diff := cmp.Diff(want, sniff(b.Bytes())); diff != "" {
				t.Errorf("Sniff (-want +got):\n%s", diff)
			}
		})
	}
}

// The head of an archive names the server even when the rest is missing.
func TestSniff_cutArchive(t *testing.T) {
	t.Parallel()
	want := dump.Info{Compressions: []string{"pgdmp_custom", "sql"}, PostgreSQL: "15"}
	if diff := cmp.Diff(want, sniff(fixtures.Dump("openchs.cdump")[:300])); diff != "" {
		t.Errorf("Sniff (-want +got):\n%s", diff)
	}
}
