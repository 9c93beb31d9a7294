package pgarchive

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// WriteSQL writes the whole archive as SQL that psql can run in an empty database of the dumped server's version or a
// newer one: what "pg_restore -f -" writes for it, in that order. It can be called once, before or after Data.
//
// Deliberately other than pg_restore: settings that the dumped server did not have are left out, so that a server
// of its version takes the result; no \restrict line is written, which an older psql does not know (nothing of the
// archive gets to the beginning of a line of a comment instead); and the schema public, which every new database
// has, is not created again.
//
// Errors wrap [ErrFormat], [ErrOrder] or [ErrNoData], or are those of the reader or of w; what was written by then
// stays.
func (a *Archive) WriteSQL(w io.Writer) error {
	r := &restorer{a: a, w: bufio.NewWriterSize(w, 64<<10), standardStrings: true}
	r.text("--\n-- PostgreSQL database dump\n--\n\n")
	if a.ServerVersion != "" {
		r.text("-- Dumped from database version ", comment(a.ServerVersion, ""), "\n")
	}
	if a.DumpVersion != "" {
		r.text("-- Dumped by pg_dump version ", comment(a.DumpVersion, ""), "\n")
	}
	r.text("\n")
	r.settings()
	for _, pass := range []restorePass{mainPass, aclPass, refreshPass} {
		for _, e := range a.Entries {
			if passOf(e) != pass || skipped(e) {
				continue
			}
			if err := r.entry(e); err != nil {
				return fmt.Errorf("entry %d, %s %s: %w", e.ID, e.Desc, e.Tag, err)
			}
		}
	}
	r.text("--\n-- PostgreSQL database dump complete\n--\n\n")
	return r.w.Flush()
}

// A restorer writes one archive. Its writer keeps its first error, so that text need not be asked; Flush returns it.
type restorer struct {
	a *Archive
	w *bufio.Writer

	standardStrings bool // backslashes in '…' are just that
	searchPath      bool // the archive sets one path for all
	schema          string
	tablespace      *string
	accessMethod    *string
}

func (r *restorer) text(parts ...string) {
	for _, s := range parts {
		r.w.WriteString(s)
	}
}

// settings writes what is set before the first entry.
func (r *restorer) settings() {
	server := versionNumber(r.a.ServerVersion)
	since := func(version int, setting string) {
		if server >= version {
			r.text("SET ", setting, ";\n")
		}
	}
	since(0, "statement_timeout = 0")
	since(903, "lock_timeout = 0")
	since(906, "idle_in_transaction_session_timeout = 0")
	since(1700, "transaction_timeout = 0")
	for _, desc := range []string{"ENCODING", "STDSTRINGS", "SEARCHPATH"} {
		for _, e := range r.a.Entries {
			switch {
			case e.Desc != desc:
			case desc == "STDSTRINGS":
				r.standardStrings = strings.Contains(e.Definition, "'on'")
				r.text("SET standard_conforming_strings = ", onOff(r.standardStrings), ";\n")
			default:
				r.text(strings.TrimSpace(e.Definition), "\n")
				r.searchPath = r.searchPath || desc == "SEARCHPATH"
			}
		}
	}
	since(0, "check_function_bodies = false")
	since(803, "xmloption = content")
	since(0, "client_min_messages = warning")
	if !r.standardStrings {
		since(0, "escape_string_warning = off")
	}
	since(905, "row_security = off")
	r.text("\n")
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// leadingVersion is what a version such as "9.4.5" or "15.18 (Debian …)" or "17beta1" begins with.
var leadingVersion = regexp.MustCompile(`^(\d{1,4})(?:\.(\d{1,4}))?`)

// versionNumber makes versions comparable: "9.4.5" is 904, "15.18" is 1518.
func versionNumber(version string) int {
	m := leadingVersion.FindStringSubmatch(version)
	if m == nil {
		return 0
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return major*100 + minor
}

// A restorePass: rights are granted when everything is there, and materialized views read what they may only then.
type restorePass int

const (
	mainPass restorePass = iota
	aclPass
	refreshPass
)

func passOf(e *Entry) restorePass {
	switch e.Desc {
	case "ACL", "ACL LANGUAGE", "DEFAULT ACL":
		return aclPass
	case "EVENT TRIGGER", "MATERIALIZED VIEW DATA":
		return refreshPass
	case "COMMENT", "SECURITY LABEL":
		if strings.HasPrefix(e.Tag, "EVENT TRIGGER ") {
			return refreshPass
		}
	}
	return mainPass
}

// skipped reports whether an entry does not belong into a database that exists, or was written as a setting.
func skipped(e *Entry) bool {
	switch e.Desc {
	case "ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES", "<Init>":
		return true
	case "ACL", "COMMENT", "SECURITY LABEL":
		return strings.HasPrefix(e.Tag, "DATABASE ") || strings.HasPrefix(e.Definition, "COMMENT ON DATABASE ")
	case "SCHEMA":
		return e.Tag == "public" && strings.HasPrefix(e.Definition, "CREATE SCHEMA ")
	}
	return false
}

func (r *restorer) entry(e *Entry) error {
	if !e.HasData {
		r.definition(e, "")
		return nil
	}
	r.definition(e, "Data for ")
	if e.Desc == "BLOBS" {
		r.selectSchema("pg_catalog")
		r.text("BEGIN;\n\n")
		if err := r.a.data.blobs(e, r.largeObject); err != nil {
			return err
		}
		r.text("COMMIT;\n\n")
		return nil
	}
	data, err := r.a.data.table(e)
	if err != nil {
		return err
	}
	r.text(e.Copy)
	_, err = io.Copy(r.w, data)
	return err
}

// definition writes the comment over an entry, its SQL, and who owns the thing.
func (r *restorer) definition(e *Entry, prefix string) {
	r.selectSchema(e.Namespace)
	r.selectSetting(&r.tablespace, e.Tablespace, "default_tablespace")
	if e.RelationKind != 'p' {
		r.selectSetting(&r.accessMethod, e.AccessMethod, "default_table_access_method")
	}
	r.text("--\n-- ", prefix, "Name: ", comment(e.Tag, ""), "; Type: ", comment(e.Desc, ""),
		"; Schema: ", comment(e.Namespace, "-"), "; Owner: ", comment(e.Owner, "-"))
	if e.Tablespace != nil && *e.Tablespace != "" {
		r.text("; Tablespace: ", comment(*e.Tablespace, ""))
	}
	r.text("\n--\n\n")

	switch {
	case e.Desc == "BLOB METADATA": // since 17: the definition is a list of oids, one a line
		r.each(e, "SELECT pg_catalog.lo_create('", "')")
	case e.Desc == "ACL" && strings.HasPrefix(e.Tag, "LARGE OBJECTS"):
		r.largeObjectRights(e)
	case e.Definition != "":
		r.text(e.Definition, "\n\n")
	}

	if e.Owner != "" && e.Drop != "" {
		if e.Desc == "BLOB METADATA" {
			r.each(e, "ALTER LARGE OBJECT ", " OWNER TO "+identifier(e.Owner))
		} else if thing := owned(e); thing != "" {
			r.text("ALTER ", thing, " OWNER TO ", identifier(e.Owner), ";\n\n")
		}
	}
	if e.RelationKind == 'p' && e.AccessMethod != nil && *e.AccessMethod != "" {
		r.text("ALTER TABLE ", qualified(e), " SET ACCESS METHOD ", identifier(*e.AccessMethod), ";\n\n")
	}
}

// selectSchema sets the search path as archives of before March 2018 need it: their SQL names no schemas.
func (r *restorer) selectSchema(schema string) {
	if r.searchPath || schema == "" || schema == r.schema {
		return
	}
	r.schema = schema
	r.text("SET search_path = ", identifier(schema))
	if schema != "pg_catalog" {
		r.text(", pg_catalog")
	}
	r.text(";\n\n")
}

// selectSetting sets something to what the next entry wants, when it is not that already; nil: it does not care.
func (r *restorer) selectSetting(now **string, wanted *string, setting string) {
	if wanted == nil || *now != nil && **now == *wanted {
		return
	}
	value := "''"
	if *wanted != "" {
		value = identifier(*wanted)
	}
	r.text("SET ", setting, " = ", value, ";\n\n")
	*now = wanted
}

func qualified(e *Entry) string {
	if e.Namespace == "" {
		return identifier(e.Tag)
	}
	return identifier(e.Namespace) + "." + identifier(e.Tag)
}

// owned returns what ALTER … OWNER TO takes for an entry; empty for what has no owner of its own.
func owned(e *Entry) string {
	switch e.Desc {
	case "VIEW", "SEQUENCE", "MATERIALIZED VIEW": // every version takes these as tables
		return "TABLE " + qualified(e)
	case "COLLATION", "CONVERSION", "DOMAIN", "FOREIGN TABLE", "STATISTICS", "TABLE", "TYPE",
		"TEXT SEARCH DICTIONARY", "TEXT SEARCH CONFIGURATION",
		"PROCEDURAL LANGUAGE", "SCHEMA", "EVENT TRIGGER", "FOREIGN DATA WRAPPER", "SERVER", "PUBLICATION", "SUBSCRIPTION":
		return e.Desc + " " + qualified(e)
	case "BLOB":
		return "LARGE OBJECT " + e.Tag
	case "AGGREGATE", "FUNCTION", "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY", "PROCEDURE":
		// These need their arguments, as DROP does.
		return strings.TrimRight(strings.TrimPrefix(e.Drop, "DROP "), ";\n")
	}
	return ""
}
