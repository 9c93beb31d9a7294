package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/rsync"
)

// scriptStates are the names of states, in their order (rows S7.2 and S7.3).
var scriptStates = []string{"new", "pending", "progress", "done", "failed", "cancelled"}

func scriptProcessChecks() []check {
	const processed = needsWrites | needsRsync | needsProcess
	const whole = processed | needsWait
	return []check{
		{id: "script/process-answer", rows: rows("S5.6", "S6.1", "S10.1"),
			evidence: EvidenceObserved, needs: processed, gentle: true,
			says: "process of a directory that was uploaded answers is_pg_version_compatible, a boolean.",
			run:  checkScriptProcessAnswer},
		{id: "script/process-leaves-new", rows: rows("S6.4", "S16.1"), evidence: EvidenceObserved, needs: processed,
			gentle: true,
			says: "Once process is answered the request is in new no more: the script would upload again, without " +
				"end.",
			run: checkScriptProcessLeavesNew},
		{id: "script/process-again", rows: rows("S6.3", "S6.5"), evidence: EvidenceObserved, needs: processed,
			says: "A second process in pending answers like the first, and changes nothing: V1 to V9 make it.",
			run:  checkScriptProcessAgain},
		{id: "script/process-without-dump", rows: rows("S6.6"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "process is refused where nothing was uploaded, and the request stays in new.",
			run:  checkScriptProcessWithoutDump},
		{id: "script/process-incomplete", rows: rows("S6.6"), evidence: EvidenceAssumed, needs: processed,
			says: "process is refused where the directory has no toc.dat, and where the upload broke off.",
			run:  checkScriptProcessIncomplete},
		{id: "script/process-late", rows: rows("S6.6"), evidence: EvidenceAssumed, needs: whole,
			says: "process is refused in done, and the request stays there.",
			run:  checkScriptProcessLate},
		{id: "script/reaches-done", rows: rows("S7.3", "S7.5"), evidence: EvidenceObserved, needs: whole, gentle: true,
			says: "Polled by status, the upgrade of a dump ends in done.",
			run:  checkScriptReachesDone},
		{id: "script/state-names", rows: rows("S7.2", "S7.4"), evidence: EvidenceObserved, needs: whole, gentle: true,
			says: "Every state is new, pending, progress, done, failed or cancelled: others crash some copies of the " +
				"script, and end others quietly.",
			run: checkScriptStateNames},
		{id: "script/state-order", rows: rows("S7.3"), evidence: EvidenceAssumed, needs: whole,
			says: "The states come in the order new, pending, progress, done.",
			run:  checkScriptStateOrder},
		{id: "script/status-keys", rows: rows("S7.1", "S7.6", "S7.7", "S7.8"), evidence: EvidenceObserved, needs: whole,
			gentle: true,
			says: "From new to the end status has status, a text, host_uri, a host, and if they are there reason, a text " +
				"or null, and archived, a boolean.",
			run: checkScriptStatusKeys},
	}
}

func checkScriptProcessAnswer(c *checker) {
	var r rpcReply
	if c.opts.Production {
		u := c.upgrade(theDirectory)
		u.begun(c)
		r = u.processed
	} else {
		j := c.readyJob()
		r = c.result(c.rpc("process", j.auth()))
	}
	if v := r.result["is_pg_version_compatible"]; isBool(v) != "" {
		c.wrong(r.What, "is_pg_version_compatible "+isBool(v), r.Summary())
	}
}

// readyJob is a request of the check's own with its dump, in new.
func (c *checker) readyJob() job {
	j := c.newJob()
	c.dumped(j, formV11, directoryDump())
	return j
}

// dumped uploads a dump as a directory, for a step before the one judged.
func (c *checker) dumped(j job, form uploadForm, files []rsync.File) {
	out := c.place(c.start(j), form, j.path("origin.dump"), files)
	if !out.Whole || out.Outcome.Status > 0 {
		c.blocked("script/upload-directory", "the upload: %s", out)
	}
	c.stop(j)
}

func checkScriptProcessLeavesNew(c *checker) {
	var state string
	if c.opts.Production {
		u := c.upgrade(theDirectory)
		u.begun(c)
		state = u.states[0]
	} else {
		j := c.newJob()
		if first := c.state(j); first != "new" {
			c.blocked("script/state-new", "the state of a new request is %q", first)
		}
		c.dumped(j, formV11, directoryDump())
		if before := c.state(j); before != "new" {
			c.wrong("an upload, transfer/stop and status", `the state "new" until process is called`, show(before))
		}
		c.mustRPC("script/process-answer", "process", j.auth())
		state = c.state(j)
	}
	if state == "new" {
		c.wrong("process and then status", `a state other than "new"`, show(state))
	}
}

func checkScriptProcessAgain(c *checker) {
	j := c.readyJob()
	first := c.mustRPC("script/process-answer", "process", j.auth())
	second := c.rpc("process", j.auth())
	state := c.state(j)
	switch {
	case state == "new":
		c.blocked("script/process-leaves-new", "the state behind process is %q", state)
	case !slices.Contains(scriptStates, state):
		c.blocked("script/state-names", "the state behind process is %q", state)
	case !second.fine() && state != "pending":
		c.skipf("the request is in %s at once, not in pending", state)
	}
	c.result(second)
	if show(first.result) != show(second.result) {
		c.wrong(second.What+" again", show(first.result), show(second.result))
	}
}

func checkScriptProcessWithoutDump(c *checker) {
	j := c.newJob()
	c.refuses(c.rpc("process", j.auth()), "nothing was uploaded")
	c.start(j)
	c.stop(j)
	c.refuses(c.rpc("process", j.auth()), "nothing was uploaded")
	c.stays(j, "new", "process without a dump")
}

// stays ends the check unless the request is in that state.
func (c *checker) stays(j job, want, behind string) {
	if state := c.state(j); state != want {
		c.wrong(behind+" and then status", "the state "+show(want), show(state))
	}
}

func checkScriptProcessIncomplete(c *checker) {
	j := c.newJob()
	c.dumped(j, formV11, slices.DeleteFunc(directoryDump(), func(f rsync.File) bool { return f.Name == "toc.dat" }))
	c.refuses(c.rpc("process", j.auth()), "the directory has no toc.dat")
	c.stays(j, "new", "process of a directory without toc.dat")

	j = c.newJob()
	c.broken(c.start(j), c.largeDirectory())
	c.refuses(c.rpc("process", j.auth()), "the upload broke off")
	c.stays(j, "new", "process behind an upload that broke off")
}

func checkScriptProcessLate(c *checker) {
	u := c.upgrade(theDirectory)
	j := u.doneOrStop(c)
	c.refuses(c.rpc("process", j.auth()), "the request is in done")
	c.stays(j, "done", "process in done")
}

func checkScriptReachesDone(c *checker) {
	u := c.upgrade(theDirectory)
	state := u.finished(c)
	if unknown := u.unknownStates(); len(unknown) > 0 {
		c.blocked("script/state-names", "the upgrade came into the state %q", unknown[0])
	}
	switch {
	case state == "done":
	case (c.opts.Production || c.opts.Wait == 0) && !slices.Contains(scriptFinal, state):
		c.skipf("the upgrade has not ended, its state is %q: resume the run later, or wait longer", state)
	default:
		c.wrong(fmt.Sprintf("status until the upgrade ended, or for %v", c.opts.Wait), `the state "done"`,
			strings.Join(u.states, ", then ")+", reason "+show(u.last.result["reason"]))
	}
}

func checkScriptStateNames(c *checker) {
	u := c.upgrade(theDirectory)
	u.finished(c)
	for _, state := range u.unknownStates() {
		c.wrong("status behind process", "one of the states "+strings.Join(scriptStates, ", "), show(state))
	}
}

// unknownStates are those that the upgrade came into and the contract does not have.
func (u *upgrade) unknownStates() []string {
	return slices.DeleteFunc(slices.Clone(u.states), func(s string) bool { return slices.Contains(scriptStates, s) })
}

func checkScriptStateOrder(c *checker) {
	u := c.upgrade(theDirectory)
	u.doneOrStop(c)
	if !slices.IsSortedFunc(u.states, func(a, b string) int {
		return slices.Index(scriptStates, a) - slices.Index(scriptStates, b)
	}) {
		c.wrong("status until the upgrade was done", "the order "+strings.Join(scriptStates[:4], ", "),
			strings.Join(u.states, ", then "))
	}
}

func checkScriptStatusKeys(c *checker) {
	u := c.upgrade(theDirectory)
	st := c.guard(func() { u.finished(c) })
	replies := u.answers(c)
	if len(replies) == 0 {
		panic(st)
	}
	for _, r := range replies {
		if !strings.HasPrefix(r.What, "POST status") {
			continue
		}
		for _, problem := range []string{
			wrongKey(r, "status", isString, true), wrongKey(r, "host_uri", badHost, true),
			wrongKey(r, "reason", isStringOrNull, false), wrongKey(r, "archived", isBool, false),
		} {
			if problem != "" {
				c.wrong(r.What+" in the state "+show(r.result["status"]), problem, r.Summary())
			}
		}
	}
}

// wrongKey says what is wrong with a key of a result; "" for nothing.
func wrongKey(r rpcReply, key string, judge func(any) string, required bool) string {
	v, there := r.result[key]
	if problem := judge(v); problem != "" && (there || required) {
		return key + ", " + problem
	}
	return ""
}
