package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
	"github.com/upgrademock/upgrademock/conformance/internal/rsync"
)

// wipeContract is a contract for the checks of wipe, which meet every request of it.
type wipeContract struct {
	once sync.Once
	ref  string
}

// contractToWipe is a contract of the run's own if the server takes one, else the target's.
func (c *checker) contractToWipe() string {
	c.wipes.once.Do(func() {
		probe := c.newChecker(c.run, "wipe-contract")
		defer probe.close()
		own := fmt.Sprintf("M%06d-%s", probe.rng.IntN(1000000), string(rune('a'+probe.rng.IntN(26)))+"wiped")
		c.wipes.ref = c.target.Contract
		if r := probe.createJob(member{"contract", own}); r.fine() {
			c.wipes.ref = own
		}
	})
	return c.wipes.ref
}

// The checks of wipe come last: on a server that knows one contract alone they archive all of its requests.
func scriptWipeChecks() []check {
	return []check{
		{id: "script/wipe-answer", rows: rows("S1.6", "S1.7", "S9.1", "S9.2", "S9.3"),
			evidence: EvidenceObserved, needs: needsWrites,
			last: true,
			says: "wipe takes contract and token, and answers wiped and failed, both lists.",
			run:  checkScriptWipeAnswer},
		{id: "script/wipe-removes", rows: rows("S9.4"), evidence: EvidenceObserved,
			needs: needsWrites | needsRsync | needsProcess | needsWait, last: true,
			says: "Behind wipe the dump of a request that was done can be fetched no more.",
			run:  checkScriptWipeRemoves},
		{id: "script/wipe-cancels", rows: rows("S9.4"), evidence: EvidenceAssumed,
			needs: needsWrites | needsRsync | needsProcess, last: true,
			says: "wipe cancels what is pending or in progress.",
			run:  checkScriptWipeCancels},
		{id: "script/wipe-archives", rows: rows("S9.4"), evidence: EvidenceAssumed, needs: needsWrites, last: true,
			says: "Behind wipe all requests of the contract are archived, and no others.",
			run:  checkScriptWipeArchives},
		{id: "script/wipe-again", rows: rows("S9.4"), evidence: EvidenceAssumed, needs: needsWrites, last: true,
			says: "A second wipe lists nothing.",
			run:  checkScriptWipeAgain},
		{id: "script/wipe-ids", rows: rows("S9.2"), evidence: EvidenceAssumed, needs: needsWrites, last: true,
			says: "wipe lists the numbers of the requests that were wiped.",
			run:  checkScriptWipeIDs},
		{id: "script/wipe-refused", rows: rows("S9.1"), evidence: EvidenceAssumed, needs: needsWrites, last: true,
			says: "wipe is refused with a token that is not known, and with another contract than the request's.",
			run:  checkScriptWipeRefused},
	}
}

// jobToWipe is a request of the contract that is wiped, and the parameters of the call that wipes.
func (c *checker) jobToWipe() (job, members) {
	contract := c.contractToWipe()
	j := c.newJob(member{"contract", contract})
	return j, members{{"contract", contract}, {"token", j.token}}
}

func checkScriptWipeAnswer(c *checker) {
	_, p := c.jobToWipe()
	r := c.result(c.rpc("wipe", p))
	if kind := r.Header.Get("Content-Type"); r.Length <= 0 || !strings.Contains(kind, "application/json") {
		c.wrong(r.What, "a Content-Length above 0, and a Content-Type with application/json in it",
			fmt.Sprintf("%d and %q", r.Length, kind))
	}
	for _, key := range []string{"wiped", "failed"} {
		if _, is := r.result[key].([]any); !is {
			c.wrong(r.What, key+" as a list", r.Summary())
		}
	}
	if list, _ := r.result["failed"].([]any); len(list) > 0 {
		c.wrong(r.What, "failed empty, since nothing is in the way", r.Summary())
	}
}

func checkScriptWipeArchives(c *checker) {
	other, _ := c.jobToWipe()
	stranger := c.newJob()
	j, p := c.jobToWipe()
	c.mustRPC("script/wipe-answer", "wipe", p)
	if c.contractToWipe() != c.target.Contract {
		if r := c.jobStatus(stranger); r.result["archived"] == true {
			c.wrong("wipe and then status of a request of another contract", "archived false", r.Summary())
		}
	}
	for _, j := range []job{j, other} {
		if r := c.jobStatus(j); r.result["archived"] != true {
			c.wrong("wipe and then status", "archived true", r.Summary())
		}
	}
}

func checkScriptWipeAgain(c *checker) {
	_, p := c.jobToWipe()
	c.mustRPC("script/wipe-answer", "wipe", p)
	r := c.result(c.rpc("wipe", p))
	for _, key := range []string{"wiped", "failed"} {
		if list, is := r.result[key].([]any); !is || len(list) > 0 {
			c.wrong(r.What+" again", key+" as an empty list", r.Summary())
		}
	}
}

func checkScriptWipeIDs(c *checker) {
	j, p := c.jobToWipe()
	r := c.mustRPC("script/wipe-answer", "wipe", p)
	list, _ := r.result["wiped"].([]any)
	if !slices.ContainsFunc(list, func(v any) bool { return number(v) == j.id }) {
		c.wrong(r.What, "wiped with the number "+j.id, r.Summary())
	}
}

func checkScriptWipeRefused(c *checker) {
	j, p := c.jobToWipe()
	c.refuses(c.rpc("wipe", p.with(member{"token", noToken})), "the token is none's")
	c.refuses(c.rpc("wipe", p.with(member{"contract", c.target.UnknownContract})), "the contract is another's")
	if state := c.jobStatus(j); state.result["archived"] == true {
		c.wrong("wipe that is refused and then status", "archived false", state.Summary())
	}
}

func checkScriptWipeRemoves(c *checker) {
	j, p := c.jobToWipe()
	c.dumped(j, formV11, directoryDump())
	c.mustRPC("script/process-answer", "process", j.auth())
	u := &upgrade{phases: phases{checker: c}, its: j}
	if u.follow(); u.state() != "done" {
		c.blocked("script/reaches-done", "the upgrade has not ended in done, its state is %q", u.state())
	}
	c.mustRPC("script/wipe-answer", "wipe", p)
	r := c.rpc("transfer/start", startParams(j, "download"))
	if r.refused() {
		return
	}
	t := readTransfer(r, j)
	conn := c.enterTransfer(t, scriptUser, raw.WithKey(j.key), "the request's key")
	defer conn.Drop()
	if !conn.Login.OK || t.dumpName == "" {
		return
	}
	if out := c.receive(conn, downloadCommand(j.path(t.dumpName)), rsync.Download{}); len(out.List) > 0 {
		c.wrong("wipe, and then a download of "+t.dumpName, "nothing", names(out.List))
	}
}

func checkScriptWipeCancels(c *checker) {
	j, p := c.jobToWipe()
	c.dumped(j, formV11, directoryDump())
	c.mustRPC("script/process-answer", "process", j.auth())
	c.mustRPC("script/wipe-answer", "wipe", p)
	if state := c.state(j); state == "done" {
		c.skipf("the upgrade was over before it could be wiped")
	} else if state != "cancelled" {
		c.wrong("process, wipe and then status", `the state "cancelled"`, show(state))
	}
}
