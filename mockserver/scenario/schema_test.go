package scenario_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/apidoc"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func TestSchema_theFileIsTheSame(t *testing.T) {
	t.Parallel()
	const file = "scenario.schema.json"
	if *apidoc.Update {
		if err := os.WriteFile(file, scenario.Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(scenario.Schema())); diff != "" {
		t.Errorf("%s is out of date: go test ./mockserver/scenario -run Schema -update (-file +generated):\n%s", file, diff)
	}
}

// A schema is one object of the JSON Schema, as far as the tests look.
type schema struct {
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	AnyOf      []schema          `json:"anyOf"`
}

func (s schema) keys() []string {
	keys := make([]string, 0, len(s.Properties))
	for key := range s.Properties {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Each Go type, the keys it is written with, the keys that Parse reads, and the keys in the schema are the same.
func TestSchema_equalsTheGoTypesAndTheGrammar(t *testing.T) {
	t.Parallel()
	var root schema
	if err := json.Unmarshal(scenario.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	fault := root.Properties["faults"].Items
	name := "upgraded.zip"
	file := scenario.Upgraded{
		Built: true, Size: 1, Archive: "a", SQL: "b", Notes: "c", Modules: "d",
		DumpName: &name, Filestore: "e", Report: "f", Log: "g", Missing: scenario.Missing{Archive: true},
	}
	fullFault := scenario.Fault{
		On: "status", Skip: 1, Times: 1, Every: 1, After: 1, Delay: 1, Rate: 1,
		Failure: &scenario.Failure{}, HTTP: &scenario.HTTP{},
		Reset: true, Cut: true, Truncate: true, Garbage: true, Refuse: true, Disconnect: true, Error: "e", Revoke: true,
		HostKey: "changed",
		File:    "*.dat", KnownHosts: &name, Unreachable: true,
	}
	for _, tc := range []struct {
		name   string
		schema schema
		value  any    // with every field set
		strict string // a script with the unknown key `zzzzzzzz` in such an object
	}{
		{
			"scenario", root, scenario.Scenario{
				Name: "a", Description: "b", When: scenario.When{"aim": ""}, Steps: []scenario.Step{{}},
				Faults: []scenario.Fault{{}}, Upgraded: file, Run: scenario.Run{Stdin: "closed"},
				Expect: &scenario.Expect{},
			},
			"zzzzzzzz: 1",
		},
		{"step", *root.Properties["steps"].Items, scenario.Step{
			State: "a", For: scenario.For{Polls: 1}, Set: map[string]any{"issue": 1}, Log: &scenario.Log{Text: "b"},
		}, "steps: [{zzzzzzzz: 1}]"},
		{"fault", *fault, fullFault, "faults: [{zzzzzzzz: 1}]"},
		{"http", fault.Properties["http"], scenario.HTTP{
			Status: 200, Headers: map[string]string{"a": "b"}, ContentType: "c", Body: "d",
		}, "faults: [{http: {zzzzzzzz: 1}}]"},
		{"upgraded", root.Properties["upgraded"].AnyOf[1], file, "upgraded: {zzzzzzzz: 1}"},
		{"run", root.Properties["run"], scenario.Run{
			Stdin: "closed", Interrupted: &scenario.Interruption{}, Database: true,
		}, "run: {zzzzzzzz: 1}"},
		{"interrupted", root.Properties["run"].Properties["interrupted"], scenario.Interruption{
			On: "status", Skip: 1,
		}, "run: {interrupted: {zzzzzzzz: 1}}"},
		{"expect", root.Properties["expect"], scenario.Expect{
			Exit: "success", Calls: map[string]scenario.Bound{"create": {}}, Order: []string{"a"},
			Interval: map[string]scenario.Interval{"status": {}}, RetryAfter: "kept", GivesUp: "upload", Resumed: true,
			Params: "as told", Dump: "intact", Requests: "known", Within: 1, Out: "absent", Filestore: "merged",
			Shows: scenario.Texts{{Key: "state"}}, Hides: "key",
		}, "expect: {zzzzzzzz: 1}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v := reflect.ValueOf(tc.value)
			for i := range v.NumField() {
				if v.Field(i).IsZero() {
					t.Errorf("the test's value lacks %s", v.Type().Field(i).Name)
				}
			}
			own := slices.DeleteFunc(tc.schema.keys(), func(key string) bool { return key == "at" }) // which is read for on
			if diff := cmp.Diff(own, written(t, tc.value)); diff != "" {
				t.Errorf("keys that are written (-schema +Go):\n%s", diff)
			}
			if diff := cmp.Diff(tc.schema.keys(), read(t, tc.strict)); diff != "" {
				t.Errorf("keys that are read (-schema +Parse):\n%s", diff)
			}
		})
	}
}

func written(t *testing.T, value any) []string {
	t.Helper()
	src, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(src, &object); err != nil {
		t.Fatal(err)
	}
	return schema{Properties: toSchemas(object)}.keys()
}

func toSchemas(object map[string]any) map[string]schema {
	schemas := map[string]schema{}
	for key := range object {
		schemas[key] = schema{}
	}
	return schemas
}

// read returns the keys that Parse expects in place of the unknown one.
func read(t *testing.T, src string) []string {
	t.Helper()
	_, err := scenario.Parse("s.yaml", []byte(src))
	for _, m := range err.(*scenario.Error).Mistakes {
		if strings.HasSuffix(m.Path, "zzzzzzzz") {
			return m.Expected
		}
	}
	t.Fatalf("%s: no mistake for the unknown key: %v", src, err)
	return nil
}

// TestSchemaURL: the schema is in the repository where its address says.
func TestSchemaURL(t *testing.T) {
	t.Parallel()
	for tag, branch := range map[string]string{"": "main", "v1.2.3": "v1.2.3"} {
		base := "https://raw.githubusercontent.com/upgrademock/upgrademock/" + branch + "/"
		path, ok := strings.CutPrefix(scenario.SchemaURL(tag), base)
		if _, err := os.Stat(filepath.Join("../..", path)); !ok || err != nil {
			t.Errorf("%s: %s, %v", tag, scenario.SchemaURL(tag), err)
		}
	}
}

// validate is a program of somebody else's that judges documents by a schema: it prints the index of each valid one.
const validate = `
import json, sys, jsonschema
schema, documents = json.load(sys.stdin)
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
print(json.dumps([i for i, d in enumerate(documents) if validator.is_valid(d)]))
`

func TestSchema_judgesAsParseDoes(t *testing.T) {
	t.Parallel()
	python := testprog.NeedPython(t, "jsonschema", "python3-jsonschema")
	docs := append(builtIns(t), whole, wholeScript, "{}", "upgraded: {built: 1, notes: a}",
		"faults: [{on: upload, after: 5, cut: true}]", "expect: {calls: {status: '>= 3'}, shows: 'text:hello'}",
		"expect: {shows: [state, 'text:a b'], dump: intact, params: as told}")
	docs = append(docs,
		"when: {api: script}", "when: {api: sql}", "steps: [{state: a, log: ''}]", "steps: [{state: a, log: {}}]",
		"steps: [{state: a, log: 5}]",
		"steps: [{state: a, set: {archived: null, reason: null}}]",
		"steps: [{state: a, set: {is_pg_version_compatible: null}}]",
		"faults: [{on: script.status, failure: {message: x}}]", "faults: [{on: script.status, failure: {message: ''}}]",
		"faults: [{on: script.status, failure: {message: x, form: error}}]",
		"faults: [{on: script.status, failure: {message: x, form: b}}]",
		"faults: [{on: script.status, failure: {message: x, reason: y}}]",
		"faults: [{on: script.status, failure: {form: error}}]",
		"faults: [{on: status, failure: {reason: x, form: error}}]", "faults: [{on: rsync.login, known_hosts: null}]",
		"faults: [{on: rsync.login, known_hosts: ''}]", "faults: [{on: rsync.login, known_hosts: a, rate: 1KiB/s}]",
		"faults: [{on: rsync.upload, file: a, reset: true}]", "faults: [{on: rsync.upload, after: {file: a}, reset: true}]",
		"faults: [{on: rsync.upload, after: {}, reset: true}]", "faults: [{on: upload, file: a, reset: true}]",
		"upgraded: {archive: null}", "upgraded: {dump_name: null}", "upgraded: {sql: null}",
		"upgraded: {built: 1, archive: null}",
		"upgraded: {report: null, log: null, filestore: null}",
		"[]", "step: []", "name: 5", "steps: []", "steps: [{}]", "steps: [{state: a, for: 0 polls}]",
		"steps: [{state: a, for: 2 weeks}]",
		"steps: [{state: a, set: {id: 1}}]", "steps: [{state: a, set: {filestore: 'yes'}}]",
		"steps: [{state: a, set: {compressions: [1]}}]",
		"when: {contrat: a}", "faults: [{reset: true}]", "faults: [{on: sftp.put, error: x}]",
		"faults: [{on: status, times: 0, reset: true}]",
		"faults: [{on: status, refuse: true}]", "faults: [{on: create, after: 1, reset: true}]",
		"faults: [{on: upload, after: 64Kib, reset: true}]",
		"faults: [{on: sftp.open, rate: 1KiB/s}]", "faults: [{on: sftp.login, hostkey: same}]",
		"faults: [{on: status, http: {status: 99}}]",
		"faults: [{on: status, failure: {message: x}}]", "upgraded: build", "upgraded: {}",
		"upgraded: {built: 1, archive: a}",
		"expect: {exit: 0}", "expect: {calls: {proces: 1}}", "expect: {calls: {create: many}}",
		"expect: {interval: {status: 1s}}",
		"expect: {order: [create]}", "expect: {shows: nothing}", "expect: {hides: email}", "expect: {within: 5}",
		"expect: {shows: []}", "expect: {shows: [nothing]}", "expect: {dump: whole}", "expect: {params: told}",
		"expect: {requests: any}", "expect: {retry_after: 2s}",
	)
	var want []int
	converted := make([]json.RawMessage, len(docs))
	for i, doc := range docs {
		if _, err := scenario.Parse("s.yaml", []byte(doc)); err == nil {
			want = append(want, i)
		}
		var err error
		if converted[i], err = yaml.YAMLToJSON([]byte(doc)); err != nil {
			t.Fatal(err)
		}
	}
	stdin, err := json.Marshal([]any{json.RawMessage(scenario.Schema()), converted})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", validate)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), t.Output()
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for i, doc := range docs {
		if parsed, valid := slices.Contains(want, i), slices.Contains(got, i); parsed != valid {
			t.Errorf("Parse accepts: %t, the schema: %t\n%s", parsed, valid, doc)
		}
	}
}

// builtIns returns the built-in scripts' sources.
func builtIns(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("../../fixtures/scenarios/*.yaml")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no built-in scenarios: %v", err)
	}
	sources := make([]string, len(files))
	for i, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		sources[i] = string(src)
	}
	return sources
}
