package conformance

import (
	"fmt"
	"math/big"
	"strings"
)

func createChecks() []check {
	return []check{
		{id: "create/succeeds", rows: rows("3.1", "3.8"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "create with contract, email, target, aim and filename gives a request with id and key.",
			run:  checkCreateSucceeds},
		{id: "create/all-keys", rows: rows("3.8", "7"), evidence: EvidenceDocumented, gentle: true,
			says: "create's request has every key of status, unknown values being null.",
			run:  checkCreateAllKeys},
		{id: "create/types", rows: rows("3.8", "7"), evidence: EvidenceDocumented, gentle: true,
			says: "The values in create's request have the types of the documented sample.",
			run:  checkCreateTypes},
		{id: "create/same-as-status", rows: rows("3.8"), evidence: EvidenceDocumented, gentle: true,
			says: "create's request is what status shows directly after it.",
			run:  checkCreateSameAsStatus},
		{id: "create/id-integer", rows: rows("3.9"), evidence: EvidenceDocumented, gentle: true,
			says: "The id is an integer.",
			run:  checkCreateIDInteger},
		{id: "create/id-new", rows: rows("3.9"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "Each request has an id of its own, also when the same is asked twice.",
			run:  checkCreateIDNew},
		{id: "create/id-ascending", rows: rows("3.9"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "Ids ascend.",
			run:  checkCreateIDAscending},
		{id: "create/state-draft", rows: rows("3.11"), evidence: EvidenceDocumented, gentle: true,
			says: "A new request is in state draft.",
			run:  checkCreateStateDraft},
		{id: "create/stage-new", rows: rows("7"), evidence: EvidenceDocumented, gentle: true,
			says: "A new request's issue_stage is new.",
			run:  checkCreateStageNew},
		{id: "create/echo", rows: rows("7"), evidence: EvidenceDocumented, gentle: true,
			says: "email, target, aim and filename are shown as they were given.",
			run:  checkCreateEcho},
		{id: "create/timezone", rows: rows("3.1", "7"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "A time zone given to create is shown; without one timezone is null.",
			run:  checkCreateTimezone},
		{id: "create/filename-any-script", rows: rows("7"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "A file name of any script is kept as it is.",
			run:  checkCreateFilenameAnyScript},
		{id: "create/draft-values", rows: rows("7"), evidence: EvidenceDocumented, gentle: true,
			says: "Of a new request, what is not known yet is null as in the documented sample: processed_at, " +
				"estimated_time, customer_message; elapsed is 00:00, and filestore false in the edition of " +
				"the sample.",
			run: checkCreateDraftValues},
		{id: "create/no-dump-yet", rows: rows("7"), evidence: EvidenceAssumed,
			says: "Before an upload filesize, postgresql, database_version and database_uuid are null and " +
				"compressions is empty.",
			run: checkCreateNoDumpYet},
		{id: "create/created-now", rows: rows("7"), evidence: EvidenceDocumented, gentle: true,
			says: "created_at is the time of the creation, in UTC.",
			run:  checkCreateCreatedNow},
		{id: "create/aims", rows: rows("3.5"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "The aims test and production are both valid.",
			run:  checkCreateAims},
		{id: "create/targets", rows: rows("3.2", "3.3", "3.4"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "Every target that the server itself lists as expected is accepted.",
			run:  checkCreateTargets},
		{id: "create/contract-forms", rows: rows("3.6"), evidence: EvidenceObserved, needs: needsWrites,
			says: "Contract references of the forms in use are known or unknown, but not refused for their form.",
			run:  checkCreateContractForms},
		{id: "create/contracts-known", rows: rows("3.6", "3.7"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "An emulator knows every contract but M123456-abcxyz.",
			run:  checkCreateContractsKnown},
	}
}

func checkCreateSucceeds(c *checker) {
	p := c.createParams()
	r := c.accepted(c.api("create", c.way("create"), p))
	if _, ok := c.readRequest(r, p); !ok {
		c.wrong(r.What, "a request with id and key", r.Summary())
	}
}

func checkCreateAllKeys(c *checker) {
	req := c.draft()
	c.allKeys(req.reply)
}

func checkCreateTypes(c *checker) {
	req := c.draft()
	for _, k := range statusKeys {
		if v, there := req.reply.request()[k.name]; there {
			if problem := k.judge(v); problem != "" && !unknownYet(k.name, req.reply.request()) {
				c.wrong(req.reply.What, k.name+" "+problem, show(v))
			}
		}
	}
}

func checkCreateSameAsStatus(c *checker) {
	req := c.draft()
	r := c.lifecycleStatus(req)
	for _, k := range statusKeys {
		x, y := req.reply.request()[k.name], r.request()[k.name]
		if k.name == "elapsed" || show(x) == show(y) {
			continue
		}
		c.wrong("create and then status", k.name+" equal in both", show(x)+" from create and "+show(y)+" from status")
	}
}

func checkCreateIDInteger(c *checker) {
	req := c.draft()
	if v := req.reply.request()["id"]; !isInteger(v) {
		c.wrong(req.reply.What, "an integer id", kind(v)+" "+show(v))
	}
}

func checkCreateIDNew(c *checker) {
	seen := map[string]bool{}
	for range 4 {
		req := c.create()
		if seen[req.id] {
			c.wrong(req.reply.What+" again", "a new id", "id "+req.id+" a second time")
		}
		seen[req.id] = true
	}
}

func checkCreateIDAscending(c *checker) {
	last := new(big.Int)
	for range 4 {
		req := c.create()
		id, ok := new(big.Int).SetString(req.id, 10)
		if !ok || id.Cmp(last) <= 0 {
			c.wrong(req.reply.What+" again", "an id above "+last.String(), "id "+req.id)
		}
		last = id
	}
}

func checkCreateStateDraft(c *checker) {
	req := c.draft()
	if v := req.reply.request()["state"]; v != "draft" {
		c.wrong(req.reply.What, `state "draft"`, show(v))
	}
}

func checkCreateStageNew(c *checker) {
	req := c.draft()
	if v := req.reply.request()["issue_stage"]; v != "new" {
		c.wrong(req.reply.What, `issue_stage "new"`, show(v))
	}
}

func checkCreateEcho(c *checker) {
	req := c.draft()
	if !c.opts.Production {
		req = c.create("email", "John.Doe@example.com", "filename", "My Backup.DUMP")
	}
	for i := 0; i+1 < len(req.params); i += 2 {
		key, want := req.params[i], req.params[i+1]
		if key == "contract" {
			continue
		}
		if got, ok := req.reply.request()[key].(string); !ok || got != want {
			c.wrong(req.reply.What, key+" as given", show(req.reply.request()[key]))
		}
	}
}

func checkCreateTimezone(c *checker) {
	p := c.createParams().with("timezone", "Europe/Brussels")
	r := c.accepted(c.api("create", c.way("create"), p))
	c.readRequest(r, p)
	if v := r.request()["timezone"]; v != "Europe/Brussels" {
		c.wrong(r.What, `timezone "Europe/Brussels"`, show(v))
	}
	req := c.create()
	if v, there := req.reply.request()["timezone"]; there && v != nil {
		c.wrong(req.reply.What, "timezone null", show(v))
	}
}

func checkCreateFilenameAnyScript(c *checker) {
	for _, name := range []string{"база данных.dump", "données-2015 (1).dump", "数据库.dump"} {
		req := c.create("filename", name)
		if got := text(req.reply.request()["filename"]); got != name {
			c.wrong(req.reply.What, fmt.Sprintf("filename %q", name), show(req.reply.request()["filename"]))
		}
	}
}

func checkCreateDraftValues(c *checker) {
	req := c.draft()
	m := req.reply.request()
	sample := map[string]any{"processed_at": nil, "estimated_time": nil, "customer_message": nil, "filestore": false,
		"elapsed": "00:00"}
	if compareRows(c.learned.target, "8.0") > 0 {
		delete(sample, "filestore") // later editions make files of attachments
	}
	for key, want := range sample {
		if v, there := m[key]; there && v != want {
			c.wrong(req.reply.What, key+" "+show(want), show(v))
		}
	}
}

func checkCreateNoDumpYet(c *checker) {
	req := c.create()
	m := req.reply.request()
	for key, want := range map[string]string{"filesize": "null", "postgresql": "null", "database_version": "null",
		"database_uuid": "null", "compressions": "[]"} {
		if v := m[key]; show(v) != want {
			c.wrong(req.reply.What, key+" "+want, show(v))
		}
	}
}

func checkCreateCreatedNow(c *checker) { c.createdNow(c.draft()) }

func checkCreateAims(c *checker) {
	for _, aim := range []string{"test", "production"} {
		p := c.createParams().set("aim", aim)
		r := c.accepted(c.api("create", c.way("create"), p))
		c.readRequest(r, p)
		c.shows(r, r.What, "aim", show(aim))
	}
}

func checkCreateTargets(c *checker) {
	if len(c.learned.targets) == 0 {
		c.blocked("create/target-expected", "the server listed no valid targets")
	}
	for _, target := range c.learned.targets[:min(len(c.learned.targets), 30)] {
		p := c.createParams().set("target", target)
		r := c.accepted(c.api("create", c.way("create"), p))
		c.readRequest(r, p)
		c.shows(r, r.What, "target", show(target))
	}
}

func checkCreateContractForms(c *checker) {
	for _, ref := range contractForms {
		p := c.createParams().set("contract", ref)
		r := c.object(c.api("create", c.way("create"), p))
		c.readRequest(r, p)
		if _, unknown := r.failure("CONTRACT:NOT_FOUND"); !unknown && !r.fine() {
			c.wrong(r.What, "a request, or CONTRACT:NOT_FOUND", r.Summary())
		}
	}
}

func checkCreateContractsKnown(c *checker) {
	for _, ref := range contractForms {
		p := c.createParams().set("contract", ref)
		c.readRequest(c.accepted(c.api("create", c.way("create"), p)), p)
	}
	c.reasoned(c.api("create", c.way("create"), c.createParams().set("contract", "M123456-abcxyz")),
		"CONTRACT:NOT_FOUND")
}

var contractForms = []string{"M123456-abcdef", "M123-abc", "M19061711465334", "M120123123-abcd"}

// allKeys ends the check unless the reply's request has every key.
func (c *checker) allKeys(r reply) {
	var missing []string
	for _, k := range statusKeys {
		if _, there := r.request()[k.name]; !there {
			missing = append(missing, k.name)
		}
	}
	if len(missing) > 0 {
		c.wrong(r.What, "every key of status, null where the value is unknown",
			"a request without "+strings.Join(missing, ", "))
	}
}
