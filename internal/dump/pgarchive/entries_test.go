package pgarchive_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the entries are decides when they are written, whether, and for whom.
func TestWriteSQL_entries(t *testing.T) {
	t.Parallel()
	a := archive{minor: 16, server: "17.2", entries: []entry{
		{id: 1, desc: "SEARCHPATH", tag: "SEARCHPATH", defn: "SELECT pg_catalog.set_config('search_path', '', false);\n"},
		{id: 2, desc: "DATABASE", tag: "openchs", defn: "CREATE DATABASE openchs;\n", drop: "DROP DATABASE openchs;\n",
			owner: "odoo"},
		{id: 3, desc: "COMMENT", tag: "DATABASE openchs", defn: "COMMENT ON DATABASE openchs IS 'x';\n"},
		{id: 4, desc: "DATABASE PROPERTIES", tag: "openchs", defn: "ALTER DATABASE openchs SET x TO y;\n"},
		{id: 5, desc: "SCHEMA", tag: "public", defn: "CREATE SCHEMA public;\n", drop: "DROP SCHEMA public;\n", owner: "odoo"},
		{id: 6, desc: "ACL", tag: "TABLE t", defn: "GRANT 6;\n", namespace: "public"},
		{id: 7, desc: "EVENT TRIGGER", tag: "e", defn: "CREATE 7;\n", drop: "DROP EVENT TRIGGER e;\n", owner: "odoo"},
		{id: 8, desc: "COMMENT", tag: "EVENT TRIGGER e", defn: "COMMENT 8;\n"},
		{id: 9, desc: "MATERIALIZED VIEW DATA", tag: "m", defn: "REFRESH 9;\n"},
		{id: 10, desc: "FUNCTION", tag: "f(integer)", defn: "CREATE 10;\n", drop: "DROP FUNCTION public.f(a integer);\n",
			namespace: "public", owner: "user"},
		{id: 11, desc: "VIEW", tag: "V\n; DROP DATABASE production", defn: "CREATE 11;\n", drop: "DROP VIEW v;\n",
			namespace: "public", owner: "odoo\r\n\\! rm"},
		{id: 12, desc: "TABLE", tag: "p", defn: "CREATE 12;\n", drop: "DROP TABLE p;\n", namespace: "public", owner: "odoo",
			tablespace: ptr(""), am: ptr("columnar"), relkind: 'p'},
		{id: 13, desc: "TABLE", tag: "q", defn: "CREATE 13;\n", namespace: "public", tablespace: ptr(""), am: ptr("heap"),
			relkind: 'r'},
		{id: 14, desc: "INDEX", tag: "i", defn: "CREATE 14;\n", drop: "DROP INDEX i;\n", namespace: "public", owner: "odoo",
			tablespace: ptr("")},
		{id: 15, desc: "TABLE DATA", tag: "p", defn: "-- load via partition root public.p",
			copy: "COPY public.p FROM stdin;\n", namespace: "public", data: []byte("\\.\n\n\n")},
	}}
	if diff := cmp.Diff(writtenEntries, body(t, a, openCustom, bytes.NewReader(a.custom(t)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const writtenEntries = `SET row_security = off;

--
-- Name: f(integer); Type: FUNCTION; Schema: public; Owner: user
--

CREATE 10;


ALTER FUNCTION public.f(a integer) OWNER TO "user";

--
-- Name: V ; DROP DATABASE production; Type: VIEW; Schema: public; Owner: odoo  \! rm
--

CREATE 11;


ALTER TABLE public."V
; DROP DATABASE production" OWNER TO "odoo` + "\r" + `
\! rm";

SET default_tablespace = '';

--
-- Name: p; Type: TABLE; Schema: public; Owner: odoo
--

CREATE 12;


ALTER TABLE public.p OWNER TO odoo;

ALTER TABLE public.p SET ACCESS METHOD columnar;

SET default_table_access_method = heap;

--
-- Name: q; Type: TABLE; Schema: public; Owner: -
--

CREATE 13;


--
-- Name: i; Type: INDEX; Schema: public; Owner: odoo
--

CREATE 14;


--
-- Data for Name: p; Type: TABLE DATA; Schema: public; Owner: -
--

-- load via partition root public.p

COPY public.p FROM stdin;
\.


--
-- Name: TABLE t; Type: ACL; Schema: public; Owner: -
--

GRANT 6;


--
-- Name: e; Type: EVENT TRIGGER; Schema: -; Owner: odoo
--

CREATE 7;


ALTER EVENT TRIGGER e OWNER TO odoo;

--
-- Name: EVENT TRIGGER e; Type: COMMENT; Schema: -; Owner: -
--

COMMENT 8;


--
-- Name: m; Type: MATERIALIZED VIEW DATA; Schema: -; Owner: -
--

REFRESH 9;


`
