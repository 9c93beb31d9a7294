package scenario

import "slices"

// kind is the type of a status key's value.
type kind string

const (
	kindText    kind = "text"
	kindInteger kind = "an integer"
	kindBool    kind = "true or false"
	kindList    kind = "a list of texts"
)

// statusKey is a key of an answer, and the type of its value.
type statusKey struct {
	name string
	kind kind
}

// scriptKeys are what a step can set for the script API: status answers the first two (rows S7.7, S7.8), and process
// the last (row S6.1), as it is in the step that is reached then.
var scriptKeys = []statusKey{
	{"reason", kindText},
	{"archived", kindBool},
	{"is_pg_version_compatible", kindBool},
}

// statusKeys are the keys of a status answer in its order, with their types (docs/fidelity.md, section 7). All but
// id, key and state may be set to null: that unknown values are null is documented, which of them ever are is not.
var statusKeys = []statusKey{
	{"id", kindInteger},
	{"key", kindText},
	{"email", kindText},
	{"target", kindText},
	{"aim", kindText},
	{"filename", kindText},
	{"timezone", kindText},
	{"state", kindText},
	{"issue_stage", kindText},
	{"issue", kindInteger},
	{"status_url", kindText},
	{"notes_url", kindText},
	{"original_sql_url", kindText},
	{"original_dump_url", kindText},
	{"upgraded_sql_url", kindText},
	{"upgraded_dump_url", kindText},
	{"modules_url", kindText},
	{"filesize", kindText},
	{"database_uuid", kindText},
	{"created_at", kindText},
	{"processed_at", kindText},
	{"estimated_time", kindText},
	{"elapsed", kindText},
	{"filestore", kindBool},
	{"customer_message", kindText},
	{"database_version", kindText},
	{"postgresql", kindText},
	{"compressions", kindList},
}

// keysOf returns the keys of the answers of that API; those of both for "".
func keysOf(api string) []statusKey {
	switch api {
	case APIDatabase:
		return statusKeys
	case APIScript:
		return scriptKeys
	}
	return slices.Concat(statusKeys, scriptKeys)
}

func namesOf(keys []statusKey) []string {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key.name
	}
	return names
}

// shown are the keys whose texts an expectation can look for.
func shown(api string) []string { return namesOf(keysOf(api)) }

// settable are the keys that a step may set: all but those that say who the request is.
func settable(api string) []string { return slices.DeleteFunc(shown(api), identifies) }

// StatusKeys returns the keys of a status answer of that API, APIDatabase or APIScript, that a step may set.
func StatusKeys(api string) []string { return settable(api) }

func identifies(key string) bool { return key == "id" || key == "key" }

// nullable reports whether a step can set the key to nothing.
func nullable(key string) bool { return key != "state" && key != "is_pg_version_compatible" }

func (c *checker) set(key string, value any) error {
	if identifies(key) {
		return wrong("%s cannot be set: it says which request it is", quote(key))
	}
	i := slices.IndexFunc(keysOf(c.api), func(known statusKey) bool { return known.name == key })
	switch {
	case i < 0 && slices.Contains(settable(""), key):
		return c.misplaced("key", key, settable(c.api))
	case i < 0:
		return unknown("status key", key, settable(c.api))
	}
	known := keysOf(c.api)[i]
	switch {
	case value == nil && nullable(key), value != nil && is(known.kind, value):
		return nil
	case value == nil && key == "state":
		return wrong("a request is always in some state: wanted %s, found nothing", known.kind)
	}
	hint := ""
	if _, text := value.(string); known.kind == kindText && !text {
		hint = ": in quotes it is text"
	}
	return wrong("wanted %s, found %s%s", known.kind, describe(value), hint)
}

// is reports whether value, as Parse or a Go program makes it, is of that kind.
func is(want kind, value any) bool {
	switch v := value.(type) {
	case string:
		return want == kindText
	case bool:
		return want == kindBool
	case int, int64, uint64:
		return want == kindInteger
	case []string:
		return want == kindList
	case []any:
		return want == kindList && !slices.ContainsFunc(v, func(item any) bool { return !is(kindText, item) })
	}
	return false
}
