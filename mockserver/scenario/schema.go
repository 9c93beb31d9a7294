package scenario

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"

	"github.com/upgrademock/upgrademock/internal/bytesize"
)

// SchemaURL returns where the schema of a release is, by its tag, for the first line of a file:
//
//	# yaml-language-server: $schema=…
//
// If tag is empty, it is that of the newest schema.
func SchemaURL(tag string) string {
	return "https://raw.githubusercontent.com/upgrademock/upgrademock/" + cmp.Or(tag, "main") +
		"/mockserver/scenario/scenario.schema.json"
}

// Schema returns the JSON Schema (draft 7, which editors know best) of the language, made from the same tables as
// the checks. It says what keys, words and forms there are; what Parse refuses beyond that are values that don't go
// together. The file scenario.schema.json beside this one is the same.
func Schema() []byte {
	schema := object("A script for upgrademock: what the platform does, what goes wrong, and what a good client "+
		"makes of it.", keys{
		"name":        text("What lists, journals and verdicts call the script; by default the file's name."),
		"description": text("One sentence for people."),
		"when":        whenSchema(),
		"steps": {
			"description": "The states after process, in order; without: pending for one poll, processing for one poll, done.",
			"type":        "array", "minItems": 1, "items": stepSchema(),
		},
		"faults": {
			"description": "What goes wrong: looked at in order, the first that applies is used.",
			"type":        "array", "items": faultSchema(),
		},
		"upgraded": upgradedSchema(),
		"run":      runSchema(),
		"expect":   expectSchema(),
	})
	schema["$schema"] = "http://json-schema.org/draft-07/schema#"
	schema["title"] = "upgrademock scenario"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema); err != nil {
		panic("scenario: the schema is not JSON: " + err.Error()) // only constants are in it
	}
	return b.Bytes()
}

type (
	node map[string]any
	keys map[string]node
)

const (
	durationPattern = `\+?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+`
)

func object(description string, properties keys, required ...string) node {
	n := node{"description": description, "type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		n["required"] = required
	}
	return n
}

func text(description string) node {
	return node{"description": description, "type": "string", "minLength": 1}
}

func anyText(description string) node { return node{"description": description, "type": "string"} }

func form(description, pattern string) node {
	return node{"description": description, "type": "string", "pattern": "^(" + pattern + ")$"}
}

// numberOr is a form that may also be written as a bare number.
func numberOr(description, pattern string, least int) node {
	return node{"description": description, "anyOf": []node{
		{"type": "integer", "minimum": least}, {"type": "string", "pattern": "^(" + pattern + ")$"},
	}}
}

func words(description string, words ...string) node {
	return node{"description": description, "type": "string", "enum": words}
}

func truth(description string) node { return node{"description": description, "type": "boolean"} }

func number(description string, least int) node {
	return node{"description": description, "type": "integer", "minimum": least}
}

var kindSchemas = map[kind]node{
	kindText:    {"type": "string"},
	kindInteger: {"type": "integer"},
	kindBool:    {"type": "boolean"},
	kindList:    {"type": "array", "items": node{"type": "string"}},
}

func whenSchema() node {
	globs := keys{}
	for _, key := range whenKeys("") {
		globs[key] = anyText("A glob: * any text, ? one character, [a-z] a range.")
	}
	globs[keyAPI] = words("The API that the request came over; without: either.", apis...)
	return object("Globs on create's parameters, which must all match; without: every request.", globs)
}

func stepSchema() node {
	set := keys{}
	for _, key := range keysOf("") {
		if identifies(key.name) {
			continue
		}
		types := []node{kindSchemas[key.kind]}
		if nullable(key.name) {
			types = append(types, node{"type": "null"})
		}
		set[key.name] = node{"anyOf": types}
	}
	return object("One state of a request.", keys{
		"state": text("What status says; any name."),
		"for": form("How long: a duration such as 2s, a number of polls such as 3 polls, or released. The last step "+
			"has none.",
			`released|0*[1-9][0-9]* polls?|`+durationPattern),
		"set": object("Keys of status that are overridden from this step on.", set),
		"log": {
			"description": "What the log of the script API has more from this step on; without any: a log of the " +
				"emulator's own.",
			"anyOf": []node{
				{"type": "string"}, object("A file.", keys{"file": text("Relative to the script's.")}, "file"),
			},
		},
	}, "state")
}

func faultSchema() node {
	fault := object("One thing that goes wrong. It has one action, or a delay, a rate, or both.", keys{
		"on":    words("Where it goes wrong.", placeNames("")...),
		"at":    words("The same as on, which some readers of YAML take for true.", placeNames("")...),
		"skip":  number("How many calls pass first.", 0),
		"times": number("How often it triggers at most; without: always.", 1),
		"every": number("2 triggers at every second call.", 1),
		"after": afterSchema(),
		"file":  text("A glob: the action triggers before the first byte of the first such file, over rsync."),
		"delay": form("What is waited before anything else happens.", durationPattern),
		"rate":  form("The most bytes per second, such as 1KiB/s.", bytesize.Pattern()+"/s"),
		actFailure: {
			"description": "Answers with the usual envelope and this failure; over the database API further keys are " +
				"passed on as they are.",
			"type": "object",
			"properties": keys{
				"reason":  text("Such as SERVER:ERROR; any. Not over the script API."),
				"message": anyText("For people."),
				"form": words("How the script API tells it: a result with an error, or an error in place of a result.",
					FormResult, FormError),
			},
		},
		actHTTP: object("Answers with exactly this.", keys{
			"status": {"description": "The status code; without: 200.", "type": "integer", "minimum": 200, "maximum": 599},
			"headers": {
				"description": "Headers, set as they are.", "type": "object",
				"additionalProperties": node{"type": []string{"string", "number"}},
			},
			"content_type": text("Short for that header."),
			"body":         anyText("Sent as it is."),
		}),
		actReset:      truth("Drops the connection with a TCP RST."),
		actCut:        truth("Closes the connection in the middle of the answer, or at `after`."),
		actTruncate:   truth("Sends an answer that ends too early, but in order."),
		actGarbage:    truth("Sends something that is not JSON."),
		actRefuse:     truth("Refuses the login, over SFTP or of rsync, or the run of rsync."),
		actDisconnect: truth("Drops the SSH connection without a goodbye."),
		actError:      text("Answers the SFTP operation with this text."),
		actRevoke:     truth("Ends the SFTP access until it is requested again."),
		actHostKey:    words("Shows another host key than before, or than known_hosts says.", "changed"),
		actKnownHosts: {
			"description": "What transfer/start answers as known_hosts.",
			"anyOf":       []node{{"type": "null"}, {"type": "string", "minLength": 1}},
		},
		actUnreachable: truth("Nothing listens on the port that transfer/start answers."),
	})
	fault["oneOf"] = []node{{"required": []string{"on"}}, {"required": []string{"at"}}}
	var rules []node
	for _, place := range places {
		possible := append([]string{"on", "at", "skip", "times", "every", "delay"}, place.actions...)
		if place.after != nil {
			possible = append(possible, "after")
		}
		if place.rate {
			possible = append(possible, "rate")
		}
		if place.files {
			possible = append(possible, "file")
		}
		slices.Sort(possible)
		then := node{"propertyNames": node{"enum": possible}}
		if slices.Contains(place.actions, actFailure) {
			then["properties"] = keys{actFailure: failureOn(place)}
		}
		rules = append(rules, node{
			"if":   node{"anyOf": []node{placed("on", place), placed("at", place)}},
			"then": then,
		})
	}
	fault["allOf"] = rules
	return fault
}

// placed is a fault at a place, by that key.
func placed(key string, place place) node {
	return node{"properties": keys{key: {"const": place.on}}, "required": []string{key}}
}

// failureOn is what a failure must have on the places of an API.
func failureOn(place place) node {
	if place.api == APIScript {
		return node{
			"required": []string{"message"}, "propertyNames": node{"enum": []string{"form", "message"}},
			"properties": keys{"message": {"minLength": 1}},
		}
	}
	return node{"required": []string{"reason"}, "properties": keys{"form": {"not": node{}}}}
}

func afterSchema() node {
	after := numberOr("The byte before which the action triggers: of the body, of the download, of the data of all files "+
		"over rsync, or the offset in the file.", bytesize.Pattern(), 0)
	after["anyOf"] = append(after["anyOf"].([]node),
		object("The same as the key file.", keys{"file": text("A glob.")}, "file"))
	return after
}

// orMissing is a file that can be missing.
func orMissing(description string) node {
	return node{"description": description, "anyOf": []node{{"type": "string", "minLength": 1}, {"type": "null"}}}
}

func upgradedSchema() node {
	files := object("Files, relative to the script's, or a built archive with further files.", keys{
		"built":   numberOr("A built archive of at least this many bytes, such as 8MiB.", bytesize.Pattern(), 0),
		"archive": orMissing("The upgraded dump; null: none is there, over the script API."),
		"sql":     text("What upgraded_sql_url hands out; without: what the archive holds."),
		"notes":   text("What notes_url hands out."),
		"modules": text("What modules_url hands out."),

		"dump_name": orMissing("The name of the upgraded dump over the script API; null: no name and no dump."),
		"filestore": orMissing("The directory behind filestore/ of the script API; null: none."),
		"report":    orMissing("The file behind upgrade-report.html of the script API; null: none."),
		"log":       orMissing("The file behind upgrade.log of the script API; null: none."),
	})
	files["minProperties"] = 1
	files["not"] = node{"required": []string{"built", "archive"}}
	return node{
		"description": "What the client gets back; without: the bytes that it sent.",
		"anyOf":       []node{words("The sent bytes, or a small valid Odoo zip.", "same", "built"), files},
	}
}

func expectSchema() node {
	const op = `(>=|<=|==|>|<|=)? *`
	counts, times := keys{}, keys{}
	for _, event := range eventNames("") {
		counts[event] = numberOr("How often: 1, >=3, <=2.", op+`\+?[0-9]+`, 0)
		times[event] = form("How far apart at least or at most: >=1s, >=1s on "+
			"average.", `(>=|<=|>|<) *(`+durationPattern+`)(`+onAverage+`)?`)
	}
	text := []node{words("", shown("")...), form("", `text:[\s\S]+`)}
	texts := node{"description": "", "type": "array", "minItems": 1, "items": node{"anyOf": text}}
	return object("What a good client does; judged when it has finished.", keys{
		"exit": words("How it ends; honest: success if the upgraded dump is there, and "+
			"failure if not.", ExitSuccess, ExitFailure, ExitHonest),
		"calls": object("How often things happened.", counts),
		"order": {"description": "In which order things " +
			"happened.", "type": "array", "minItems": 2, "items": words("", eventNames("")...)},
		"interval":    object("How far apart any two successive ones were.", times),
		"retry_after": words("How long a client waits that was told to retry after some time.", RetryAfterKept),
		"gives_up":    words("What the client does not try for ever, or at least less and less often.", eventNames("")...),
		"resumed":     truth("The broken transfer was continued, not begun again."),
		"params":      words("What create got, compared with what the client was told.", ParamsAsTold),
		"dump":        words("What is processed, compared with the file that the client was told to send.", DumpIntact),
		"requests":    words("Which requests the calls name.", RequestsKnown),
		"within":      form("The time in which the client has ended.", durationPattern),
		"out":         words("What stands in the client's output file at the end.", OutUpgraded, OutAbsent),
		"filestore":   words("What the filestore of the restored database has become.", FilestoreMerged),
		"shows": {
			"description": "What reached the user: a status key's text, a literal after text:, or a list of both.",
			"anyOf":       append(text, texts),
		},
		"hides": words("What is nowhere in what the client printed, and in no header of its calls.", HidesKey),
	})
}
