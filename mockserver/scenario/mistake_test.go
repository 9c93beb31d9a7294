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

// Each script has exactly the mistakes listed: where each stands, and words that its message has.
func TestParse_mistakes(t *testing.T) {
	t.Parallel()
	type want []string // each "LINE:COLUMN: " and then texts, apart by " … ", in this order
	for _, tc := range []struct {
		name string
		src  string
		want want
	}{
		// the file
		{"empty", "", want{"1:1: … empty"}},
		{"only a comment", "# nothing\n", want{"1:1: … empty"}},
		{"not YAML", "name: a\nsteps: [\n", want{"2:8: … not YAML"}},
		{"a tab before a key", "steps:\n\t- {state: done}\n", want{"2:1: … not YAML: a tab cannot stand here: wanted blanks"}},
		{"a colon in a text", "description: first: then\n", want{"1:14: … not YAML: a second `: ` stands in this line: wanted quotes"}},
		{"two keys in a line", "name: a steps: []\n", want{" … not YAML: a second `: `"}},
		{"no blank behind the colon", "name:a\nsteps: []\n", want{" … not YAML: this line fits none above it: wanted `KEY: VALUE`"}},
		{"a key further in", "name: a\n  steps: []\n", want{" … not YAML: … wanted"}},
		{"a key further out", "when:\n    aim: test\n  target: 8.0\n", want{"3:3: … not YAML: … wanted the keys of one object in one column"}},
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
		{"many in a line", "faults: [" + strings.Repeat("{on: status, reset: true}, ", 500) + "5]", want{"1:13510: faults[500]: wanted a fault"}},
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
		{"columns are characters", "faults: [{on: 'статус', reset: true}]\n# ü\nстоп: 1\n", want{"1:15: faults[0].on", "3:1: стоп"}},
		{"JSON", "{\n\t\"steps\": [\n\t\t{\"state\": \"a\",\n\t\t \"for\": 5}\n\t]\n}\n", want{"4:11: steps[0].for"}},
		{"after a block of text", "description: |\n  a\n\n  b\nstep: 1\n", want{"5:1: step"}},

		// keys and types
		{"unknown key", "step: []\n", want{"1:1: step: unknown key `step`, did you mean `steps`? Valid here: … `faults` … or `when`"}},
		{"unknown key, nothing near", "colour: red\n", want{"1:1: colour: unknown key `colour`, expected `description` … or `when`"}},
		{"unknown key in a step", "steps:\n  - {stat: a}\n", want{"2:6: steps[0].stat: unknown key `stat`, did you mean `state`?"}},
		{"unknown key in a fault", "faults:\n  - {on: status, tims: 2, reset: true}\n", want{"2:18: … did you mean `times`?"}},
		{"unknown key in an answer", "faults: [{on: status, http: {code: 1}}]\n", want{"1:30: faults[0].http.code: unknown key … `content_type` … `status`"}},
		{"unknown key in an expectation", "expect: {exits: success}\n", want{"1:10: … did you mean `exit`?"}},
		{"unknown key in upgraded", "upgraded: {file: a.zip}\n", want{"1:12: … unknown key `file`", "1:11: … at least one file"}},
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
		{"text for truth", "faults: [{on: status, reset: 'yes'}]\n", want{"1:30: faults[0].reset: wanted true or false, found the text `yes`"}},
		{"bare yes is text", "faults: [{on: status, reset: yes}]\n", want{"1:30: faults[0].reset: wanted true or false, found the text `yes`"}},
		{"text for a number", "faults: [{on: status, times: two, reset: true}]\n", want{"1:30: faults[0].times: wanted an integer"}},
		{"fraction for a number", "faults: [{on: status, times: 1.5, reset: true}]\n", want{"1:30: faults[0].times: wanted an integer, found the number `1.5`"}},
		{"huge number", "faults: [{on: status, times: 99999999999, reset: true}]\n", want{"1:30: faults[0].times: wanted at most"}},

		// when
		{"no such parameter", "when: {contrat: a}\n", want{"1:17: when.contrat: unknown parameter of create `contrat`, did you mean `contract`?"}},
		{"bad glob", "when: {contract: 'M[1'}\n", want{"1:18: when.contract: not a glob"}},
		{"bad glob at the end", "when: {contract: 'M*\\'}\n", want{"1:18: when.contract: not a glob"}},
		{"number for a glob", "when: {target: 9.0}\n", want{"1:16: when.target: wanted text … in quotes"}},

		{"an unknown API", "when: {api: scrip}\n", want{"1:13: when.api: unknown API `scrip`, did you mean `script`? Valid here: `database` or `script`"}},
		{"a glob for an API", "when: {api: '*'}\n", want{"1:13: when.api: unknown API `*`, expected `database` or `script`"}},
		{"no API", "when: {api: ''}\n", want{"1:13: when.api: unknown API"}},
		{"a parameter of the database API", "when: {api: script, email: '*'}\n", want{
			"1:28: when.email: `email` is no parameter of create of the script API … expected `api`, `actuator`, `aim`, `api_version`, `contract` or `target`"}},
		{"a parameter of the script API", "when: {api: database, actuator: cli}\n", want{"1:33: when.actuator: `actuator` is no parameter of create of the database API"}},

		// what does not fit the API
		{"a place of the database API", "when: {api: script}\nfaults: [{on: status, reset: true}]\n", want{
			"2:15: faults[0].on: `status` is no place of the script API, which `when` says that the script is for, did you mean `script.status`? Valid here: `script.create`"}},
		{"a place of the script API", "when: {api: database}\nfaults: [{on: rsync.upload, reset: true}]\n", want{
			"2:15: faults[0].on: `rsync.upload` is no place of the database API … did you mean `upload`?"}},
		{"a misspelt place of an API", "when: {api: script}\nfaults: [{on: script.statu, reset: true}]\n", want{
			"2:15: faults[0].on: unknown place `script.statu`, did you mean `script.status`? Valid here: `script.create`"}},
		{"a key of the database API", "when: {api: script}\nsteps: [{state: done, set: {filestore: true}}]\n", want{
			"2:40: steps[0].set.filestore: `filestore` is no key of the script API … expected `reason`, `archived` or `is_pg_version_compatible`"}},
		{"a key of the script API", "when: {api: database}\nsteps: [{state: done, set: {reason: x}}]\n", want{
			"2:37: steps[0].set.reason: `reason` is no key of the database API"}},
		{"a log over the database API", "when: {api: database}\nsteps: [{state: done, log: x}]\n", want{"2:28: steps[0].log: the database API has no log"}},
		{"a result of the database API", "when: {api: script}\nupgraded: {sql: a}\n", want{
			"2:17: upgraded.sql: `sql` is no key of the script API … expected `archive`, `built`, `dump_name`, `filestore`, `log` or `report`"}},
		{"a result of the script API", "when: {api: database}\nupgraded: {report: a}\n", want{"2:20: upgraded.report: `report` is no key of the database API"}},
		{"a missing file of the database API", "when: {api: database}\nupgraded: {archive: null}\n", want{"2:21: upgraded.archive: over the database API"}},
		{"an event of the database API", "when: {api: script}\nexpect: {calls: {upload: 1}}\n", want{
			"2:26: expect.calls.upload: `upload` is no event of the script API … did you mean `rsync.upload`?"}},
		{"an event of the script API", "when: {api: database}\nexpect: {order: [create, script.process]}\n", want{
			"2:26: expect.order[1]: `script.process` is no event of the database API … did you mean `process`?"}},
		{"shown over the script API", "when: {api: script}\nexpect: {shows: customer_message}\n", want{"2:17: expect.shows: unknown status key `customer_message`"}},

		// steps
		{"no steps", "steps: []\n", want{"1:8: steps: … at least one step"}},
		{"a step without a state", "steps:\n  - set: {issue: 1}\n", want{"2:5: steps[0].state: … wants a `state`"}},
		{"an empty state", "steps: [{state: ''}]\n", want{"1:17: steps[0].state: … empty"}},
		{"blanks around a state", "steps: [{state: ' a'}]\n", want{"1:17: steps[0].state: … no blanks"}},
		{"the last step with for", "steps: [{state: a, for: 1s}]\n", want{"1:25: steps[0].for: … what comes after `1s`?"}},
		{"a step without for", "steps:\n  - {state: a}\n  - {state: b}\n", want{"2:5: steps[0].for: only the last step is for ever"}},
		{"a negative duration", "steps: [{state: a, for: -2s}, {state: b}]\n", want{"1:25: steps[0].for: … longer than zero, found `-2s`"}},
		{"no duration", "steps: [{state: a, for: 0s}, {state: b}]\n", want{"1:25: steps[0].for: … longer than zero"}},
		{"no polls", "steps: [{state: a, for: 0 polls}, {state: b}]\n", want{"1:25: steps[0].for: … at least `1 poll`"}},
		{"negative polls", "steps: [{state: a, for: -1 polls}, {state: b}]\n", want{"1:25: steps[0].for: … at least `1 poll`"}},
		{"a bare number", "steps: [{state: a, for: 5}, {state: b}]\n", want{"1:25: steps[0].for: say 5 of what: `5s` or `5 polls`"}},
		{"a misspelt word", "steps: [{state: a, for: relased}, {state: b}]\n", want{"1:25: steps[0].for: … did you mean `released`?"}},
		{"an unknown unit", "steps: [{state: a, for: 5 weeks}, {state: b}]\n", want{"1:25: steps[0].for: wanted a duration such as"}},
		{"for what", "steps: [{state: a, for: [1]}, {state: b}]\n", want{"1:25: steps[0].for: wanted text, found a list"}},
		{"a duration too long", "steps: [{state: a, for: 9999999999h}, {state: b}]\n", want{"1:25: steps[0].for: wanted a duration"}},

		// set
		{"set an unknown key", "steps: [{state: a, set: {filesise: x}}]\n", want{"1:36: steps[0].set.filesise: unknown status key `filesise`, did you mean `filesize`?"}},
		{"set the id", "steps: [{state: a, set: {id: 1}}]\n", want{"1:30: steps[0].set.id: `id` cannot be set"}},
		{"set the key", "steps: [{state: a, set: {key: x}}]\n", want{"1:31: steps[0].set.key: `key` cannot be set"}},
		{"set text to a number", "steps: [{state: a, set: {postgresql: 9.4}}]\n", want{"1:38: steps[0].set.postgresql: wanted text, found the number `9.4`: in quotes it is text"}},
		{"set truth to text", "steps: [{state: a, set: {filestore: 'yes'}}]\n", want{"1:37: steps[0].set.filestore: wanted true or false"}},
		{"set an integer to text", "steps: [{state: a, set: {issue: '1'}}]\n", want{"1:33: steps[0].set.issue: wanted an integer"}},
		{"set a list to text", "steps: [{state: a, set: {compressions: sql}}]\n", want{"1:40: steps[0].set.compressions: wanted a list of texts"}},
		{"set a list of numbers", "steps: [{state: a, set: {compressions: [1]}}]\n", want{"1:40: steps[0].set.compressions: wanted a list of texts"}},
		{"set the state to nothing", "steps: [{state: a, set: {state: null}}]\n", want{"1:33: steps[0].set.state: … always in some state"}},
		{"set is no object", "steps: [{state: a, set: [issue]}]\n", want{"1:25: steps[0].set: wanted an object of status keys"}},
		{"infinity", "steps: [{state: a, set: {issue: .inf}}]\n", want{"1:33: steps[0].set.issue: … JSON … `.inf`"}},

		// faults: where
		{"no place", "faults:\n  - reset: true\n", want{"2:5: faults[0].on: a fault wants `on`"}},
		{"unknown place", "faults: [{on: sftp.writ, reset: true}]\n", want{"1:15: faults[0].on: unknown place `sftp.writ`, did you mean `sftp.write`?"}},
		{"an event is no place", "faults: [{on: sftp.put, reset: true}]\n", want{"1:15: faults[0].on: unknown place `sftp.put`, expected `create` …"}},

		// faults: when
		{"times 0", "faults: [{on: status, times: 0, reset: true}]\n", want{"1:30: faults[0].times: wanted at least 1, found 0: the fault would never trigger"}},
		{"times negative", "faults: [{on: status, times: -1, reset: true}]\n", want{"1:30: faults[0].times: wanted at least 1"}},
		{"every 0", "faults: [{on: status, every: 0, reset: true}]\n", want{"1:30: faults[0].every: wanted at least 1"}},
		{"skip negative", "faults: [{on: status, skip: -1, reset: true}]\n", want{"1:29: faults[0].skip: wanted at least 0"}},

		// faults: what
		{"no action", "faults:\n  - {on: status, times: 1}\n", want{"2:5: faults[0]: nothing happens … `failure`, `http`, `reset`, `cut`, `truncate`, `garbage` or `delay`"}},
		{"an action that is off", "faults: [{on: status, reset: false}]\n", want{"1:10: faults[0]: nothing happens"}},
		{"two actions", "faults: [{on: status, reset: true, cut: true}]\n", want{"1:41: faults[0].cut: a fault has one action, this has `reset`, `cut`"}},
		{"an HTTP action over SFTP", "faults: [{on: sftp.write, http: {status: 502}}]\n", want{"1:33: faults[0].http: `http` cannot happen on `sftp.write`, expected `error`"}},
		{"an SFTP action over HTTP", "faults: [{on: status, refuse: true}]\n", want{"1:31: faults[0].refuse: `refuse` cannot happen on `status`"}},
		{"disconnect over HTTP", "faults: [{on: upload, after: 1KiB, disconnect: true}]\n", want{"1:48: faults[0].disconnect: `disconnect` cannot happen on `upload`"}},
		{"a refusal too late", "faults: [{on: sftp.open, refuse: true}]\n", want{"1:34: faults[0].refuse: `refuse` cannot happen on `sftp.open`"}},
		{"hostkey unchanged", "faults: [{on: sftp.login, hostkey: same}]\n", want{"1:36: faults[0].hostkey: unknown word `same`, expected `changed`"}},
		{"after where no bytes are", "faults: [{on: create, after: 64KiB, reset: true}]\n", want{"1:30: faults[0].after: there are no bytes to count on `create`: `after` is possible on `upload`, `upgrade`, `download`, `sftp.read` or `sftp.write`"}},
		{"after on login", "faults: [{on: sftp.login, after: 1, refuse: true}]\n", want{"1:34: faults[0].after: there are no bytes"}},
		{"after without action", "faults: [{on: upload, after: 64KiB, delay: 1s}]\n", want{"1:30: faults[0].after: … wants an action"}},
		{"after with an answer's action", "faults: [{on: upload, after: 64KiB, garbage: true}]\n", want{"1:30: faults[0].after: `garbage` on `upload` does not wait for bytes"}},
		{"after negative", "faults: [{on: upload, after: -1, reset: true}]\n", want{"1:30: faults[0].after: … not negative, found `-1`"}},
		{"after in no unit", "faults: [{on: upload, after: 64Kib, reset: true}]\n", want{"1:30: faults[0].after: … found `64Kib`, did you mean `64KiB`?"}},
		{"after of half a byte", "faults: [{on: upload, after: 0.5, reset: true}]\n", want{"1:30: faults[0].after: … not a whole number of bytes"}},
		{"after too much", "faults: [{on: upload, after: 99999999TiB, reset: true}]\n", want{"1:30: faults[0].after: … more bytes than can be counted"}},
		{"delay negative", "faults: [{on: status, delay: -1s}]\n", want{"1:30: faults[0].delay: … longer than zero"}},
		{"delay bare", "faults: [{on: status, delay: 3}]\n", want{"1:30: faults[0].delay: … did you mean `3s`?"}},
		{"rate without time", "faults: [{on: status, rate: 1KiB}]\n", want{"1:29: faults[0].rate: … did you mean `1KiB/s`?"}},
		{"rate of another time", "faults: [{on: status, rate: 1KiB/h}]\n", want{"1:29: faults[0].rate: wanted bytes per second"}},
		{"rate zero", "faults: [{on: status, rate: 0B/s}]\n", want{"1:29: faults[0].rate: … more than zero"}},
		{"rate where nothing flows", "faults: [{on: sftp.open, rate: 1KiB/s}]\n", want{"1:32: faults[0].rate: no bytes flow"}},
		{"a failure without reason", "faults: [{on: status, failure: {message: x}}]\n", want{"1:32: faults[0].failure.reason: … wants a `reason`"}},
		{"a failure's reason is text", "faults: [{on: status, failure: {reason: 5}}]\n", want{"1:41: faults[0].failure.reason: wanted text"}},
		{"not a number in JSON", "faults: [{on: status, failure: {reason: x, value: .nan}}]\n", want{"1:51: faults[0].failure.value: … JSON"}},
		{"an HTTP status", "faults: [{on: status, http: {status: 99}}]\n", want{"1:38: faults[0].http.status: wanted at least 200"}},
		{"an HTTP status too big", "faults: [{on: status, http: {status: 600}}]\n", want{"1:38: faults[0].http.status: … 200 to 599"}},
		{"a header's name", "faults: [{on: status, http: {headers: {'a b': c}}}]\n", want{"1:47: faults[0].http.headers.a b: not the name of a header"}},
		{"a header's value", "faults: [{on: status, http: {headers: {a: \"b\\nc\"}}}]\n", want{"1:43: faults[0].http.headers.a: not the value of a header"}},
		{"a content type", "faults: [{on: status, http: {content_type: \"a\\nb\"}}]\n", want{"1:44: faults[0].http.content_type: not the value"}},

		{"a reason over the script API", "faults: [{on: script.status, failure: {reason: x, message: y}}]\n", want{
			"1:48: faults[0].failure.reason: a failure of the script API has no `reason`, expected `message` or `form`"}},
		{"another key over the script API", "faults: [{on: script.status, failure: {code: 1, message: y}}]\n", want{
			"1:46: faults[0].failure.code: a failure of the script API has no `code`"}},
		{"a failure without message", "faults: [{on: script.status, failure: {form: error}}]\n", want{"1:39: faults[0].failure.message: … wants a `message`"}},
		{"an unknown form", "faults: [{on: script.status, failure: {message: x, form: eror}}]\n", want{
			"1:58: faults[0].failure.form: unknown word `eror`, did you mean `error`? Valid here: `result` or `error`"}},
		{"a form over the database API", "faults: [{on: status, failure: {reason: x, form: error}}]\n", want{"1:50: faults[0].failure.form: … the places of the script API only"}},
		{"cut of an rsync", "faults: [{on: rsync.upload, cut: true}]\n", want{"1:34: faults[0].cut: `cut` cannot happen on `rsync.upload`, expected `refuse`, `disconnect` or `reset`"}},
		{"an error of an rsync", "faults: [{on: rsync.upload, error: x}]\n", want{"1:36: faults[0].error: `error` cannot happen on `rsync.upload`"}},
		{"unreachable elsewhere", "faults: [{on: script.transfer_start, unreachable: true}]\n", want{
			"1:51: faults[0].unreachable: `unreachable` cannot happen on `script.transfer_start`"}},
		{"known_hosts elsewhere", "faults: [{on: sftp.login, known_hosts: null}]\n", want{"1:40: faults[0].known_hosts: `known_hosts` cannot happen on `sftp.login`"}},
		{"empty known_hosts", "faults: [{on: rsync.login, known_hosts: ''}]\n", want{"1:41: faults[0].known_hosts: wanted text, found an empty one"}},
		{"after on a call of the script", "faults: [{on: script.logs, after: 1, cut: true}]\n", want{
			"1:35: faults[0].after: there are no bytes to count on `script.logs`: `after` is possible on `rsync.upload` or `rsync.download`"}},
		{"a file where there is one", "faults: [{on: sftp.write, file: a, reset: true}]\n", want{
			"1:33: faults[0].file: no file can be named on `sftp.write`: `file` is possible on `rsync.upload` or `rsync.download`"}},
		{"a file that is no glob", "faults: [{on: rsync.upload, file: '[', reset: true}]\n", want{"1:35: faults[0].file: not a glob"}},
		{"a file and bytes", "faults: [{on: rsync.upload, file: a, after: 5, reset: true}]\n", want{"1:35: faults[0].file: … not for both"}},
		{"two files", "faults: [{on: rsync.upload, file: a, after: {file: b}, reset: true}]\n", want{"1:52: faults[0].after.file: the fault names a file already"}},
		{"after an object without file", "faults: [{on: rsync.upload, after: {}, reset: true}]\n", want{"1:36: faults[0].after: an object names a file here, expected `file`"}},
		{"after an object of bytes", "faults: [{on: rsync.upload, after: {bytes: 5}, reset: true}]\n", want{
			"1:37: faults[0].after.bytes: unknown key `bytes`, expected `file`", "1:36: faults[0].after: an object names"}},
		{"a file and no action", "faults: [{on: rsync.upload, file: a, delay: 1s}]\n", want{"1:35: faults[0].file: nothing happens at this file"}},

		// logs
		{"a log of what", "steps: [{state: a, log: 5}]\n", want{"1:25: steps[0].log: wanted text"}},
		{"a log in an object", "steps: [{state: a, log: {text: a}}]\n", want{"1:26: steps[0].log.text: unknown key `text`", "1:25: steps[0].log: a log in an object is a file"}},
		{"compatible with nothing", "steps: [{state: a, set: {is_pg_version_compatible: null}}]\n", want{
			"1:52: steps[0].set.is_pg_version_compatible: wanted true or false, found nothing"}},

		// upgraded
		{"the name of another file", "upgraded: {dump_name: upgrade.log}\n", want{"1:23: upgraded.dump_name: `upgrade.log` is the name of another file"}},
		{"a path for a name", "upgraded: {dump_name: a/b}\n", want{"1:23: upgraded.dump_name: wanted the name of a file"}},
		{"the directory itself", "upgraded: {dump_name: ..}\n", want{"1:23: upgraded.dump_name: wanted the name of a file"}},
		{"an empty name", "upgraded: {dump_name: ''}\n", want{"1:23: upgraded.dump_name: wanted text, found an empty one"}},
		{"built and missing", "upgraded: {built: 1, archive: null}\n", want{"1:31: upgraded.archive: … either built, or a file, or missing"}},
		{"SQL that is missing", "upgraded: {sql: null}\n", want{"1:17: upgraded.sql: wanted text, found nothing", "1:11: upgraded: an object names at least one file"}},
		{"an unknown word", "upgraded: build\n", want{"1:11: upgraded: unknown upgraded dump `build`, did you mean `built`?"}},
		{"a file as a word", "upgraded: ./up.zip\n", want{"1:11: upgraded: … did you mean `{archive: ./up.zip}`?"}},
		{"no file", "upgraded: {}\n", want{"1:11: upgraded: … at least one file"}},
		{"built and a file", "upgraded: {built: 1MiB, archive: a}\n", want{"1:34: upgraded.archive: … either built, or a file"}},
		{"built how big", "upgraded: {built: true}\n", want{"1:19: upgraded.built: wanted text"}},

		// expect
		{"an unknown exit", "expect: {exit: sucess}\n", want{"1:16: expect.exit: unknown word `sucess`, did you mean `success`?"}},
		{"an exit code", "expect: {exit: 0}\n", want{"1:16: expect.exit: wanted text"}},
		{"an unknown event", "expect: {calls: {proces: 1}}\n", want{"1:26: expect.calls.proces: unknown event `proces`, did you mean `process`?"}},
		{"a bad bound", "expect: {calls: {create: many}}\n", want{"1:26: expect.calls.create: wanted a number of calls"}},
		{"a negative bound", "expect: {calls: {create: -1}}\n", want{"1:26: expect.calls.create: … not negative"}},
		{"fewer than none", "expect: {calls: {create: '<0'}}\n", want{"1:26: expect.calls.create: nothing is fewer"}},
		{"an unknown event in the order", "expect: {order: [create, put]}\n", want{"1:26: expect.order[1]: unknown event `put`"}},
		{"an order of one", "expect: {order: [create]}\n", want{"1:17: expect.order: … at least two"}},
		{"an exact time", "expect: {interval: {status: 1s}}\n", want{"1:29: expect.interval.status: … did you mean `>=1s`?"}},
		{"no time", "expect: {interval: {status: '>=often'}}\n", want{"1:29: expect.interval.status: wanted a bound on a time"}},
		{"within nothing", "expect: {within: 0s}\n", want{"1:18: expect.within: … longer than zero"}},
		{"an unknown out", "expect: {out: upgrade}\n", want{"1:15: expect.out: unknown word `upgrade`, did you mean `upgraded`?"}},
		{"shows what", "expect: {shows: costumer_message}\n", want{"1:17: expect.shows: … did you mean `customer_message`?"}},
		{"shows nothing", "expect: {shows: 'text:'}\n", want{"1:17: expect.shows: … empty"}},
		{"shows no text", "expect: {shows: []}\n", want{"1:17: expect.shows: wanted at least one text"}},
		{"one of two shown", "expect: {shows: ['text:a', costumer_message]}\n", want{"1:28: expect.shows[1]: … did you mean `customer_message`?"}},
		{"a dump how", "expect: {dump: whole}\n", want{"1:16: expect.dump: unknown word `whole`, expected `intact`"}},
		{"parameters how", "expect: {params: told}\n", want{"1:18: expect.params: unknown word `told`, expected `as told`"}},
		{"requests how", "expect: {requests: 1}\n", want{"1:20: expect.requests: wanted text"}},
		{"gives up what", "expect: {gives_up: uploads}\n", want{"1:20: expect.gives_up: unknown event `uploads`, did you mean `upload`?"}},
		{"retry after how", "expect: {retry_after: 2s}\n", want{"1:23: expect.retry_after: unknown word `2s`, expected `kept`"}},
		{"hides what", "expect: {hides: email}\n", want{"1:17: expect.hides: unknown word `email`, expected `key`"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
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
		})
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
