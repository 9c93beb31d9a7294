package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// laterMethods are the methods of the server that the 11.0 page does not have.
type laterMethods struct {
	once sync.Once
	has  map[string]bool
}

// hasMethod reports whether the server has the method: whether it answers it other than one that is surely none.
// Asked without parameters, so nothing comes of it.
func (c *checker) hasMethod(method string) bool {
	c.later.once.Do(func() {
		c.later.has = map[string]bool{}
		probe := c.newChecker(c.run, "later-methods")
		defer probe.close()
		none, err := probe.try(probe.compose("no_such_method", byPostQuery, nil))
		for _, m := range []string{"skip_test", "upgrade"} {
			a, err2 := probe.try(probe.compose(m, byPostQuery, nil))
			if err != nil || err2 != nil {
				continue
			}
			r := readReply(a)
			same := strings.ReplaceAll(string(a.Body), m, "no_such_method") == string(none.Body) &&
				a.Status == none.Status
			c.later.has[m] = r.object != nil && !same && len(r.failures()) > 0 &&
				!(a.Status == 404 && none.Status == 404 && !namesMissing(r))
		}
	})
	return c.later.has[method]
}

// namesMissing reports whether a failure is about a missing parameter: a method that is there misses its own.
func namesMissing(r reply) bool {
	return slices.ContainsFunc(r.failures(), func(f failure) bool { return strings.HasSuffix(f.reason(), ":MISSING") })
}

func (c *checker) needsMethod(method string) {
	if !c.hasMethod(method) {
		c.skipf("the server has no %s: the 11.0 page doesn't either", method)
	}
}

// skipTest calls skip_test.
func skipTest(c *checker, p params) reply {
	return c.api("skip_test", c.way("skip_test"), p)
}

// delivers makes the check of skip_test that takes its parameters in one way.
func delivers(id string, w way, rows []string, says string) check {
	return check{id: "skip-test/" + id, rows: rows, evidence: EvidenceDocumentedLater,
		needs: needsWrites | needsProcess | needsWait, says: says,
		run: func(c *checker) {
			c.needsMethod("skip_test")
			req, _ := c.uploadedAs("aim", "production")
			c.mustProcess(req)
			j := &lifecycle{phases: phases{checker: c}, req: req, name: "skip", until: "testing"}
			j.follow()
			if state := text(j.field("state")); state != "testing" {
				c.skipf("the upgrade is never seen in testing, its state is %q", state)
			}
			c.failureList(c.api("skip_test", w, req.auth()), true)
			r := c.status(req)
			if r.request()["state"] != "delivered" {
				c.wrong("skip_test in testing and then status", `state "delivered"`, show(r.request()["state"]))
			}
			if a := c.fetch(c.reachable(text(r.request()["upgraded_dump_url"]))); !a.OK() || a.Size == 0 {
				c.wrong(a.What+" in delivered", "the upgraded database", a.Summary())
			}
			c.refusal(skipTest(c, req.auth()), "the request is delivered already")
		}}
}

func skipTestChecks() []check {
	return []check{
		{id: "skip-test/refused-in-draft", rows: rows("6.5"), evidence: EvidenceDocumentedLater, needs: needsWrites,
			says: "skip_test in draft is refused and changes nothing: it is for the state testing.",
			run:  checkSkipTestRefusedInDraft},
		{id: "skip-test/only-in-testing", rows: rows("6.5"), evidence: EvidenceDocumentedLater,
			needs: needsWrites | needsProcess | needsWait,
			says:  "skip_test is refused before testing, while the upgrade goes on, and when it is done.",
			run:   checkSkipTestOnlyInTesting},
		{id: "skip-test/state-invalid", rows: rows("6.5", "2"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "skip_test in draft is refused with STATE:INVALID.",
			run:  checkSkipTestStateInvalid},
		{id: "skip-test/wrong-key", rows: rows("6.5"), evidence: EvidenceDocumentedLater, needs: needsWrites,
			says: "skip_test is refused with a wrong key.",
			run:  checkSkipTestWrongKey},
		{id: "skip-test/all-problems", rows: rows("6.5", "1.8"), evidence: EvidenceDocumentedLater,
			says: "skip_test without request and key reports each of the two.",
			run:  checkSkipTestAllProblems},
		{id: "skip-test/not-found", rows: rows("2", "6.5"), evidence: EvidenceAssumed,
			says: "skip_test answers a wrong key and an unknown id with REQUEST:NOT_FOUND.",
			run:  checkSkipTestNotFound},
		delivers("delivers", byQuery, rows("6.5"),
			"skip_test in testing succeeds; the state becomes delivered and the upgraded database is handed over."),
		delivers("form", byForm, rows("6.5", "1.1"), "skip_test takes its parameters in an urlencoded form."),
		delivers("get-body", byGetBody, rows("6.5", "1.2"),
			"skip_test takes its parameters in an urlencoded body of a GET, as the 13.0 samples send it."),
		{id: "skip-test/sftp-delivered", rows: rows("5.3", "6.5"), evidence: EvidenceDocumentedLater,
			needs: needsSFTP | needsWrites | needsProcess | needsWait,
			says:  "SFTP access is also given in delivered.",
			run:   checkSkipTestSFTPDelivered},
	}
}

func checkSkipTestRefusedInDraft(c *checker) {
	c.needsMethod("skip_test")
	req, _ := c.uploaded()
	before := c.status(req)
	c.refusal(skipTest(c, req.auth()), "the request is not in testing")
	c.unchanged("skip_test in draft", req, before)
}

func checkSkipTestOnlyInTesting(c *checker) {
	c.needsMethod("skip_test")
	j := c.lifecycle("main")
	if req := j.doneOrStop(c); j.field("state") == "done" {
		c.refusal(skipTest(c, req.auth()), "the request is done")
		if v := c.status(req).request()["state"]; v != "done" {
			c.wrong("skip_test in done and then status", `the state "done"`, show(v))
		}
	}
	var r reply
	c.whileUpgrading(func(request) {}, func(req request) {
		if r = skipTest(c, req.auth()); text(c.status(req).request()["state"]) == "testing" {
			c.skipf("the upgrade is in testing at once")
		}
	})
	c.refusal(r, "the request is not in testing yet")
}

func checkSkipTestStateInvalid(c *checker) {
	c.needsMethod("skip_test")
	r := skipTest(c, c.create().auth())
	c.stateInvalid(r, c.reasoned(r, "STATE:INVALID"), "testing")
}

func checkSkipTestWrongKey(c *checker) {
	c.needsMethod("skip_test")
	req := c.create()
	for _, k := range append(wrongKeys(req.key)[:2],
		struct{ what, key string }{"another request's key", c.create().key}) {
		r := skipTest(c, params{"request", req.id, "key", k.key})
		c.failureList(r, false)
		c.failureFields(r)
		if f, is := r.failure("STATE:INVALID"); is {
			c.wrong("skip_test with "+k.what, "no state in the answer", show(map[string]any(f)))
		}
	}
}

func checkSkipTestAllProblems(c *checker) {
	c.needsMethod("skip_test")
	c.bothMissing(func(p params) reply { return skipTest(c, p) })
}

func checkSkipTestNotFound(c *checker) {
	c.needsMethod("skip_test")
	req := c.create()
	c.notFound(skipTest(c, params{"request", req.id, "key", wrongKeys(req.key)[0].key}), req.id)
	c.notFound(skipTest(c, params{"request", "999999999", "key", req.key}), "999999999")
	c.missing(skipTest(c, nil), "request", "key")
}

func checkSkipTestSFTPDelivered(c *checker) {
	c.needsMethod("skip_test")
	j := c.lifecycle("live")
	req := j.doneOrStop(c)
	if j.field("state") != "delivered" {
		c.skipf("the state is %s, not delivered", show(j.field("state")))
	}
	key := raw.NewKey("ed25519")
	c.opens(req, c.composeAccess(req.auth(), raw.KeyLine(key)+"\n"), key)
}

// uploadedAs is a request of the check's own with its dump, create's parameters changed by kv.
func (c *checker) uploadedAs(kv ...string) (request, []byte) {
	req := c.create(kv...)
	dump := c.dump()
	c.put(req, dump)
	return req, dump
}

// callUpgrade asks for everything in one call: the parameters in the query, the dump as the body.
func callUpgrade(c *checker, p params, dump []byte) reply {
	return readReply(c.must(raw.Call{Method: "POST", URL: c.methodURL("upgrade") + "?" + p.encode(),
		ContentType: "application/octet-stream", Body: dump,
		What: fmt.Sprintf("POST upgrade %s with %d bytes", p, len(dump))}))
}

// upgradeParams are what upgrade is asked with.
func upgradeParams(c *checker) params {
	return c.createParams().without("filename").with("postgresql", "9.3")
}

// beginUpgrade calls upgrade, and ends the check unless it made a request.
func beginUpgrade(c *checker, p params, dump []byte) (request, reply) {
	c.needsMethod("upgrade")
	r := c.accepted(callUpgrade(c, p, dump))
	req, ok := c.readRequest(r, p)
	if !ok {
		c.wrong(r.What, "a request as create answers it", r.Summary())
	}
	return req, r
}

func upgradeChecks() []check {
	return []check{
		{id: "upgrade/answer", rows: rows("6.6"), evidence: EvidenceObserved, needs: needsWrites | needsProcess,
			says: "upgrade takes the parameters in the query and the dump as its body, and answers like create.",
			run:  checkUpgradeAnswer},
		{id: "upgrade/processes", rows: rows("6.6"), evidence: EvidenceObserved, needs: needsWrites | needsProcess,
			says: "upgrade processes the dump at once: status is out of draft.",
			run:  checkUpgradeProcesses},
		{id: "upgrade/bytes", rows: rows("6.6"), evidence: EvidenceObserved,
			needs: needsWrites | needsProcess | needsWait,
			says:  "upgrade's body is the dump, byte for byte, also when it is sent as a form.",
			run:   checkUpgradeBytes},
		{id: "upgrade/multipart-body", rows: rows("6.6", "4.2"), evidence: EvidenceObserved,
			needs: needsWrites | needsProcess | needsWait,
			says:  "upgrade's body is the dump also when it is a multipart body: it is not unwrapped.",
			run:   checkUpgradeMultipartBody},
		{id: "upgrade/migrated-sql-url", rows: rows("6.6"), evidence: EvidenceObserved,
			needs: needsWrites | needsProcess,
			says:  "Such a request's status has migrated_sql_url, equal to upgraded_sql_url.",
			run:   checkUpgradeMigratedSQLURL},
		{id: "upgrade/postgresql", rows: rows("6.6"), evidence: EvidenceObserved, needs: needsWrites | needsProcess,
			says: "Such a request's postgresql is never null: what the dump says, else the parameter.",
			run:  checkUpgradePostgresql},
		{id: "upgrade/filename", rows: rows("6.6"), evidence: EvidenceObserved, needs: needsWrites | needsProcess,
			says: "upgrade's filename is optional: <contract>.sql without one.",
			run:  checkUpgradeFilename},
		{id: "upgrade/refusals", rows: rows("6.6", "2"), evidence: EvidenceObserved, needs: needsWrites,
			says: "upgrade refuses as create does: an invalid target and an unknown contract together.",
			run:  checkUpgradeRefusals},
		{id: "upgrade/all-problems", rows: rows("6.6", "1.8"), evidence: EvidenceObserved,
			says: "upgrade reports each missing and each invalid parameter.",
			run:  checkUpgradeAllProblems},
		{id: "upgrade/done", rows: rows("6.6", "8.2"), evidence: EvidenceObserved,
			needs: needsWrites | needsProcess | needsWait,
			says:  "The upgrade ends in done, and migrated_sql_url gives SQL text.",
			run:   checkUpgradeDone},
		{id: "upgrade/plain-status", rows: rows("6.6"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "migrated_sql_url belongs to upgrade's requests only.",
			run:  checkUpgradePlainStatus},
	}
}

func checkUpgradeAnswer(c *checker) {
	_, r := beginUpgrade(c, upgradeParams(c).with("run", "False", "dbname", "prod"), c.dump())
	c.failureList(r, true)
	c.allKeys(r)
}

func checkUpgradeProcesses(c *checker) {
	req, _ := beginUpgrade(c, upgradeParams(c), c.dump())
	if v := c.status(req).request()["state"]; v == "draft" {
		c.wrong("upgrade and then status", "a state other than draft", show(v))
	}
}

func checkUpgradeBytes(c *checker) {
	c.needsMethod("upgrade")
	dump := sqlDump("9.4.5", everyByte())
	p := upgradeParams(c)
	call := raw.Call{Method: "POST", URL: c.methodURL("upgrade") + "?" + p.encode(), ContentType: formType, Body: dump,
		What: "POST upgrade " + p.String() + " with the Content-Type of a form"}
	r := c.accepted(readReply(c.must(call)))
	req, ok := c.readRequest(r, p)
	if !ok {
		c.blocked("upgrade/answer", "upgrade answered %s", r.Summary())
	}
	c.holds(req, call.What, dump)
}

func checkUpgradeMultipartBody(c *checker) {
	c.needsMethod("upgrade")
	p := upgradeParams(c)
	call := raw.Call{Method: "POST", URL: c.methodURL("upgrade") + "?" + p.encode(),
		What: "POST upgrade " + p.String() + " with a multipart body"}
	call.ContentType, call.Body = multipartBody(nil,
		&filePart{field: "dump", filename: "x.sql", ctype: "application/octet-stream", data: sqlDump("9.4.5", nil)})
	r := c.accepted(readReply(c.must(call)))
	req, ok := c.readRequest(r, p)
	if !ok {
		c.blocked("upgrade/answer", "upgrade answered %s", r.Summary())
	}
	c.holds(req, call.What, call.Body)
}

func checkUpgradeMigratedSQLURL(c *checker) {
	req, _ := beginUpgrade(c, upgradeParams(c), c.dump())
	m := c.status(req).request()
	if v := text(m["migrated_sql_url"]); v == "" || v != text(m["upgraded_sql_url"]) {
		c.wrong("upgrade and then status", "migrated_sql_url equal to upgraded_sql_url, "+show(m["upgraded_sql_url"]),
			show(m["migrated_sql_url"]))
	}
}

func checkUpgradePostgresql(c *checker) {
	dumps := map[string][]byte{`"9.4"`: sqlDump("9.4.5", nil),
		`"9.3"`: []byte("-- a dump that does not say its version\nCREATE TABLE res_users (id integer);\n")}
	for _, want := range sortedKeys(dumps) {
		req, r := beginUpgrade(c, upgradeParams(c), dumps[want])
		c.shows(r, "upgrade with postgresql=9.3", "postgresql", want)
		c.shows(c.status(req), "upgrade with postgresql=9.3 and then status", "postgresql", want)
	}
}

func checkUpgradeFilename(c *checker) {
	_, r := beginUpgrade(c, upgradeParams(c), c.dump())
	c.shows(r, "upgrade without filename", "filename", show(c.target.Contract+".sql"))
	_, r = beginUpgrade(c, upgradeParams(c).with("filename", "mine.dump"), c.dump())
	c.shows(r, "upgrade with the filename mine.dump", "filename", `"mine.dump"`)
}

func checkUpgradeRefusals(c *checker) {
	c.needsMethod("upgrade")
	r := callUpgrade(c, upgradeParams(c).set("target", "5.0").set("contract", c.target.UnknownContract), c.dump())
	c.reasoned(r, "TARGET:INVALID")
	c.reasoned(r, "CONTRACT:NOT_FOUND")
}

func checkUpgradeAllProblems(c *checker) {
	c.needsMethod("upgrade")
	for _, p := range []problems{
		{params: nil, least: 4},
		{params: upgradeParams(c).without("email").set("target", "5.0"), least: 2,
			reasons: []string{"TARGET:INVALID"}},
	} {
		c.counted(callUpgrade(c, p.params, c.dump()), p)
	}
}

func checkUpgradeDone(c *checker) {
	dump := fixture("openchs.sql")
	req, _ := beginUpgrade(c, upgradeParams(c), dump)
	j := &lifecycle{phases: phases{checker: c}, req: req, name: "upgrade"}
	j.follow()
	switch state := text(j.field("state")); state {
	case "done", "delivered":
	case "draft":
		c.blocked("upgrade/processes", "the state is still draft")
	default:
		c.blocked("process/reaches-done", "the state is %q", state)
	}
	if u := text(j.field("migrated_sql_url")); u != "" {
		c.textual(c.fetch(c.reachable(u)))
	}
}

func checkUpgradePlainStatus(c *checker) {
	if _, there := c.create().reply.request()["migrated_sql_url"]; there {
		c.wrong("create", "no key migrated_sql_url", "it is there")
	}
}
