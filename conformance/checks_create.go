package conformance

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

func createChecks() []check {
	return []check{
		{id: "create/succeeds", rows: rows("3.1", "3.8"), evidence: Documented, needs: Writes,
			says: "create with contract, email, target, aim and filename gives a request with id and key.",
			run: func(b *bench) {
				p := b.createParams()
				r := b.accepted(b.api("create", b.way("create"), p))
				if _, ok := b.readRequest(r, p); !ok {
					b.wrong(r.What, "a request with id and key", r.came())
				}
			}},
		{id: "create/all-keys", rows: rows("3.8", "7"), evidence: Documented, gentle: true,
			says: "create's request has every key of status, unknown values being null.",
			run: func(b *bench) {
				req := b.draft()
				b.allKeys(req.reply)
			}},
		{id: "create/types", rows: rows("3.8", "7"), evidence: Documented, gentle: true,
			says: "The values in create's request have the types of the documented sample.",
			run: func(b *bench) {
				req := b.draft()
				for _, k := range statusKeys {
					if v, there := req.reply.request()[k.name]; there {
						if problem := k.judge(v); problem != "" && !unknownYet(k.name, req.reply.request()) {
							b.wrong(req.reply.What, k.name+" "+problem, show(v))
						}
					}
				}
			}},
		{id: "create/same-as-status", rows: rows("3.8"), evidence: Documented, gentle: true,
			says: "create's request is what status shows directly after it.",
			run: func(b *bench) {
				req := b.draft()
				r := b.journeyStatus(req)
				for _, k := range statusKeys {
					x, y := req.reply.request()[k.name], r.request()[k.name]
					if k.name == "elapsed" || show(x) == show(y) {
						continue
					}
					b.wrong("create and then status", k.name+" equal in both", show(x)+" from create and "+show(y)+" from status")
				}
			}},
		{id: "create/id-integer", rows: rows("3.9"), evidence: Documented, gentle: true,
			says: "The id is an integer.",
			run: func(b *bench) {
				req := b.draft()
				if v := req.reply.request()["id"]; !isInteger(v) {
					b.wrong(req.reply.What, "an integer id", kind(v)+" "+show(v))
				}
			}},
		{id: "create/id-new", rows: rows("3.9"), evidence: Documented, needs: Writes,
			says: "Each request has an id of its own, also when the same is asked twice.",
			run: func(b *bench) {
				seen := map[string]bool{}
				for range 4 {
					req := b.create()
					if seen[req.id] {
						b.wrong(req.reply.What+" again", "a new id", "id "+req.id+" a second time")
					}
					seen[req.id] = true
				}
			}},
		{id: "create/id-ascending", rows: rows("3.9"), evidence: Assumption, needs: Writes,
			says: "Ids ascend.",
			run: func(b *bench) {
				last := new(big.Int)
				for range 4 {
					req := b.create()
					id, ok := new(big.Int).SetString(req.id, 10)
					if !ok || id.Cmp(last) <= 0 {
						b.wrong(req.reply.What+" again", "an id above "+last.String(), "id "+req.id)
					}
					last = id
				}
			}},
		{id: "create/state-draft", rows: rows("3.11"), evidence: Documented, gentle: true,
			says: "A new request is in state draft.",
			run: func(b *bench) {
				req := b.draft()
				if v := req.reply.request()["state"]; v != "draft" {
					b.wrong(req.reply.What, `state "draft"`, show(v))
				}
			}},
		{id: "create/stage-new", rows: rows("7"), evidence: Documented, gentle: true,
			says: "A new request's issue_stage is new.",
			run: func(b *bench) {
				req := b.draft()
				if v := req.reply.request()["issue_stage"]; v != "new" {
					b.wrong(req.reply.What, `issue_stage "new"`, show(v))
				}
			}},
		{id: "create/echo", rows: rows("7"), evidence: Documented, gentle: true,
			says: "email, target, aim and filename are shown as they were given.",
			run: func(b *bench) {
				req := b.draft()
				for i := 0; i+1 < len(req.params); i += 2 {
					key, want := req.params[i], req.params[i+1]
					if key == "contract" {
						continue
					}
					if got, ok := req.reply.request()[key].(string); !ok || got != want {
						b.wrong(req.reply.What, key+" as given", show(req.reply.request()[key]))
					}
				}
			}},
		{id: "create/timezone", rows: rows("3.1", "7"), evidence: Documented, needs: Writes,
			says: "A time zone given to create is shown; without one timezone is null.",
			run: func(b *bench) {
				p := b.createParams().with("timezone", "Europe/Brussels")
				r := b.accepted(b.api("create", b.way("create"), p))
				b.readRequest(r, p)
				if v := r.request()["timezone"]; v != "Europe/Brussels" {
					b.wrong(r.What, `timezone "Europe/Brussels"`, show(v))
				}
				req := b.create()
				if v, there := req.reply.request()["timezone"]; there && v != nil {
					b.wrong(req.reply.What, "timezone null", show(v))
				}
			}},
		{id: "create/filename-any-script", rows: rows("7"), evidence: Documented, needs: Writes,
			says: "A file name of any script is kept as it is.",
			run: func(b *bench) {
				for _, name := range []string{"база данных.dump", "données-2015 (1).dump", "数据库.dump"} {
					req := b.create("filename", name)
					if got := text(req.reply.request()["filename"]); got != name {
						b.wrong(req.reply.What, fmt.Sprintf("filename %q", name), show(req.reply.request()["filename"]))
					}
				}
			}},
		{id: "create/draft-values", rows: rows("7"), evidence: Documented, gentle: true,
			says: "Of a new request, what is not known yet is null as in the documented sample: processed_at, estimated_time, customer_message; filestore is false and elapsed 00:00.",
			run: func(b *bench) {
				req := b.draft()
				m := req.reply.request()
				for key, want := range map[string]any{"processed_at": nil, "estimated_time": nil, "customer_message": nil, "filestore": false, "elapsed": "00:00"} {
					if v, there := m[key]; there && v != want {
						b.wrong(req.reply.What, key+" "+show(want), show(v))
					}
				}
			}},
		{id: "create/no-dump-yet", rows: rows("7"), evidence: Assumption,
			says: "Before an upload filesize, postgresql, database_version and database_uuid are null and compressions is empty.",
			run: func(b *bench) {
				req := b.create()
				m := req.reply.request()
				for key, want := range map[string]string{"filesize": "null", "postgresql": "null", "database_version": "null", "database_uuid": "null", "compressions": "[]"} {
					if v := m[key]; show(v) != want {
						b.wrong(req.reply.What, key+" "+want, show(v))
					}
				}
			}},
		{id: "create/created-now", rows: rows("7"), evidence: Documented, gentle: true,
			says: "created_at is the time of the creation, in UTC.",
			run:  func(b *bench) { b.createdNow(b.draft()) }},
		{id: "create/aims", rows: rows("3.5"), evidence: Documented, needs: Writes,
			says: "The aims test and production are both valid.",
			run: func(b *bench) {
				for _, aim := range []string{"test", "production"} {
					p := b.createParams().set("aim", aim)
					r := b.accepted(b.api("create", b.way("create"), p))
					b.readRequest(r, p)
				}
			}},
		{id: "create/targets", rows: rows("3.2", "3.3", "3.4"), evidence: Documented, needs: Writes,
			says: "Every target that the server itself lists as expected is accepted.",
			run: func(b *bench) {
				if len(b.learned.targets) == 0 {
					b.blocked("create/target-expected", "the server listed no valid targets")
				}
				for _, target := range b.learned.targets[:min(len(b.learned.targets), 30)] {
					p := b.createParams().set("target", target)
					r := b.accepted(b.api("create", b.way("create"), p))
					b.readRequest(r, p)
				}
			}},
		{id: "create/contract-forms", rows: rows("3.6"), evidence: ObservedUse, needs: Writes,
			says: "Contract references of the forms in use are known or unknown, but not refused for their form.",
			run: func(b *bench) {
				for _, ref := range contractForms {
					p := b.createParams().set("contract", ref)
					r := b.object(b.api("create", b.way("create"), p))
					b.readRequest(r, p)
					if _, unknown := r.failure("CONTRACT:NOT_FOUND"); !unknown && !r.fine() {
						b.wrong(r.What, "a request, or CONTRACT:NOT_FOUND", r.came())
					}
				}
			}},
		{id: "create/contracts-known", rows: rows("3.6", "3.7"), evidence: Assumption, needs: Writes,
			says: "An emulator knows every contract but M123456-abcxyz.",
			run: func(b *bench) {
				for _, ref := range contractForms {
					p := b.createParams().set("contract", ref)
					b.readRequest(b.accepted(b.api("create", b.way("create"), p)), p)
				}
				b.reasoned(b.api("create", b.way("create"), b.createParams().set("contract", "M123456-abcxyz")), "CONTRACT:NOT_FOUND")
			}},
	}
}

var contractForms = []string{"M123456-abcdef", "M123-abc", "M19061711465334", "M120123123-abcd"}

// allKeys ends the check unless the reply's request has every key.
func (b *bench) allKeys(r reply) {
	var missing []string
	for _, k := range statusKeys {
		if _, there := r.request()[k.name]; !there {
			missing = append(missing, k.name)
		}
	}
	if len(missing) > 0 {
		b.wrong(r.What, "every key of status, null where the value is unknown", "a request without "+strings.Join(missing, ", "))
	}
}

func createRefusalChecks() []check {
	checks := []check{
		{id: "create/target-invalid", rows: rows("2"), evidence: Documented, gentle: true,
			says: "A target that is not valid is refused with TARGET:INVALID, its value and the documented message.",
			run: func(b *bench) {
				r := b.api("create", b.way("create"), b.createParams().set("target", "5.0"))
				f := b.reasoned(r, "TARGET:INVALID")
				b.hasKey(r, f, "value", "5.0")
				b.hasKey(r, f, "message", `Invalid value "5.0"`)
				b.reasonsExactly(r, "TARGET:INVALID")
			}},
		{id: "create/target-expected", rows: rows("2", "3.2", "3.3"), evidence: Documented, gentle: true,
			says: "TARGET:INVALID lists the valid targets in expected: strings, in ascending order, none left out.",
			run: func(b *bench) {
				r := b.api("create", b.way("create"), b.createParams().set("target", "5.0"))
				f := b.reasoned(r, "TARGET:INVALID")
				list, ok := f["expected"].([]any)
				if !ok || len(list) == 0 {
					b.wrong(r.What, "expected as a list of targets", show(f["expected"]))
				}
				var targets []string
				for _, v := range list {
					s, ok := v.(string)
					if !ok || !regexp.MustCompile(`^(saas-)?\d+\.\d+$`).MatchString(strings.ReplaceAll(s, "~", "-")) {
						b.wrong(r.What, "expected as a list of version strings", show(list))
					}
					targets = append(targets, s)
				}
				if !slices.IsSortedFunc(targets, compareRows) || len(slices.Compact(slices.Clone(targets))) != len(targets) {
					b.wrong(r.What, "expected in the order of versions, each once", show(list))
				}
				if problem := documentedTargets(targets); problem != "" {
					b.wrong(r.What, problem, show(list))
				}
			}},
		{id: "create/target-exact", rows: rows("2"), evidence: Documented, gentle: true,
			says: "What is not in the list of targets is refused, however near to one it is.",
			run: func(b *bench) {
				near := []string{"99.0", "latest", "master"}
				if b.learned.targets != nil {
					t := b.learned.targets[len(b.learned.targets)-1]
					near = append(near, strings.TrimSuffix(t, ".0"), t+".0", t+"x", "v"+t, "1"+t)
				}
				if b.opts.Production {
					near = near[:1]
				}
				for _, target := range near {
					if slices.Contains(b.learned.targets, target) {
						continue
					}
					r := b.api("create", b.way("create"), b.createParams().set("target", target))
					b.readRequest(r, nil)
					f := b.reasoned(r, "TARGET:INVALID")
					b.hasKey(r, f, "value", target)
				}
			}},
		{id: "create/contract-unknown", rows: rows("2"), evidence: Documented, gentle: true,
			says: "An unknown contract is refused with CONTRACT:NOT_FOUND, its code and the documented message.",
			run: func(b *bench) {
				r := b.api("create", b.way("create"), b.createParams().set("contract", b.target.UnknownContract))
				b.readRequest(r, nil)
				f := b.reasoned(r, "CONTRACT:NOT_FOUND")
				b.hasKey(r, f, "code", b.target.UnknownContract)
				b.hasKey(r, f, "message", "Can not find contract "+b.target.UnknownContract)
				b.reasonsExactly(r, "CONTRACT:NOT_FOUND")
			}},
		{id: "create/all-problems", rows: rows("1.8"), evidence: Documented, gentle: true,
			says: "All problems of a call are reported together: an invalid target and an unknown contract give two objects.",
			run: func(b *bench) {
				r := b.object(b.api("create", b.way("create"), b.createParams().set("target", "5.0").set("contract", b.target.UnknownContract)))
				var reasons []string
				for _, f := range r.failures() {
					reasons = append(reasons, f.reason())
				}
				slices.Sort(reasons)
				if want := []string{"CONTRACT:NOT_FOUND", "TARGET:INVALID"}; !slices.Equal(reasons, want) {
					b.wrong(r.What, fmt.Sprintf("two failures, %v", want), r.came())
				}
			}},
		{id: "create/all-problems-assumed", rows: rows("1.8", "2"), evidence: Assumption,
			says: "Missing and invalid parameters are reported together, too, one object each.",
			run: func(b *bench) {
				p := params{"contract", b.target.UnknownContract, "target", "5.0", "aim", "prod", "email", "john"}
				r := b.object(b.api("create", b.way("create"), p))
				for _, r := range []reply{r, b.object(b.api("create", b.way("create"), nil))} {
					if n := len(r.failures()); n != 5 {
						b.wrong(r.What, "five failures, one for each parameter", r.came())
					}
				}
			}},
		{id: "create/aim-checked", rows: rows("3.5"), evidence: Documented, gentle: true,
			says: "Another aim than test or production is refused.",
			run: func(b *bench) {
				for _, aim := range []string{"prod", "tests", "preview"} {
					r := b.api("create", b.way("create"), b.createParams().set("aim", aim))
					b.readRequest(r, nil)
					b.refusal(r, "the aim is neither test nor production")
				}
			}},
		{id: "create/aim-invalid", rows: rows("2"), evidence: Assumption,
			says: "Another aim is refused with AIM:INVALID, its value and the two expected.",
			run: func(b *bench) {
				r := b.api("create", b.way("create"), b.createParams().set("aim", "prod"))
				f := b.reasoned(r, "AIM:INVALID")
				b.hasKey(r, f, "value", "prod")
				b.hasKey(r, f, "message", `Invalid value "prod"`)
				if got := show(f["expected"]); got != `["test","production"]` && got != `["production","test"]` {
					b.wrong(r.What, `expected ["test","production"]`, got)
				}
			}},
		{id: "create/email-invalid", rows: rows("2"), evidence: Assumption,
			says: "What is not plausibly an address is refused with EMAIL:INVALID and its value.",
			run: func(b *bench) {
				for _, email := range []string{"john", "john@", "@example.com", "a b@example.com"} {
					r := b.api("create", b.way("create"), b.createParams().set("email", email))
					b.readRequest(r, nil)
					f := b.reasoned(r, "EMAIL:INVALID")
					b.hasKey(r, f, "value", email)
					b.hasKey(r, f, "message", fmt.Sprintf("Invalid value %q", email))
				}
			}},
		{id: "create/filename-invalid", rows: rows("2"), evidence: Assumption,
			says: "A file name that is none, or leads elsewhere, is refused with FILENAME:INVALID and its value.",
			run: func(b *bench) {
				for _, name := range []string{".", "..", strings.Repeat("n", 256), "a/b.dump", "../b.dump", `a\b.dump`, "a\x00b", "a\nb", "a\x7fb", "a\x1bb"} {
					r := b.api("create", b.way("create"), b.createParams().set("filename", name))
					b.readRequest(r, nil)
					f := b.reasoned(r, "FILENAME:INVALID")
					b.hasKey(r, f, "value", name)
				}
				p := b.createParams().set("filename", strings.Repeat("n", 250)+".dump")
				b.readRequest(b.accepted(b.api("create", b.way("create"), p)), p)
			}},
		{id: "create/timezone-invalid", rows: rows("2"), evidence: Assumption,
			says: "A time zone that is no IANA name is refused with TIMEZONE:INVALID and its value.",
			run: func(b *bench) {
				for _, zone := range []string{"Mars/Olympus", "../../etc/passwd"} {
					r := b.api("create", b.way("create"), b.createParams().with("timezone", zone))
					b.readRequest(r, nil)
					b.hasKey(r, b.reasoned(r, "TIMEZONE:INVALID"), "value", zone)
				}
			}},
	}
	for _, name := range []string{"contract", "email", "target", "aim", "filename"} {
		checks = append(checks,
			check{id: "create/requires-" + name, rows: rows("3.1"), evidence: Documented, gentle: true,
				says: "create without " + name + " is refused.",
				run: func(b *bench) {
					r := b.api("create", b.way("create"), b.createParams().without(name))
					b.readRequest(r, nil)
					b.refusal(r, name+" is required")
				}},
			check{id: "create/missing-" + name, rows: rows("2"), evidence: Assumption,
				says: name + " absent or empty is refused with " + strings.ToUpper(name) + ":MISSING.",
				run: func(b *bench) {
					for _, p := range []params{b.createParams().without(name), b.createParams().set(name, "")} {
						r := b.api("create", b.way("create"), p)
						b.readRequest(r, nil)
						if !r.refused() {
							b.blocked("create/requires-"+name, "create without %s is not refused", name)
						}
						b.missing(r, name)
					}
				}})
	}
	return checks
}

// missing ends the check unless the reply is exactly <NAME>:MISSING with its message.
func (b *bench) missing(r reply, names ...string) {
	var want []string
	for _, name := range names {
		want = append(want, strings.ToUpper(name)+":MISSING")
		f := b.reasoned(r, strings.ToUpper(name)+":MISSING")
		b.hasKey(r, f, "message", fmt.Sprintf("Missing parameter %q", name))
	}
	b.reasonsExactly(r, want...)
}

// reasonsExactly ends the check unless the failures have exactly these reasons, in any order.
func (b *bench) reasonsExactly(r reply, want ...string) {
	b.object(r)
	var got []string
	for _, f := range r.failures() {
		got = append(got, f.reason())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.wrong(r.What, fmt.Sprintf("failures with the reasons %v", want), r.came())
	}
}

// documentedTargets says what is missing from a list of targets that is a page's list with a hole; "" when
// nothing is. A server may know other versions altogether.
func documentedTargets(targets []string) string {
	for _, page := range [][]string{{"6.0", "6.1", "7.0", "8.0"}, {"11.0", "12.0", "13.0"}} {
		var common int
		for _, t := range targets {
			if slices.Contains(page, t) {
				common++
			}
		}
		newest := slices.MaxFunc(targets, compareRows)
		if common >= 2 && common < len(page) && compareRows(newest, page[len(page)-1]) <= 0 {
			return fmt.Sprintf("all of the documented %v", page)
		}
	}
	return ""
}

func keyChecks() []check {
	// The keys of all requests that the run made are judged together, when it is over.
	keys := func(b *bench) []seenKey {
		if b.opts.Production {
			b.draft()
		} else {
			for range 8 {
				b.create()
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		return slices.Clone(b.keys)
	}
	return []check{
		{id: "create/key-form", rows: rows("3.10"), evidence: Documented, gentle: true, last: true,
			says: "The key is 16 bytes in URL-safe base64 with padding: 24 characters.",
			run: func(b *bench) {
				for _, k := range keys(b) {
					raw, err := base64.URLEncoding.Strict().DecodeString(k.key)
					if err != nil || len(raw) != 16 || len(k.key) != 24 {
						b.wrong("create, for request "+k.id, "a key of 24 characters of URL-safe base64 with padding, such as Aw7pItGVKFuZ_FOR3U8VFQ==", fmt.Sprintf("one of %d characters, %.4s…%.4s", len(k.key), k.key, k.key[max(0, len(k.key)-4):]))
					}
				}
			}},
		{id: "create/key-new", rows: rows("3.10"), evidence: Documented, last: true,
			says: "Each request has a key of its own.",
			run: func(b *bench) {
				of := map[string]string{}
				for _, k := range keys(b) {
					if other, there := of[k.key]; there && other != k.id {
						b.wrong("create twice", "two keys", "requests "+other+" and "+k.id+" have the same key")
					}
					of[k.key] = k.id
				}
			}},
		{id: "create/key-unguessable", rows: rows("3.10"), evidence: Documented, last: true,
			says: "The key is random: no part of it is the same in all requests, and it isn't made from the id.",
			run: func(b *bench) {
				seen := keys(b)
				var raws [][]byte
				for _, k := range seen {
					raw, err := base64.URLEncoding.DecodeString(k.key)
					if err != nil {
						raw = []byte(strings.TrimRight(k.key, "="))
					}
					raws = append(raws, raw)
					for how, guess := range guesses(k.id) {
						if len(raw) > 0 && strings.HasPrefix(string(guess), string(raw)) {
							b.wrong("create, for request "+k.id, "a random key", "one that is "+how+" of the id")
						}
					}
				}
				if len(raws) < 6 {
					b.errorf("only %d keys were seen, too few to tell", len(raws))
				}
				for i := range raws[0] {
					same := true
					for _, raw := range raws {
						same = same && i < len(raw) && raw[i] == raws[0][i]
					}
					if same {
						b.wrong(fmt.Sprintf("create, %d times", len(raws)), "random keys", fmt.Sprintf("keys whose byte %d is the same in all", i+1))
					}
				}
			}},
	}
}

// guesses are keys that a careless server makes from an id.
func guesses(id string) map[string][]byte {
	m, s1, s2 := md5.Sum([]byte(id)), sha1.Sum([]byte(id)), sha256.Sum256([]byte(id))
	return map[string][]byte{"the MD5": m[:], "the SHA-1": s1[:], "the SHA-256": s2[:]}
}
