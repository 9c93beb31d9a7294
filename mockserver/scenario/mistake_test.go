package scenario_test

import (
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// mistakes returns the error's lines.
func mistakes(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// want is what is wrong with a script: each "LINE:COLUMN: " and then texts, apart by " … ", in this order.
type want []string

// mistaken is a script with exactly the mistakes listed: where each stands, and words that its message has.
type mistaken struct {
	name, src string
	want      want
}

func (tc mistaken) test(t *testing.T) {
	t.Parallel()
	s, err := scenario.Parse("s.yaml", []byte(tc.src))
	if s != nil {
		t.Errorf("got a scenario and not only an error")
	}
	got := mistakes(err)
	if len(got) != len(tc.want) {
		t.Fatalf("got %d mistakes, want %d:\n%v", len(got), len(tc.want), err)
	}
	for _, want := range tc.want {
		if !anyHas(got, "s.yaml:"+want) {
			t.Errorf("no mistake is like\n%s\ngot\n%v", want, err)
		}
	}
}

func TestParse_mistakes(t *testing.T) {
	t.Parallel()
	for _, tc := range []mistaken{
		// the file
		{"empty", "", want{"1:1: … empty"}},
		{"only a comment", "# nothing\n", want{"1:1: … empty"}},
		{"not YAML", "name: a\nsteps: [\n", want{"2:8: … not YAML"}},
		{
			"a tab before a key", "steps:\n\t- {state: done}\n",
			want{"2:1: … not YAML: a tab cannot stand here: wanted blanks"},
		},
		{
			"a colon in a text", "description: first: then\n",
			want{"1:14: … not YAML: a second `: ` stands in this line: wanted quotes"},
		},
		{"two keys in a line", "name: a steps: []\n", want{" … not YAML: a second `: `"}},
		{
			"no blank behind the colon", "name:a\nsteps: []\n",
			want{" … not YAML: this line fits none above it: wanted `KEY: VALUE`"},
		},
		{"a key further in", "name: a\n  steps: []\n", want{" … not YAML: … wanted"}},
		{
			"a key further out", "when:\n    aim: test\n  target: 8.0\n",
			want{"3:3: … not YAML: … wanted the keys of one object in one column"},
		},
		{"a text without a key", "name: a\nhello\n", want{" … not YAML: … wanted `KEY: VALUE`"}},
		{"a quote that does not end", "name: \"a\nsteps: []\n", want{" … not YAML: this text in quotes does not end"}},
		{"a single quote that does not end", "name: 'a\n", want{" … not YAML: this text in quotes does not end"}},
		{"no escape", "name: \"C:\\dump\"\n", want{" … not YAML: `\\` in double quotes begins an escape"}},
		{"a reserved character", "name: @home\n", want{" … not YAML: a text cannot begin with this character"}},
		{"an object that does not end", "when: {aim: test\n", want{" … not YAML: this object in braces is not well-formed"}},
		{"a bracket too many", "steps: [{state: a}]]\n", want{" … not YAML: … wanted"}},
		{"a brace too many", "when: {aim: test}}\n", want{"1:18: … not YAML: this fits neither"}},
		{"an alias without a name", "name: *\n", want{" … not YAML: scripts have no anchors"}},
		{"a directive", "%YAML 9\n---\nname: a\n", want{" … not YAML: scripts have no directives"}},
		{"a list beside a key", "steps: - {state: a}\n", want{"1:8: … not YAML: a list cannot begin in this line: wanted"}},
		{"JSON that ends too early", "{\"name\": \"a\"", want{" … not YAML: … wanted"}},
		{"JSON with a comma too many", "{\"name\": \"a\",, \"steps\": []}", want{" … not YAML: … wanted"}},
		{"nested too deeply", "name: " + strings.Repeat("[", 50000), want{"1:107: … nested too deeply"}},
		{"nested too deeply in a line", strings.Repeat("- ", 50000), want{"1:201: … nested too deeply"}},
		{
			"many in a line", "faults: [" + strings.Repeat("{on: status, reset: true}, ", 500) + "5]",
			want{"1:13510: faults[500]: wanted a fault"},
		},
		{"not an object", "- name: a\n", want{"1:1: … wanted a script … found a list"}},
		{"text", "hello", want{"1:1: … wanted a script … `hello`"}},
		{"two scripts", "name: a\n---\nname: b\n", want{"3:1: … one script"}},
		{"not UTF-8", "name: a\ndescription: \xff\n", want{"2:14: … UTF-8"}},
		{"too big", "description: " + strings.Repeat("a", 256<<10), want{"1:1: … at most"}},
		{"alias", "name: &a b\ndescription: *a\n", want{"1:7: … an anchor", "2:14: … an alias"}},
		{"merge key", "when:\n  <<: {aim: test}\n", want{"2:3: … plain key … an alias"}},
		{"tag", "name: !!str 5\n", want{"1:7: … the tag `!!str`"}},

		// places
		{"line ends of another system", "name: a\r\nsteps:\r\n  - state: a\r\n    for: 1s\r\n", want{"4:10: steps[0].for"}},
		{
			"columns are characters", "faults: [{on: 'статус', reset: true}]\n# ü\nстоп: 1\n",
			want{"1:15: faults[0].on", "3:1: стоп"},
		},
		{"JSON", "{\n\t\"steps\": [\n\t\t{\"state\": \"a\",\n\t\t \"for\": 5}\n\t]\n}\n", want{"4:11: steps[0].for"}},
		{"after a block of text", "description: |\n  a\n\n  b\nstep: 1\n", want{"5:1: step"}},

		// keys and types
		{
			"unknown key", "step: []\n",
			want{"1:1: step: unknown key `step`, did you mean `steps`? Valid here: … `faults` … or `when`"},
		},
		{
			"unknown key, nothing near", "colour: red\n",
			want{"1:1: colour: unknown key `colour`, expected `description` … or `when`"},
		},
		{
			"unknown key in a step", "steps:\n  - {stat: a}\n",
			want{"2:6: steps[0].stat: unknown key `stat`, did you mean `state`?"},
		},
		{
			"unknown key in a fault", "faults:\n  - {on: status, tims: 2, reset: true}\n",
			want{"2:18: … did you mean `times`?"},
		},
		{
			"unknown key in an answer", "faults: [{on: status, http: {code: 1}}]\n",
			want{"1:30: faults[0].http.code: unknown key … `content_type` … `status`"},
		},
		{"unknown key in an expectation", "expect: {exits: success}\n", want{"1:10: … did you mean `exit`?"}},
		{
			"unknown key in upgraded", "upgraded: {file: a.zip}\n",
			want{"1:12: … unknown key `file`", "1:11: … at least one file"},
		},
		{"twice", "name: a\ndescription: b\nname: c\n", want{"3:1: name: the key `name` stands here twice"}},
		{"twice inside", "steps: [{state: a, state: b}]\n", want{"1:20: … twice"}},
		{"number for text", "name: 9.0\n", want{"1:7: name: wanted text, found the number `9.0`: in quotes it is text"}},
		{"truth for text", "name: true\n", want{"1:7: name: wanted text, found `true`: in quotes"}},
		{"nothing for text", "name:\n", want{"1:1: name: wanted text, found nothing"}},
		{"empty text", "name: ''\n", want{"1:7: name: … empty"}},
		{"control characters", "name: \"a\\nb\"\n", want{"1:7: name: … control characters"}},
		{"list for text", "name: [a]\n", want{"1:7: name: wanted text, found a list"}},
		{"object for a list", "steps: {state: done}\n", want{"1:8: steps: wanted a list of steps, found an object"}},
		{"text for a list", "faults: none\n", want{"1:9: faults: wanted a list of faults, found the text `none`"}},
		{"text for an object", "steps: [done]\n", want{"1:9: steps[0]: wanted a step"}},
		{"nothing for an object", "expect:\n", want{"1:1: expect: … found nothing"}},
		{
			"text for truth", "faults: [{on: status, reset: 'yes'}]\n",
			want{"1:30: faults[0].reset: wanted true or false, found the text `yes`"},
		},
		{
			"bare yes is text", "faults: [{on: status, reset: yes}]\n",
			want{"1:30: faults[0].reset: wanted true or false, found the text `yes`"},
		},
		{
			"text for a number", "faults: [{on: status, times: two, reset: true}]\n",
			want{"1:30: faults[0].times: wanted an integer"},
		},
		{
			"fraction for a number", "faults: [{on: status, times: 1.5, reset: true}]\n",
			want{"1:30: faults[0].times: wanted an integer, found the number `1.5`"},
		},
		{
			"huge number", "faults: [{on: status, times: 99999999999, reset: true}]\n",
			want{"1:30: faults[0].times: wanted at most"},
		},

		// when
		{
			"no such parameter", "when: {contrat: a}\n",
			want{"1:17: when.contrat: unknown parameter of create `contrat`, did you mean `contract`?"},
		},
		{"bad glob", "when: {contract: 'M[1'}\n", want{"1:18: when.contract: not a glob"}},
		{"bad glob at the end", "when: {contract: 'M*\\'}\n", want{"1:18: when.contract: not a glob"}},
		{"number for a glob", "when: {target: 9.0}\n", want{"1:16: when.target: wanted text … in quotes"}},

		{
			"an unknown API", "when: {api: scrip}\n",
			want{"1:13: when.api: unknown API `scrip`, did you mean `script`? Valid here: `database` or `script`"},
		},
		{"a glob for an API", "when: {api: '*'}\n", want{"1:13: when.api: unknown API `*`, expected `database` or `script`"}},
		{"no API", "when: {api: ''}\n", want{"1:13: when.api: unknown API"}},
		{
			"a parameter of the database API", "when: {api: script, email: '*'}\n", want{
				"1:28: when.email: `email` is no parameter of create of the script API … expected `api`, `actuator`, " +
					"`aim`, `api_version`, `contract` or `target`",
			},
		},
		{
			"a parameter of the script API", "when: {api: database, actuator: cli}\n",
			want{"1:33: when.actuator: `actuator` is no parameter of create of the database API"},
		},

		// what does not fit the API
		{
			"a place of the database API", "when: {api: script}\nfaults: [{on: status, reset: true}]\n", want{
				"2:15: faults[0].on: `status` is no place of the script API, which `when` names, " +
					"did you mean `script.status`? Valid here: `script.create`",
			},
		},
		{"a place of the script API", "when: {api: database}\nfaults: [{on: rsync.upload, reset: true}]\n", want{
			"2:15: faults[0].on: `rsync.upload` is no place of the database API … did you mean `upload`?"}},
		{"a misspelt place of an API", "when: {api: script}\nfaults: [{on: script.statu, reset: true}]\n", want{
			"2:15: faults[0].on: unknown place `script.statu`, did you mean `script.status`? Valid here: `script.create`"}},
		{
			"a key of the database API", "when: {api: script}\nsteps: [{state: done, set: {filestore: true}}]\n", want{
				"2:40: steps[0].set.filestore: `filestore` is no key of the script API … expected `reason`, `archived` " +
					"or `is_pg_version_compatible`",
			},
		},
		{"a key of the script API", "when: {api: database}\nsteps: [{state: done, set: {reason: x}}]\n", want{
			"2:37: steps[0].set.reason: `reason` is no key of the database API"}},
		{
			"a log over the database API", "when: {api: database}\nsteps: [{state: done, log: x}]\n",
			want{"2:28: steps[0].log: the database API has no log"},
		},
		{
			"a result of the database API", "when: {api: script}\nupgraded: {sql: a}\n", want{
				"2:17: upgraded.sql: `sql` is no key of the script API … expected `archive`, `built`, `dump_name`, " +
					"`filestore`, `log` or `report`",
			},
		},
		{
			"a result of the script API", "when: {api: database}\nupgraded: {report: a}\n",
			want{"2:20: upgraded.report: `report` is no key of the database API"},
		},
		{
			"a missing file of the database API", "when: {api: database}\nupgraded: {archive: null}\n",
			want{"2:21: upgraded.archive: over the database API"},
		},
		{"an event of the database API", "when: {api: script}\nexpect: {calls: {upload: 1}}\n", want{
			"2:26: expect.calls.upload: `upload` is no event of the script API … did you mean `rsync.upload`?"}},
		{"an event of the script API", "when: {api: database}\nexpect: {order: [create, script.process]}\n", want{
			"2:26: expect.order[1]: `script.process` is no event of the database API … did you mean `process`?"}},
		{
			"shown over the script API", "when: {api: script}\nexpect: {shows: customer_message}\n",
			want{"2:17: expect.shows: unknown status key `customer_message`"},
		},

		// steps
		{"no steps", "steps: []\n", want{"1:8: steps: … at least one step"}},
		{"a step without a state", "steps:\n  - set: {issue: 1}\n", want{"2:5: steps[0].state: … wants a `state`"}},
		{"an empty state", "steps: [{state: ''}]\n", want{"1:17: steps[0].state: … empty"}},
		{"blanks around a state", "steps: [{state: ' a'}]\n", want{"1:17: steps[0].state: … no blanks"}},
		{"the last step with for", "steps: [{state: a, for: 1s}]\n", want{"1:25: steps[0].for: … what comes after `1s`?"}},
		{
			"a step without for", "steps:\n  - {state: a}\n  - {state: b}\n",
			want{"2:5: steps[0].for: only the last step is for ever"},
		},
		{
			"a negative duration", "steps: [{state: a, for: -2s}, {state: b}]\n",
			want{"1:25: steps[0].for: … longer than zero, found `-2s`"},
		},
		{"no duration", "steps: [{state: a, for: 0s}, {state: b}]\n", want{"1:25: steps[0].for: … longer than zero"}},
		{"no polls", "steps: [{state: a, for: 0 polls}, {state: b}]\n", want{"1:25: steps[0].for: … at least `1 poll`"}},
		{
			"negative polls", "steps: [{state: a, for: -1 polls}, {state: b}]\n",
			want{"1:25: steps[0].for: … at least `1 poll`"},
		},
		{
			"a bare number", "steps: [{state: a, for: 5}, {state: b}]\n",
			want{"1:25: steps[0].for: say 5 of what: `5s` or `5 polls`"},
		},
		{
			"a misspelt word", "steps: [{state: a, for: relased}, {state: b}]\n",
			want{"1:25: steps[0].for: … did you mean `released`?"},
		},
		{
			"an unknown unit", "steps: [{state: a, for: 5 weeks}, {state: b}]\n",
			want{"1:25: steps[0].for: wanted a duration such as"},
		},
		{"for what", "steps: [{state: a, for: [1]}, {state: b}]\n", want{"1:25: steps[0].for: wanted text, found a list"}},
		{
			"a duration too long", "steps: [{state: a, for: 9999999999h}, {state: b}]\n",
			want{"1:25: steps[0].for: wanted a duration"},
		},

		// set
		{
			"set an unknown key", "steps: [{state: a, set: {filesise: x}}]\n",
			want{"1:36: steps[0].set.filesise: unknown status key `filesise`, did you mean `filesize`?"},
		},
		{"set the id", "steps: [{state: a, set: {id: 1}}]\n", want{"1:30: steps[0].set.id: `id` cannot be set"}},
		{"set the key", "steps: [{state: a, set: {key: x}}]\n", want{"1:31: steps[0].set.key: `key` cannot be set"}},
		{
			"set text to a number", "steps: [{state: a, set: {postgresql: 9.4}}]\n",
			want{"1:38: steps[0].set.postgresql: wanted text, found the number `9.4`: in quotes it is text"},
		},
		{
			"set truth to text", "steps: [{state: a, set: {filestore: 'yes'}}]\n",
			want{"1:37: steps[0].set.filestore: wanted true or false"},
		},
		{
			"set an integer to text", "steps: [{state: a, set: {issue: '1'}}]\n",
			want{"1:33: steps[0].set.issue: wanted an integer"},
		},
		{
			"set a list to text", "steps: [{state: a, set: {compressions: sql}}]\n",
			want{"1:40: steps[0].set.compressions: wanted a list of texts"},
		},
		{
			"set a list of numbers", "steps: [{state: a, set: {compressions: [1]}}]\n",
			want{"1:40: steps[0].set.compressions: wanted a list of texts"},
		},
		{
			"set the state to nothing", "steps: [{state: a, set: {state: null}}]\n",
			want{"1:33: steps[0].set.state: … always in some state"},
		},
		{
			"set is no object", "steps: [{state: a, set: [issue]}]\n",
			want{"1:25: steps[0].set: wanted an object of status keys"},
		},
		{"infinity", "steps: [{state: a, set: {issue: .inf}}]\n", want{"1:33: steps[0].set.issue: … JSON … `.inf`"}},
	} {
		t.Run(tc.name, tc.test)
	}
}

func anyHas(lines []string, want string) bool {
	for _, line := range lines {
		if has(line, want) {
			return true
		}
	}
	return false
}

// has reports whether line begins with want's first part and has the others after it, in order.
func has(line, want string) bool {
	parts := strings.Split(want, " … ")
	rest, ok := strings.CutPrefix(line, strings.TrimSuffix(parts[0], " …"))
	for _, part := range parts[1:] {
		if !ok {
			return false
		}
		_, rest, ok = strings.Cut(rest, part)
	}
	return ok
}
