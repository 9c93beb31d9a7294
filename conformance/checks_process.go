package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// stateNames are the states that clients have seen, in the order in which they come.
var stateNames = []string{"draft", "pending", "processing", "testing", "done", "delivered"}

var estimateForm = regexp.MustCompile(`^\d{2,}:[0-5]\d$`)

func processChecks() []check {
	return []check{
		{id: "process/answer", rows: rows("6.1"), evidence: EvidenceDocumented, needs: needsWrites | needsProcess,
			says: "process of an uploaded dump succeeds.",
			run:  checkProcessAnswer},
		{id: "process/leaves-draft", rows: rows("6.1"), evidence: EvidenceDocumented,
			needs: needsWrites | needsProcess,
			says:  "process moves the request out of draft at once.",
			run:   checkProcessLeavesDraft},
		{id: "process/own-request", rows: rows("6.1"), evidence: EvidenceDocumented, needs: needsWrites | needsProcess,
			says: "process moves its own request only.",
			run:  checkProcessOwnRequest},
		{id: "process/state-names", rows: rows("6.2"), evidence: EvidenceObserved, gentle: true,
			needs: needsWrites | needsProcess | needsWait,
			says:  "The states have the names that clients know.",
			run:   checkProcessStateNames},
		{id: "process/never-draft-again", rows: rows("6.1", "6.2"), evidence: EvidenceDocumented, gentle: true,
			needs: needsWrites | needsProcess | needsWait,
			says:  "A request that was processed is never in draft again.",
			run:   checkProcessNeverDraftAgain},
		{id: "process/state-order", rows: rows("6.2"), evidence: EvidenceAssumed,
			needs: needsWrites | needsProcess | needsWait,
			says:  "The states come in the order pending, processing, testing, done.",
			run:   checkProcessStateOrder},
		{id: "process/reaches-done", rows: rows("6.2"), evidence: EvidenceObserved, gentle: true,
			needs: needsWrites | needsProcess | needsWait,
			says:  "The upgrade of a good dump ends in done.",
			run:   checkProcessReachesDone},
		{id: "process/stays-done", rows: rows("6.2"), evidence: EvidenceObserved, gentle: true,
			needs: needsWrites | needsProcess | needsWait,
			says:  "done stays done.",
			run:   checkProcessStaysDone},
		{id: "process/processed-at", rows: rows("6.3"), evidence: EvidenceDocumented, gentle: true,
			needs: needsWrites | needsProcess | needsWait,
			says:  "processed_at is the time the upgrade began: set when it has ended, and not before created_at.",
			run:   checkProcessProcessedAt},
		{id: "process/processed-at-begins", rows: rows("6.3"), evidence: EvidenceAssumed,
			needs: needsWrites | needsProcess | needsWait,
			says:  "processed_at is set while the upgrade goes on.",
			run:   checkProcessProcessedAtBegins},
		{id: "process/processed-at-stays", rows: rows("6.3"), evidence: EvidenceDocumented, gentle: true,
			needs: needsWrites | needsProcess | needsWait,
			says:  "Once set, processed_at stays.",
			run:   checkProcessProcessedAtStays},
		{id: "process/estimated-time", rows: rows("7", "6.3"), evidence: EvidenceAssumed,
			needs: needsWrites | needsProcess | needsWait,
			says:  "estimated_time is null or HH:MM.",
			run:   checkProcessEstimatedTime},
		{id: "process/stage-follows", rows: rows("7"), evidence: EvidenceAssumed,
			needs: needsWrites | needsProcess | needsWait,
			says:  "issue_stage follows the state: it is new no more when the upgrade has ended.",
			run:   checkProcessStageFollows},
		{id: "process/description-stays", rows: rows("7", "4.7"), evidence: EvidenceDocumented, gentle: true,
			needs: needsWrites | needsProcess | needsWait,
			says:  "filesize, postgresql and compressions describe the uploaded dump to the end.",
			run:   checkProcessDescriptionStays},
		{id: "process/twice", rows: rows("6.4", "2"), evidence: EvidenceAssumed, needs: needsWrites | needsProcess,
			says: "A second process is refused with STATE:INVALID.",
			run:  checkProcessTwice},
		{id: "process/needs-dump", rows: rows("2"), evidence: EvidenceAssumed, needs: needsProcess,
			says: "process without a dump, or with an empty one, is refused with DUMP:MISSING and stays in draft.",
			run:  checkProcessNeedsDump},
		{id: "process/sftp-dump", rows: rows("5.12", "6.1"), evidence: EvidenceDocumented,
			needs: needsSFTP | needsWrites | needsProcess | needsWait,
			says:  "A dump that came over SFTP is processed, and is the original afterwards, byte for byte.",
			run:   checkProcessSFTPDump},
	}
}

func checkProcessAnswer(c *checker) {
	req, _ := c.uploaded()
	c.accepted(c.api("process", c.way("process"), req.auth()))
}

func checkProcessLeavesDraft(c *checker) {
	req, _ := c.uploaded()
	c.mustProcess(req)
	for range 20 { // a server that does it in the background has a second
		if c.status(req).request()["state"] != "draft" {
			return
		}
		c.pause(50 * time.Millisecond)
	}
	c.wrong("process and then status", "a state other than draft", `"draft"`)
}

func checkProcessOwnRequest(c *checker) {
	other, _ := c.uploadedAs("filename", "bystander.dump")
	req, _ := c.uploaded()
	c.mustProcess(req)
	if v := c.status(other).request()["state"]; v != "draft" {
		c.wrong("process of another request, and status", `state "draft"`, show(v))
	}
}

func checkProcessStateNames(c *checker) {
	j := c.lifecycle("main")
	j.finished(c)
	for _, state := range j.states {
		if state != "invalid" && !slices.Contains(stateNames, state) {
			c.wrong("process and then status", fmt.Sprintf("one of the states %v or invalid", stateNames),
				fmt.Sprintf("%q", j.states))
		}
	}
}

func checkProcessNeverDraftAgain(c *checker) {
	j := c.lifecycle("main")
	j.finished(c)
	if i := slices.Index(j.states, "draft"); i > 0 || i == 0 && len(j.states) > 1 &&
		slices.Contains(j.states[1:], "draft") {
		c.wrong("process and then status", "no state draft", fmt.Sprintf("%q", j.states))
	}
}

func checkProcessStateOrder(c *checker) {
	j := c.lifecycle("main")
	j.finished(c)
	at := -1
	for _, state := range j.states {
		i := slices.Index(stateNames, state)
		if i >= 0 && i < at {
			c.wrong("process and then status", "states in their order", fmt.Sprintf("%q", j.states))
		}
		at = max(at, i)
	}
	if j.states[0] == "done" {
		c.wrong("process and then status", "the states before done", fmt.Sprintf("%q", j.states))
	}
}

func checkProcessReachesDone(c *checker) {
	j := c.lifecycle("main")
	state := j.finished(c)
	switch {
	case state == "done" || state == "delivered":
	case c.opts.Production && state != "invalid" || c.opts.Wait == 0:
		c.skipf("the upgrade has not ended, its state is %q: resume the run later, or wait longer", state)
	default:
		c.wrong("process and then status, again and again for "+c.opts.Wait.String(), "state done",
			fmt.Sprintf("%q, customer_message %s", j.states, show(j.field("customer_message"))))
	}
}

func checkProcessStaysDone(c *checker) {
	j := c.lifecycle("main")
	req := j.doneOrStop(c)
	for range 3 {
		if v := c.status(req).request()["state"]; v != j.field("state") {
			c.wrong("status after done", "the state to stay", show(v))
		}
	}
}

func checkProcessProcessedAt(c *checker) {
	j := c.lifecycle("main")
	j.doneOrStop(c)
	at, created := text(j.field("processed_at")), text(j.field("created_at"))
	if isTime(at) != "" {
		c.wrong("status in state done", "processed_at as the time the upgrade began", show(j.field("processed_at")))
	}
	if isTime(created) == "" && at < created {
		c.wrong("status in state done", "processed_at not before created_at, "+created, at)
	}
	if x, err := time.Parse(time.DateTime, at); err == nil && isTime(created) == "" && c.opts.Resume == nil &&
		!c.opts.Production {
		// Both come from one clock and lie within this run: hours apart is a time zone.
		y, _ := time.Parse(time.DateTime, created)
		if d := x.Sub(y); d > c.opts.Wait+10*time.Minute && d < 15*time.Hour {
			c.wrong("status in state done", "processed_at some moments after created_at, "+created, at)
		}
	}
}

func checkProcessProcessedAtBegins(c *checker) {
	j := c.lifecycle("main")
	j.finished(c)
	for _, r := range j.polls {
		if m := r.request(); m["state"] == "processing" && m["processed_at"] == nil {
			c.wrong("status in state processing", "processed_at set", "null")
		}
	}
}

func checkProcessProcessedAtStays(c *checker) {
	j := c.lifecycle("main")
	j.doneOrStop(c)
	var first any
	for _, r := range append(slices.Clone(j.polls), c.status(j.req)) {
		v := r.request()["processed_at"]
		if first != nil && v != first {
			c.wrong("status after done", "processed_at as before, "+show(first), show(v))
		}
		if v != nil {
			first = v
		}
	}
}

func checkProcessEstimatedTime(c *checker) {
	j := c.lifecycle("main")
	j.finished(c)
	for _, r := range j.polls {
		if v := r.request()["estimated_time"]; v != nil && !estimateForm.MatchString(text(v)) {
			c.wrong("status in state "+text(r.request()["state"]), "estimated_time as HH:MM or null", show(v))
		}
	}
}

func checkProcessStageFollows(c *checker) {
	j := c.lifecycle("main")
	j.doneOrStop(c)
	if v := j.field("issue_stage"); v == "new" {
		c.wrong("status in state done", "issue_stage other than new", show(v))
	}
}

func checkProcessDescriptionStays(c *checker) {
	j := c.lifecycle("main")
	j.finished(c)
	if c.opts.Resume != nil {
		c.skipf("judged by the run that is resumed")
	}
	for _, key := range []string{"filesize", "postgresql", "compressions"} {
		for _, r := range j.polls {
			if x, y := show(j.atUpload.request()[key]), show(r.request()[key]); x != y {
				c.wrong("status in state "+text(r.request()["state"]), key+" as after the upload, "+x, y)
			}
		}
	}
}

func checkProcessTwice(c *checker) {
	req, _ := c.uploaded()
	c.mustProcess(req)
	r := c.api("process", c.way("process"), req.auth())
	c.stateInvalid(r, c.reasoned(r, "STATE:INVALID"), "draft")
}

func checkProcessNeedsDump(c *checker) {
	none, empty := c.create(), c.create()
	c.try(c.composeUpload(empty, []byte{}))
	for _, req := range []request{none, empty} {
		c.reasoned(c.api("process", c.way("process"), req.auth()), "DUMP:MISSING")
		c.shows(c.status(req), "a refused process and then status", "state", `"draft"`)
	}
}

func checkProcessSFTPDump(c *checker) {
	j := c.lifecycle("sftp")
	j.doneOrStop(c)
	u := text(j.field("original_dump_url"))
	if a := c.fetch(c.reachable(u)); !a.OK() || !a.Is(j.dump) {
		c.wrong("put over SFTP, process, and original_dump_url", "the dump byte for byte",
			a.Summary()+", "+a.Diff(j.dump))
	}
}
