package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// laterMethods tells which of the methods the server has that the 11.0 page doesn't.
type laterMethods struct {
	once sync.Once
	has  map[string]bool
}

// hasMethod reports whether the server has the method: whether it answers it other than one that is surely none.
// Asked without parameters, so nothing comes of it.
func (b *checker) hasMethod(method string) bool {
	b.later.once.Do(func() {
		b.later.has = map[string]bool{}
		probe := b.newChecker(b.run, "later-methods")
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
			b.later.has[m] = r.object != nil && !same && len(r.failures()) > 0 &&
				!(a.Status == 404 && none.Status == 404 && !namesMissing(r))
		}
	})
	return b.later.has[method]
}

// namesMissing reports whether a failure is about a missing parameter: a method that is there misses its own.
func namesMissing(r reply) bool {
	return slices.ContainsFunc(r.failures(), func(f failure) bool { return strings.HasSuffix(f.reason(), ":MISSING") })
}

func (b *checker) needsMethod(method string) {
	if !b.hasMethod(method) {
		b.skipf("the server has no %s: the 11.0 page doesn't either", method)
	}
}

// skipTest calls skip_test.
func skipTest(b *checker, p params) reply {
	return b.api("skip_test", b.way("skip_test"), p)
}

// delivers makes the check of skip_test that takes its parameters in one way.
func delivers(id string, w way, rows []string, says string) check {
	return check{id: "skip-test/" + id, rows: rows, evidence: EvidenceDocumentedLater,
		needs: needsWrites | needsProcess | needsWait, says: says,
		run: func(b *checker) {
			b.needsMethod("skip_test")
			req, _ := b.uploadedAs("aim", "production")
			b.mustProcess(req)
			j := &lifecycle{b: b, req: req, name: "skip", ended: map[string]stop{}, until: "testing"}
			j.follow()
			if state := text(j.field("state")); state != "testing" {
				b.skipf("the upgrade is never seen in testing, its state is %q", state)
			}
			b.failureList(b.api("skip_test", w, req.auth()), true)
			r := b.status(req)
			if r.request()["state"] != "delivered" {
				b.wrong("skip_test in testing and then status", `state "delivered"`, show(r.request()["state"]))
			}
			if a := b.fetch(b.reachable(text(r.request()["upgraded_dump_url"]))); !a.OK() || a.Size == 0 {
				b.wrong(a.What+" in delivered", "the upgraded database", a.Summary())
			}
			b.refusal(skipTest(b, req.auth()), "the request is delivered already")
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

func checkSkipTestRefusedInDraft(b *checker) {
	b.needsMethod("skip_test")
	req, _ := b.uploaded()
	before := b.status(req)
	b.refusal(skipTest(b, req.auth()), "the request is not in testing")
	b.unchanged("skip_test in draft", req, before)
}

func checkSkipTestOnlyInTesting(b *checker) {
	b.needsMethod("skip_test")
	j := b.lifecycle("main")
	if req := j.doneOrStop(b); j.field("state") == "done" {
		b.refusal(skipTest(b, req.auth()), "the request is done")
		if v := b.status(req).request()["state"]; v != "done" {
			b.wrong("skip_test in done and then status", `the state "done"`, show(v))
		}
	}
	var r reply
	b.whileUpgrading(func(request) {}, func(req request) {
		if r = skipTest(b, req.auth()); text(b.status(req).request()["state"]) == "testing" {
			b.skipf("the upgrade is in testing at once")
		}
	})
	b.refusal(r, "the request is not in testing yet")
}

func checkSkipTestStateInvalid(b *checker) {
	b.needsMethod("skip_test")
	r := skipTest(b, b.create().auth())
	b.stateInvalid(r, b.reasoned(r, "STATE:INVALID"), "testing")
}

func checkSkipTestWrongKey(b *checker) {
	b.needsMethod("skip_test")
	req := b.create()
	for _, k := range append(wrongKeys(req.key)[:2],
		struct{ what, key string }{"another request's key", b.create().key}) {
		r := skipTest(b, params{"request", req.id, "key", k.key})
		b.failureList(r, false)
		b.failureFields(r)
		if f, is := r.failure("STATE:INVALID"); is {
			b.wrong("skip_test with "+k.what, "not to be told the state", show(map[string]any(f)))
		}
	}
}

func checkSkipTestAllProblems(b *checker) {
	b.needsMethod("skip_test")
	b.bothMissing(func(p params) reply { return skipTest(b, p) })
}

func checkSkipTestNotFound(b *checker) {
	b.needsMethod("skip_test")
	req := b.create()
	b.notFound(skipTest(b, params{"request", req.id, "key", wrongKeys(req.key)[0].key}), req.id)
	b.notFound(skipTest(b, params{"request", "999999999", "key", req.key}), "999999999")
	b.missing(skipTest(b, nil), "request", "key")
}

func checkSkipTestSFTPDelivered(b *checker) {
	b.needsMethod("skip_test")
	j := b.lifecycle("live")
	req := j.doneOrStop(b)
	if j.field("state") != "delivered" {
		b.skipf("the state is %s, not delivered", show(j.field("state")))
	}
	key := raw.NewKey("ed25519")
	b.opens(req, b.composeAccess(req.auth(), raw.KeyLine(key)+"\n"), key)
}

// uploadedAs is a request of the check's own with its dump, create's parameters changed by kv.
func (b *checker) uploadedAs(kv ...string) (request, []byte) {
	req := b.create(kv...)
	dump := b.dump()
	b.put(req, dump)
	return req, dump
}

// callUpgrade asks for everything in one call: the parameters in the query, the dump as the body.
func callUpgrade(b *checker, p params, dump []byte) reply {
	return readReply(b.must(raw.Call{Method: "POST", URL: b.methodURL("upgrade") + "?" + p.encode(),
		ContentType: "application/octet-stream", Body: dump,
		What: fmt.Sprintf("POST upgrade %s with %d bytes", p, len(dump))}))
}

// upgradeParams are what upgrade is asked with.
func upgradeParams(b *checker) params {
	return b.createParams().without("filename").with("postgresql", "9.3")
}

// beginUpgrade calls upgrade, and ends the check unless it made a request.
func beginUpgrade(b *checker, p params, dump []byte) (request, reply) {
	b.needsMethod("upgrade")
	r := b.accepted(callUpgrade(b, p, dump))
	req, ok := b.readRequest(r, p)
	if !ok {
		b.wrong(r.What, "a request as create answers it", r.Summary())
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

func checkUpgradeAnswer(b *checker) {
	_, r := beginUpgrade(b, upgradeParams(b).with("run", "False", "dbname", "prod"), b.dump())
	b.failureList(r, true)
	b.allKeys(r)
}

func checkUpgradeProcesses(b *checker) {
	req, _ := beginUpgrade(b, upgradeParams(b), b.dump())
	if v := b.status(req).request()["state"]; v == "draft" {
		b.wrong("upgrade and then status", "a state other than draft", show(v))
	}
}

func checkUpgradeBytes(b *checker) {
	b.needsMethod("upgrade")
	dump := sqlDump("9.4.5", everyByte())
	p := upgradeParams(b)
	c := raw.Call{Method: "POST", URL: b.methodURL("upgrade") + "?" + p.encode(), ContentType: formType, Body: dump,
		What: "POST upgrade " + p.String() + " with the Content-Type of a form"}
	r := b.accepted(readReply(b.must(c)))
	req, ok := b.readRequest(r, p)
	if !ok {
		b.blocked("upgrade/answer", "upgrade answered %s", r.Summary())
	}
	b.holds(req, c.What, dump)
}

func checkUpgradeMultipartBody(b *checker) {
	b.needsMethod("upgrade")
	p := upgradeParams(b)
	c := raw.Call{Method: "POST", URL: b.methodURL("upgrade") + "?" + p.encode(),
		What: "POST upgrade " + p.String() + " with a multipart body"}
	c.ContentType, c.Body = multipartBody(nil,
		&filePart{field: "dump", filename: "x.sql", ctype: "application/octet-stream", data: sqlDump("9.4.5", nil)})
	r := b.accepted(readReply(b.must(c)))
	req, ok := b.readRequest(r, p)
	if !ok {
		b.blocked("upgrade/answer", "upgrade answered %s", r.Summary())
	}
	b.holds(req, c.What, c.Body)
}

func checkUpgradeMigratedSQLURL(b *checker) {
	req, _ := beginUpgrade(b, upgradeParams(b), b.dump())
	m := b.status(req).request()
	if v := text(m["migrated_sql_url"]); v == "" || v != text(m["upgraded_sql_url"]) {
		b.wrong("upgrade and then status", "migrated_sql_url equal to upgraded_sql_url, "+show(m["upgraded_sql_url"]),
			show(m["migrated_sql_url"]))
	}
}

func checkUpgradePostgresql(b *checker) {
	dumps := map[string][]byte{`"9.4"`: sqlDump("9.4.5", nil),
		`"9.3"`: []byte("-- a dump that does not tell its version\nCREATE TABLE res_users (id integer);\n")}
	for _, want := range sortedKeys(dumps) {
		req, r := beginUpgrade(b, upgradeParams(b), dumps[want])
		b.shows(r, "upgrade with postgresql=9.3", "postgresql", want)
		b.shows(b.status(req), "upgrade with postgresql=9.3 and then status", "postgresql", want)
	}
}

func checkUpgradeFilename(b *checker) {
	_, r := beginUpgrade(b, upgradeParams(b), b.dump())
	b.shows(r, "upgrade without filename", "filename", show(b.target.Contract+".sql"))
	_, r = beginUpgrade(b, upgradeParams(b).with("filename", "mine.dump"), b.dump())
	b.shows(r, "upgrade with the filename mine.dump", "filename", `"mine.dump"`)
}

func checkUpgradeRefusals(b *checker) {
	b.needsMethod("upgrade")
	r := callUpgrade(b, upgradeParams(b).set("target", "5.0").set("contract", b.target.UnknownContract), b.dump())
	b.reasoned(r, "TARGET:INVALID")
	b.reasoned(r, "CONTRACT:NOT_FOUND")
}

func checkUpgradeAllProblems(b *checker) {
	b.needsMethod("upgrade")
	for _, c := range []problems{
		{params: nil, least: 4},
		{params: upgradeParams(b).without("email").set("target", "5.0"), least: 2,
			reasons: []string{"TARGET:INVALID"}},
	} {
		b.counted(callUpgrade(b, c.params, b.dump()), c)
	}
}

func checkUpgradeDone(b *checker) {
	dump := fixture("openchs.sql")
	req, _ := beginUpgrade(b, upgradeParams(b), dump)
	j := &lifecycle{b: b, req: req, name: "upgrade", ended: map[string]stop{}}
	j.follow()
	switch state := text(j.field("state")); state {
	case "done", "delivered":
	case "draft":
		b.blocked("upgrade/processes", "the state is still draft")
	default:
		b.blocked("process/reaches-done", "the state is %q", state)
	}
	if u := text(j.field("migrated_sql_url")); u != "" {
		b.textual(b.fetch(b.reachable(u)))
	}
}

func checkUpgradePlainStatus(b *checker) {
	if _, there := b.create().reply.request()["migrated_sql_url"]; there {
		b.wrong("create", "no key migrated_sql_url", "it is there")
	}
}
