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

func checkProcessAnswer(b *checker) {
	req, _ := b.uploaded()
	b.accepted(b.api("process", b.way("process"), req.auth()))
}

func checkProcessLeavesDraft(b *checker) {
	req, _ := b.uploaded()
	b.mustProcess(req)
	for range 20 { // a server that does it in the background has a second
		if b.status(req).request()["state"] != "draft" {
			return
		}
		b.pause(50 * time.Millisecond)
	}
	b.wrong("process and then status", "a state other than draft", `"draft"`)
}

func checkProcessOwnRequest(b *checker) {
	other, _ := b.uploadedAs("filename", "bystander.dump")
	req, _ := b.uploaded()
	b.mustProcess(req)
	if v := b.status(other).request()["state"]; v != "draft" {
		b.wrong("process of another request, and status", `state "draft"`, show(v))
	}
}

func checkProcessStateNames(b *checker) {
	j := b.lifecycle("main")
	j.finished(b)
	for _, state := range j.states {
		if state != "invalid" && !slices.Contains(stateNames, state) {
			b.wrong("process and then status", fmt.Sprintf("one of the states %v or invalid", stateNames),
				fmt.Sprintf("%q", j.states))
		}
	}
}

func checkProcessNeverDraftAgain(b *checker) {
	j := b.lifecycle("main")
	j.finished(b)
	if i := slices.Index(j.states, "draft"); i > 0 || i == 0 && len(j.states) > 1 &&
		slices.Contains(j.states[1:], "draft") {
		b.wrong("process and then status", "no state draft", fmt.Sprintf("%q", j.states))
	}
}

func checkProcessStateOrder(b *checker) {
	j := b.lifecycle("main")
	j.finished(b)
	at := -1
	for _, state := range j.states {
		i := slices.Index(stateNames, state)
		if i >= 0 && i < at {
			b.wrong("process and then status", "states in their order", fmt.Sprintf("%q", j.states))
		}
		at = max(at, i)
	}
	if j.states[0] == "done" {
		b.wrong("process and then status", "the states before done", fmt.Sprintf("%q", j.states))
	}
}

func checkProcessReachesDone(b *checker) {
	j := b.lifecycle("main")
	state := j.finished(b)
	switch {
	case state == "done" || state == "delivered":
	case b.opts.Production && state != "invalid" || b.opts.Wait == 0:
		b.skipf("the upgrade has not ended, its state is %q: resume the run later, or wait longer", state)
	default:
		b.wrong("process and then status, again and again for "+b.opts.Wait.String(), "state done",
			fmt.Sprintf("%q, customer_message %s", j.states, show(j.field("customer_message"))))
	}
}

func checkProcessStaysDone(b *checker) {
	j := b.lifecycle("main")
	req := j.doneOrStop(b)
	for range 3 {
		if v := b.status(req).request()["state"]; v != j.field("state") {
			b.wrong("status after done", "the state to stay", show(v))
		}
	}
}

func checkProcessProcessedAt(b *checker) {
	j := b.lifecycle("main")
	j.doneOrStop(b)
	at, created := text(j.field("processed_at")), text(j.field("created_at"))
	if isTime(at) != "" {
		b.wrong("status in state done", "processed_at as the time the upgrade began", show(j.field("processed_at")))
	}
	if isTime(created) == "" && at < created {
		b.wrong("status in state done", "processed_at not before created_at, "+created, at)
	}
	if x, err := time.Parse(time.DateTime, at); err == nil && isTime(created) == "" && b.opts.Resume == nil &&
		!b.opts.Production {
		// Both come from one clock and lie within this run: hours apart is a time zone.
		y, _ := time.Parse(time.DateTime, created)
		if d := x.Sub(y); d > b.opts.Wait+10*time.Minute && d < 15*time.Hour {
			b.wrong("status in state done", "processed_at some moments after created_at, "+created, at)
		}
	}
}

func checkProcessProcessedAtBegins(b *checker) {
	j := b.lifecycle("main")
	j.finished(b)
	for _, r := range j.polls {
		if m := r.request(); m["state"] == "processing" && m["processed_at"] == nil {
			b.wrong("status in state processing", "processed_at set", "null")
		}
	}
}

func checkProcessProcessedAtStays(b *checker) {
	j := b.lifecycle("main")
	j.doneOrStop(b)
	var first any
	for _, r := range append(slices.Clone(j.polls), b.status(j.req)) {
		v := r.request()["processed_at"]
		if first != nil && v != first {
			b.wrong("status after done", "processed_at as before, "+show(first), show(v))
		}
		if v != nil {
			first = v
		}
	}
}

func checkProcessEstimatedTime(b *checker) {
	j := b.lifecycle("main")
	j.finished(b)
	for _, r := range j.polls {
		if v := r.request()["estimated_time"]; v != nil && !estimateForm.MatchString(text(v)) {
			b.wrong("status in state "+text(r.request()["state"]), "estimated_time as HH:MM or null", show(v))
		}
	}
}

func checkProcessStageFollows(b *checker) {
	j := b.lifecycle("main")
	j.doneOrStop(b)
	if v := j.field("issue_stage"); v == "new" {
		b.wrong("status in state done", "issue_stage other than new", show(v))
	}
}

func checkProcessDescriptionStays(b *checker) {
	j := b.lifecycle("main")
	j.finished(b)
	if b.opts.Resume != nil {
		b.skipf("judged by the run that is resumed")
	}
	for _, key := range []string{"filesize", "postgresql", "compressions"} {
		for _, r := range j.polls {
			if x, y := show(j.atUpload.request()[key]), show(r.request()[key]); x != y {
				b.wrong("status in state "+text(r.request()["state"]), key+" as after the upload, "+x, y)
			}
		}
	}
}

func checkProcessTwice(b *checker) {
	req, _ := b.uploaded()
	b.mustProcess(req)
	r := b.api("process", b.way("process"), req.auth())
	b.stateInvalid(r, b.reasoned(r, "STATE:INVALID"), "draft")
}

func checkProcessNeedsDump(b *checker) {
	none, empty := b.create(), b.create()
	b.try(b.composeUpload(empty, []byte{}))
	for _, req := range []request{none, empty} {
		b.reasoned(b.api("process", b.way("process"), req.auth()), "DUMP:MISSING")
		b.shows(b.status(req), "a refused process and then status", "state", `"draft"`)
	}
}

func checkProcessSFTPDump(b *checker) {
	j := b.lifecycle("sftp")
	j.doneOrStop(b)
	u := text(j.field("original_dump_url"))
	if a := b.fetch(b.reachable(u)); !a.OK() || !a.Is(j.dump) {
		b.wrong("put over SFTP, process, and original_dump_url", "the dump byte for byte",
			a.Summary()+", "+a.Diff(j.dump))
	}
}
