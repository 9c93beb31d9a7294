package pgarchive

import (
	"regexp"
	"strings"
)

// plainIdentifier is what needs no quotes, unless it is a keyword.
var plainIdentifier = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// keywords are the words that cannot be used as any name without quotes: those of PostgreSQL 15 (its
// pg_get_keywords() but for the category U) and those that 16 to 18 added. Quoting one too many does no harm.
var keywords = func() map[string]bool {
	m := map[string]bool{}
	for _, word := range strings.Fields(`
		all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case
		cast char character check coalesce collate collation column concurrently constraint create cross
		current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
		decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign freeze
		from full grant greatest group grouping having ilike in initially inner inout int integer intersect interval
		into is isnull join lateral leading least left like limit localtime localtimestamp national natural nchar none
		normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay placing position
		precision primary real references returning right row select session_user setof similar smallint some substring
		symmetric table tablesample then time timestamp to trailing treat trim true union unique user using values
		varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest
		xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable

		json json_array json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize
		json_table json_value merge_action system_user`) {
		m[word] = true
	}
	return m
}()

// identifier quotes a name where SQL needs it.
func identifier(name string) string {
	if plainIdentifier.MatchString(name) && !keywords[name] {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// comment makes a name fit for a comment of one line: nothing in it may begin a line of its own, where it would be
// run.
func comment(name, absent string) string {
	if name == "" {
		return absent
	}
	return strings.NewReplacer("\n", " ", "\r", " ").Replace(name)
}
