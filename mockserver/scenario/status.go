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

// statusKeys are the keys of a status answer in its order, with their types (docs/fidelity.md, section 7). All but
// id, key and state may be set to null: that unknown values are null is documented, which of them ever are is not.
var statusKeys = []struct {
	name string
	kind kind
}{
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

// statusKeyNames returns the keys of a status answer.
func statusKeyNames() []string {
	names := make([]string, len(statusKeys))
	for i, key := range statusKeys {
		names[i] = key.name
	}
	return names
}

// settable are the keys that a step may set: all but those that say who the request is.
func settable() []string {
	return slices.DeleteFunc(statusKeyNames(), identifies)
}

func identifies(key string) bool { return key == "id" || key == "key" }

func checkSet(key string, value any) error {
	if identifies(key) {
		return wrong("%s cannot be set: it says which request it is", quote(key))
	}
	for _, known := range statusKeys {
		if known.name != key {
			continue
		}
		if value == nil && key == "state" {
			return wrong("a request is always in some state: wanted %s, found nothing", known.kind)
		}
		if value == nil || is(known.kind, value) {
			return nil
		}
		hint := ""
		if _, text := value.(string); known.kind == kindText && !text {
			hint = ": in quotes it is text"
		}
		return wrong("wanted %s, found %s%s", known.kind, describe(value), hint)
	}
	return unknown("status key", key, settable())
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
