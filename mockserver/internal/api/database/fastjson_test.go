package database

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is written by hand is what encoding/json writes, to the byte.
func TestAppendJSON(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]any{
		"null": nil, "true": true, "false": false, "integer": int64(-648398), "smallest integer": int64(math.MinInt64),
		"empty text": "", "plain text": "db_name.dump",
		"URL":    "https://upgrade.odoo.com/database/eu1/10534/Wp-_w3==/status?a=1&b=<2>",
		"quotes": `a "b" \c`, "controls": "a\tb\nc\x00\x1f\x7f", "not ASCII": "Größe 数据库 😀", "not UTF-8": "a\xffb",
		"separators of JavaScript": "a\u2028b\u2029",
		"no list":                  []string(nil), "empty list": []string{}, "list": []string{"pgdmp_custom", `s"ql`},
		"whatever else": map[string]any{"b": 1.5, "a": []any{nil, "<&>"}, "c": json.Number("7")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := appendJSON([]byte("before "), v)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("before "+marshal(t, v), string(got)); diff != "" {
				t.Errorf("not what encoding/json writes (-want +got):\n%s", diff)
			}
		})
	}
}

// An object keeps the order of its keys, alone and within what encoding/json writes.
func TestAppendJSON_objects(t *testing.T) {
	t.Parallel()
	o := object{{"z", int64(1)}, {"a", object{{"<key>", "<&>"}}}, {"m", object{}}}
	const want = `{"z":1,"a":{"<key>":"<&>"},"m":{}}`
	for name, v := range map[string]any{want: o, `{"in":` + want + `}`: map[string]any{"in": o}} {
		got, err := appendJSON(nil, v)
		if err != nil || string(got) != name {
			t.Errorf("got %s, %v; want %s", got, err, name)
		}
	}
	for name, v := range map[string]any{"alone": make(chan int), "in an object": object{{"a", make(chan int)}}} {
		if got, err := appendJSON(nil, v); err == nil {
			t.Errorf("what JSON has no form for, %s: got %s", name, got)
		}
	}
}

func FuzzAppendJSON(f *testing.F) {
	for _, s := range []string{"", "a", `"`, "\\", "<", "\u2028", "\xff", "\x7f", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := appendJSON(nil, s)
		if want := marshal(t, s); err != nil || string(got) != want {
			t.Errorf("%q: got %s, %v; want %s", s, got, err, want)
		}
	})
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
