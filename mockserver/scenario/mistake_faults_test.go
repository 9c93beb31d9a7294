package scenario_test

import "testing"

func TestParse_mistakesInFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []mistaken{
		// faults: where
		{"no place", "faults:\n  - reset: true\n", want{"2:5: faults[0].on: a fault wants `on`"}},
		{
			"unknown place", "faults: [{on: sftp.writ, reset: true}]\n",
			want{"1:15: faults[0].on: unknown place `sftp.writ`, did you mean `sftp.write`?"},
		},
		{
			"an event is no place", "faults: [{on: sftp.put, reset: true}]\n",
			want{"1:15: faults[0].on: unknown place `sftp.put`, expected `create` …"},
		},

		// faults: when
		{
			"times 0", "faults: [{on: status, times: 0, reset: true}]\n",
			want{"1:30: faults[0].times: wanted at least 1, found 0: the fault would never trigger"},
		},
		{
			"times negative", "faults: [{on: status, times: -1, reset: true}]\n",
			want{"1:30: faults[0].times: wanted at least 1"},
		},
		{"every 0", "faults: [{on: status, every: 0, reset: true}]\n", want{"1:30: faults[0].every: wanted at least 1"}},
		{"skip negative", "faults: [{on: status, skip: -1, reset: true}]\n", want{"1:29: faults[0].skip: wanted at least 0"}},

		// faults: what
		{
			"no action", "faults:\n  - {on: status, times: 1}\n",
			want{"2:5: faults[0]: nothing happens … `failure`, `http`, `reset`, `cut`, `truncate`, `garbage` or `delay`"},
		},
		{"an action that is off", "faults: [{on: status, reset: false}]\n", want{"1:10: faults[0]: nothing happens"}},
		{
			"two actions", "faults: [{on: status, reset: true, cut: true}]\n",
			want{"1:41: faults[0].cut: a fault has one action, this has `reset`, `cut`"},
		},
		{
			"an HTTP action over SFTP", "faults: [{on: sftp.write, http: {status: 502}}]\n",
			want{"1:33: faults[0].http: `http` cannot happen on `sftp.write`, expected `error`"},
		},
		{
			"an SFTP action over HTTP", "faults: [{on: status, refuse: true}]\n",
			want{"1:31: faults[0].refuse: `refuse` cannot happen on `status`"},
		},
		{
			"disconnect over HTTP", "faults: [{on: upload, after: 1KiB, disconnect: true}]\n",
			want{"1:48: faults[0].disconnect: `disconnect` cannot happen on `upload`"},
		},
		{
			"a refusal too late", "faults: [{on: sftp.open, refuse: true}]\n",
			want{"1:34: faults[0].refuse: `refuse` cannot happen on `sftp.open`"},
		},
		{
			"hostkey unchanged", "faults: [{on: sftp.login, hostkey: same}]\n",
			want{"1:36: faults[0].hostkey: unknown word `same`, expected `changed`"},
		},
		{
			"after where no bytes are", "faults: [{on: create, after: 64KiB, reset: true}]\n", want{
				"1:30: faults[0].after: there are no bytes to count on `create`: `after` is possible on `upload`, " +
					"`upgrade`, `download`, `sftp.read` or `sftp.write`",
			},
		},
		{
			"after on login", "faults: [{on: sftp.login, after: 1, refuse: true}]\n",
			want{"1:34: faults[0].after: there are no bytes"},
		},
		{
			"after without action", "faults: [{on: upload, after: 64KiB, delay: 1s}]\n",
			want{"1:30: faults[0].after: … wants an action"},
		},
		{
			"after with an answer's action", "faults: [{on: upload, after: 64KiB, garbage: true}]\n",
			want{"1:30: faults[0].after: `garbage` on `upload` does not wait for bytes"},
		},
		{
			"after negative", "faults: [{on: upload, after: -1, reset: true}]\n",
			want{"1:30: faults[0].after: … not negative, found `-1`"},
		},
		{
			"after in no unit", "faults: [{on: upload, after: 64Kib, reset: true}]\n",
			want{"1:30: faults[0].after: … found `64Kib`, did you mean `64KiB`?"},
		},
		{
			"after of half a byte", "faults: [{on: upload, after: 0.5, reset: true}]\n",
			want{"1:30: faults[0].after: … not a whole number of bytes"},
		},
		{
			"after too much", "faults: [{on: upload, after: 99999999TiB, reset: true}]\n",
			want{"1:30: faults[0].after: … more bytes than can be counted"},
		},
		{"delay negative", "faults: [{on: status, delay: -1s}]\n", want{"1:30: faults[0].delay: … longer than zero"}},
		{"delay bare", "faults: [{on: status, delay: 3}]\n", want{"1:30: faults[0].delay: … did you mean `3s`?"}},
		{"rate without time", "faults: [{on: status, rate: 1KiB}]\n", want{"1:29: faults[0].rate: … did you mean `1KiB/s`?"}},
		{
			"rate of another time", "faults: [{on: status, rate: 1KiB/h}]\n",
			want{"1:29: faults[0].rate: wanted bytes per second"},
		},
		{"rate zero", "faults: [{on: status, rate: 0B/s}]\n", want{"1:29: faults[0].rate: … more than zero"}},
		{
			"rate where nothing flows", "faults: [{on: sftp.open, rate: 1KiB/s}]\n",
			want{"1:32: faults[0].rate: no bytes flow"},
		},
		{
			"a failure without reason", "faults: [{on: status, failure: {message: x}}]\n",
			want{"1:32: faults[0].failure.reason: … wants a `reason`"},
		},
		{
			"a failure's reason is text", "faults: [{on: status, failure: {reason: 5}}]\n",
			want{"1:41: faults[0].failure.reason: wanted text"},
		},
		{
			"not a number in JSON", "faults: [{on: status, failure: {reason: x, value: .nan}}]\n",
			want{"1:51: faults[0].failure.value: … JSON"},
		},
		{
			"an HTTP status", "faults: [{on: status, http: {status: 99}}]\n",
			want{"1:38: faults[0].http.status: wanted at least 200"},
		},
		{
			"an HTTP status too big", "faults: [{on: status, http: {status: 600}}]\n",
			want{"1:38: faults[0].http.status: … 200 to 599"},
		},
		{
			"a header's name", "faults: [{on: status, http: {headers: {'a b': c}}}]\n",
			want{"1:47: faults[0].http.headers.a b: not the name of a header"},
		},
		{
			"a header's value", "faults: [{on: status, http: {headers: {a: \"b\\nc\"}}}]\n",
			want{"1:43: faults[0].http.headers.a: not the value of a header"},
		},
		{
			"a content type", "faults: [{on: status, http: {content_type: \"a\\nb\"}}]\n",
			want{"1:44: faults[0].http.content_type: not the value"},
		},

		{"a reason over the script API", "faults: [{on: script.status, failure: {reason: x, message: y}}]\n", want{
			"1:48: faults[0].failure.reason: a failure of the script API has no `reason`, expected `message` or `form`"}},
		{"another key over the script API", "faults: [{on: script.status, failure: {code: 1, message: y}}]\n", want{
			"1:46: faults[0].failure.code: a failure of the script API has no `code`"}},
		{
			"a failure without message", "faults: [{on: script.status, failure: {form: error}}]\n",
			want{"1:39: faults[0].failure.message: … wants a `message`"},
		},
		{"an unknown form", "faults: [{on: script.status, failure: {message: x, form: eror}}]\n", want{
			"1:58: faults[0].failure.form: unknown word `eror`, did you mean `error`? Valid here: `result` or `error`"}},
		{
			"a form over the database API", "faults: [{on: status, failure: {reason: x, form: error}}]\n",
			want{"1:50: faults[0].failure.form: … the places of the script API only"},
		},
		{
			"cut of an rsync", "faults: [{on: rsync.upload, cut: true}]\n",
			want{"1:34: faults[0].cut: `cut` cannot happen on `rsync.upload`, expected `refuse`, `disconnect` or `reset`"},
		},
		{
			"an error of an rsync", "faults: [{on: rsync.upload, error: x}]\n",
			want{"1:36: faults[0].error: `error` cannot happen on `rsync.upload`"},
		},
		{"unreachable elsewhere", "faults: [{on: script.transfer_start, unreachable: true}]\n", want{
			"1:51: faults[0].unreachable: `unreachable` cannot happen on `script.transfer_start`"}},
		{
			"known_hosts elsewhere", "faults: [{on: sftp.login, known_hosts: null}]\n",
			want{"1:40: faults[0].known_hosts: `known_hosts` cannot happen on `sftp.login`"},
		},
		{
			"empty known_hosts", "faults: [{on: rsync.login, known_hosts: ''}]\n",
			want{"1:41: faults[0].known_hosts: wanted text, found an empty one"},
		},
		{
			"after on a call of the script", "faults: [{on: script.logs, after: 1, cut: true}]\n", want{
				"1:35: faults[0].after: there are no bytes to count on `script.logs`: `after` is possible on " +
					"`rsync.upload` or `rsync.download`",
			},
		},
		{
			"a file where there is one", "faults: [{on: sftp.write, file: a, reset: true}]\n", want{
				"1:33: faults[0].file: no file can be named on `sftp.write`: `file` is possible on `rsync.upload` or " +
					"`rsync.download`",
			},
		},
		{
			"a file that is no glob", "faults: [{on: rsync.upload, file: '[', reset: true}]\n",
			want{"1:35: faults[0].file: not a glob"},
		},
		{
			"a file and bytes", "faults: [{on: rsync.upload, file: a, after: 5, reset: true}]\n",
			want{"1:35: faults[0].file: … not for both"},
		},
		{
			"two files", "faults: [{on: rsync.upload, file: a, after: {file: b}, reset: true}]\n",
			want{"1:52: faults[0].after.file: the fault names a file already"},
		},
		{
			"after an object without file", "faults: [{on: rsync.upload, after: {}, reset: true}]\n",
			want{"1:36: faults[0].after: an object names a file here, expected `file`"},
		},
		{
			"after an object of bytes", "faults: [{on: rsync.upload, after: {bytes: 5}, reset: true}]\n",
			want{"1:37: faults[0].after.bytes: unknown key `bytes`, expected `file`"},
		},
		{
			"a file and no action", "faults: [{on: rsync.upload, file: a, delay: 1s}]\n",
			want{"1:35: faults[0].file: nothing happens at this file"},
		},

		// logs
		{"a log of what", "steps: [{state: a, log: 5}]\n", want{"1:25: steps[0].log: wanted text"}},
		{"a log in an object", "steps: [{state: a, log: {text: a}}]\n", want{"1:26: steps[0].log.text: unknown key `text`"}},
		{"a log of nothing", "steps: [{state: a, log: {}}]\n", want{"1:25: steps[0].log: a log in an object is a file"}},
		{"compatible with nothing", "steps: [{state: a, set: {is_pg_version_compatible: null}}]\n", want{
			"1:52: steps[0].set.is_pg_version_compatible: wanted true or false, found nothing"}},

		// upgraded
		{
			"the name of another file", "upgraded: {dump_name: upgrade.log}\n",
			want{"1:23: upgraded.dump_name: `upgrade.log` is the name of another file"},
		},
		{"a path for a name", "upgraded: {dump_name: a/b}\n", want{"1:23: upgraded.dump_name: wanted the name of a file"}},
		{"the directory itself", "upgraded: {dump_name: ..}\n", want{"1:23: upgraded.dump_name: wanted the name of a file"}},
		{"an empty name", "upgraded: {dump_name: ''}\n", want{"1:23: upgraded.dump_name: wanted text, found an empty one"}},
		{
			"built and missing", "upgraded: {built: 1, archive: null}\n",
			want{"1:31: upgraded.archive: … either built, or a file, or missing"},
		},
		{
			"SQL that is missing", "upgraded: {sql: null}\n",
			want{"1:17: upgraded.sql: wanted text, found nothing", "1:11: upgraded: an object names at least one file"},
		},
		{
			"an unknown word", "upgraded: build\n",
			want{"1:11: upgraded: unknown upgraded dump `build`, did you mean `built`?"},
		},
		{"a file as a word", "upgraded: ./up.zip\n", want{"1:11: upgraded: … did you mean `{archive: ./up.zip}`?"}},
		{"no file", "upgraded: {}\n", want{"1:11: upgraded: … at least one file"}},
		{
			"built and a file", "upgraded: {built: 1MiB, archive: a}\n",
			want{"1:34: upgraded.archive: … either built, or a file"},
		},
		{"built how big", "upgraded: {built: true}\n", want{"1:19: upgraded.built: wanted text"}},

		// expect
		{
			"an unknown exit", "expect: {exit: sucess}\n",
			want{"1:16: expect.exit: unknown word `sucess`, did you mean `success`?"},
		},
		{"an exit code", "expect: {exit: 0}\n", want{"1:16: expect.exit: wanted text"}},
		{
			"an unknown event", "expect: {calls: {proces: 1}}\n",
			want{"1:26: expect.calls.proces: unknown event `proces`, did you mean `process`?"},
		},
		{"a bad bound", "expect: {calls: {create: many}}\n", want{"1:26: expect.calls.create: wanted a number of calls"}},
		{"a negative bound", "expect: {calls: {create: -1}}\n", want{"1:26: expect.calls.create: … not negative"}},
		{"fewer than none", "expect: {calls: {create: '<0'}}\n", want{"1:26: expect.calls.create: nothing is fewer"}},
		{
			"an unknown event in the order", "expect: {order: [create, put]}\n",
			want{"1:26: expect.order[1]: unknown event `put`"},
		},
		{"an order of one", "expect: {order: [create]}\n", want{"1:17: expect.order: … at least two"}},
		{"an exact time", "expect: {interval: {status: 1s}}\n", want{"1:29: expect.interval.status: … did you mean `>=1s`?"}},
		{
			"no time", "expect: {interval: {status: '>=often'}}\n",
			want{"1:29: expect.interval.status: wanted a bound on a time"},
		},
		{"within nothing", "expect: {within: 0s}\n", want{"1:18: expect.within: … longer than zero"}},
		{
			"an unknown out", "expect: {out: upgrade}\n",
			want{"1:15: expect.out: unknown word `upgrade`, did you mean `upgraded`?"},
		},
		{"shows what", "expect: {shows: costumer_message}\n", want{"1:17: expect.shows: … did you mean `customer_message`?"}},
		{"shows nothing", "expect: {shows: 'text:'}\n", want{"1:17: expect.shows: … empty"}},
		{"shows no text", "expect: {shows: []}\n", want{"1:17: expect.shows: wanted at least one text"}},
		{
			"one of two shown", "expect: {shows: ['text:a', costumer_message]}\n",
			want{"1:28: expect.shows[1]: … did you mean `customer_message`?"},
		},
		{"a dump how", "expect: {dump: whole}\n", want{"1:16: expect.dump: unknown word `whole`, expected `intact`"}},
		{"parameters how", "expect: {params: told}\n", want{"1:18: expect.params: unknown word `told`, expected `as told`"}},
		{"requests how", "expect: {requests: 1}\n", want{"1:20: expect.requests: wanted text"}},
		{
			"gives up what", "expect: {gives_up: uploads}\n",
			want{"1:20: expect.gives_up: unknown event `uploads`, did you mean `upload`?"},
		},
		{
			"retry after how", "expect: {retry_after: 2s}\n",
			want{"1:23: expect.retry_after: unknown word `2s`, expected `kept`"},
		},
		{"hides what", "expect: {hides: email}\n", want{"1:17: expect.hides: unknown word `email`, expected `key`"}},

		// run
		{"no run", "run: {}\n", want{"1:6: run: an object says `stdin`, `interrupted`, or `database`"}},
		{"a database of the older API", "run: {database: true}\n", want{"1:17: run.database: only the upgrade script"}},
		{
			"a filestore how", "expect: {filestore: copied}\n",
			want{"1:21: expect.filestore: unknown word `copied`, expected `merged`"},
		},
		{"a run in a word", "run: twice\n", want{"1:6: run: wanted how the client is run"}},
		{
			"standard input how", "run: {stdin: close}\n",
			want{"1:14: run.stdin: unknown word `close`, did you mean `closed`?"},
		},
		{
			"interrupted by an unknown event", "run: {interrupted: {on: rsync.logn}}\n",
			want{"1:25: run.interrupted.on: unknown event `rsync.logn`, did you mean `rsync.login`?"},
		},
		{"interrupted by nothing", "run: {interrupted: {skip: 1}}\n", want{"1:20: run.interrupted.on: … wants `on`"}},
		{
			"interrupted before the first", "run: {interrupted: {on: status, skip: -1}}\n",
			want{"1:39: run.interrupted.skip: "},
		},
		{
			"interrupted by an event of the other API",
			"when: {api: script}\nrun: {interrupted: {on: upload}}\nsteps: [{state: done}]\n",
			want{"2:25: run.interrupted.on: "},
		},
	} {
		t.Run(tc.name, tc.test)
	}
}
