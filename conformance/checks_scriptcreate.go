package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

func scriptCreateChecks() []check {
	return []check{
		{id: "script/create-answer", rows: rows("S1.4", "S2.1", "S2.4", "S2.7", "S2.8"),
			evidence: EvidenceObserved, needs: needsWrites, gentle: true,
			says: "create, called as the script calls it, answers request_id, token and assigned_host_uri.",
			run:  checkScriptCreateAnswer},
		{id: "script/create-info", rows: rows("S2.9"), evidence: EvidenceObserved, needs: needsWrites, gentle: true,
			says: "create's info is a text, if there is one: the script shows it as a warning.",
			run:  checkScriptCreateInfo},
		{id: "script/create-keys", rows: rows("S2.13"), evidence: EvidenceObserved, needs: needsWrites, gentle: true,
			says: "create answers no key that the script has for something of its own: all of them become its state.",
			run:  checkScriptCreateKeys},
		{id: "script/create-only-keys", rows: rows("S2.13"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "create answers request_id, token, assigned_host_uri, perhaps info, and nothing else.",
			run:  checkScriptCreateOnlyKeys},
		{id: "script/token-form", rows: rows("S2.10"), evidence: EvidenceObserved, needs: needsWrites, gentle: true,
			says: "A token has 58 characters of URL-safe base64, without padding.",
			run:  checkScriptTokenForm},
		{id: "script/token-first", rows: rows("S2.10"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "A token never begins with a hyphen, which a command line would take for an option.",
			run:  checkScriptTokenFirst},
		{id: "script/create-new-request", rows: rows("S2.17"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "Each create makes a new request, with a token of its own.",
			run:  checkScriptCreateNewRequest},
		{id: "script/request-id", rows: rows("S2.12"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "request_id is an integer, higher for each new request.",
			run:  checkScriptRequestID},
		{id: "script/assigned-host", rows: rows("S2.11"), evidence: EvidenceObserved, needs: needsWrites, gentle: true,
			says: "assigned_host_uri is a host, or host:port, without a scheme: the script puts https:// before it, " +
				"and makes rsync's address of it.",
			run: checkScriptAssignedHost},
		{id: "script/assigned-host-reached", rows: rows("S1.3", "S2.11", "S7.6", "S16.2", "S16.3"),
			evidence: EvidenceObserved, needs: needsWrites, gentle: true,
			says: "The assigned host, and status's host_uri, is one that the caller reaches: of a server on this " +
				"machine, this machine; and judged over https, it answers the request's calls at https:// and that " +
				"host.",
			run: checkScriptAssignedHostReached},
		{id: "script/assigned-host-same", rows: rows("S2.11"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "A server on this machine assigns the host and port by which it was called over https.",
			run:  checkScriptAssignedHostSame},
		{id: "script/create-targets", rows: rows("S2.2"), evidence: EvidenceObserved, needs: needsWrites,
			says: "create takes the targets 17.0, 18.0 and 19.0 as they are typed.",
			run:  checkScriptCreateTargets},
		{id: "script/create-aims", rows: rows("S2.3"), evidence: EvidenceObserved, needs: needsWrites,
			says: "create takes the aims test and production.",
			run:  checkScriptCreateAims},
		{id: "script/create-env-vars", rows: rows("S2.5"), evidence: EvidenceObserved, needs: needsWrites,
			says: "create takes env_vars, a list of texts NAME=value.",
			run:  checkScriptCreateEnvVars},
		{id: "script/create-keys-of-ssh", rows: rows("S2.6"), evidence: EvidenceObserved, needs: needsWrites,
			says: "create takes the line of a public key of any type in use, with its comment and line end.",
			run:  checkScriptCreateKeysOfSSH},
		{id: "script/create-versions", rows: rows("S2.7", "S16.6"), evidence: EvidenceObserved, needs: needsWrites,
			says: "create takes the call of V1 to V4, which send no api_version, as well as that of later copies.",
			run:  checkScriptCreateVersions},
	}
}

func checkScriptCreateAnswer(c *checker) {
	var r rpcReply
	if c.opts.Production {
		r = c.upgrade(theDirectory).job(c).created
	} else {
		r = c.createJob()
	}
	if c.object(r.reply); r.refusal != "" {
		c.wrong(r.What, "a new request", "a refusal, "+strconv.Quote(r.refusal)+": does the server know the contract?")
	}
	c.result(r)
	for _, key := range []string{"request_id", "token", "assigned_host_uri"} {
		if r.result[key] == nil || r.result[key] == "" {
			c.wrong(r.What, "result with "+key, r.Summary())
		}
	}
	if isString(r.result["token"]) != "" {
		c.wrong(r.What, "token as a string", r.Summary())
	}
}

func checkScriptCreateInfo(c *checker) {
	r := c.job().created
	if v := r.result["info"]; isStringOrNull(v) != "" {
		c.wrong(r.What, "info "+isStringOrNull(v), show(v))
	}
}

// ownKeys are what the script keeps in the state that create's answer is merged into (row S2.13).
var ownKeys = []string{"aim", "contract", "dbname", "dump", "env_vars", "host", "no_restore", "restore_name", "ssh_key",
	"target"}

func checkScriptCreateKeys(c *checker) {
	r := c.job().created
	for _, key := range ownKeys {
		if v, there := r.result[key]; there {
			c.wrong(r.What, "no key "+key+", which is the script's own", show(v))
		}
	}
}

func checkScriptCreateOnlyKeys(c *checker) {
	r := c.job().created
	for _, key := range sortedKeys(r.result) {
		if !slices.Contains([]string{"request_id", "token", "assigned_host_uri", "info"}, key) {
			c.wrong(r.What, "no other keys than request_id, token, assigned_host_uri and info", "also "+key)
		}
	}
}

var tokenForm = regexp.MustCompile(fmt.Sprintf(`^[A-Za-z0-9_-]{%d}$`, tokenLength))

func checkScriptTokenForm(c *checker) {
	if j := c.job(); !tokenForm.MatchString(j.token) {
		c.wrong(j.created.What, fmt.Sprintf("a token of %d characters of URL-safe base64, without padding", tokenLength),
			fmt.Sprintf("%d characters: %s", len(j.token), show(j.token)))
	}
}

func checkScriptTokenFirst(c *checker) {
	for range 40 {
		if j := c.newJob(); strings.HasPrefix(j.token, "-") {
			c.wrong(j.created.What, "a token that does not begin with a hyphen", show(j.token))
		}
	}
}

func checkScriptCreateNewRequest(c *checker) {
	first := c.newJob()
	r := c.createJob()
	if r.refused() {
		c.skipf("the server refuses a second request while there is another: %s", r.Summary())
	}
	c.result(r)
	id := r.result["request_id"]
	if text(r.result["token"]) == first.token || id != nil && show(id) == show(first.created.result["request_id"]) {
		c.wrong(r.What+" twice", "two requests", "the same request_id or token")
	}
}

func checkScriptRequestID(c *checker) {
	first, second := c.newJob(), c.newJob()
	for _, j := range []job{first, second} {
		if v := j.created.result["request_id"]; isInt(v) != "" {
			c.wrong(j.created.What, "request_id "+isInt(v), show(v))
		}
	}
	a, _ := strconv.ParseInt(first.id, 10, 64)
	if b, _ := strconv.ParseInt(second.id, 10, 64); b <= a {
		c.wrong(second.created.What, fmt.Sprintf("a request_id above %d", a), second.id)
	}
}

func checkScriptAssignedHost(c *checker) {
	r := c.job().created
	if r.result["assigned_host_uri"] == nil {
		c.blocked("script/create-answer", "create gave no assigned_host_uri: %s", r.Summary())
	}
	if problem := badHost(r.result["assigned_host_uri"]); problem != "" {
		c.wrong(r.What, "assigned_host_uri as "+problem, show(r.result["assigned_host_uri"]))
	}
}

func checkScriptAssignedHostReached(c *checker) {
	j := c.job()
	if badHost(j.created.result["assigned_host_uri"]) != "" {
		c.blocked("script/assigned-host", "assigned_host_uri is %s", show(j.created.result["assigned_host_uri"]))
	}
	if c.local && !isLoopback(j.hostName()) {
		c.wrong(j.created.What, "the assigned host on this machine, as is the server", show(j.host))
	}
	if !strings.HasPrefix(c.base, "https:") {
		c.skipf("the assigned host is called over https, and the server is judged over http")
	}
	r := c.statusAt(j, j.host)
	if host := text(r.result["host_uri"]); host != j.host && badHost(host) == "" {
		c.statusAt(j, host)
	}
}

// statusAt is the status of the request as the host answers it.
func (c *checker) statusAt(j job, host string) rpcReply {
	call := c.composeRPC("status", j.auth())
	call.URL = "https://" + host + "/upgrade/request/status"
	call.What = "POST " + call.URL + " with the request's token"
	var r rpcReply
	switch st := c.guard(func() { r = readRPC(c.must(call)) }); {
	case st.verdict == Error && c.ctx.Err() == nil: // nothing is there
		c.wrong(call.What, "an answer", st.message)
	case st.verdict != Pass:
		panic(st)
	}
	if !r.fine() {
		c.wrong(r.What, "the status of the request", r.Summary())
	}
	return r
}

func checkScriptAssignedHostSame(c *checker) {
	if !c.local || !strings.HasPrefix(c.base, "https:") {
		c.skipf("this is about a server on this machine that is judged over https")
	}
	called, _, _ := strings.Cut(strings.TrimPrefix(c.base, "https://"), "/")
	if j := c.newJob(); j.host != called {
		c.wrong(j.created.What, "assigned_host_uri "+show(called), show(j.created.result["assigned_host_uri"]))
	}
}

func checkScriptCreateTargets(c *checker) {
	c.newJob() // by the usual call, which has to go well first
	for _, target := range []string{"17.0", "18.0", "19.0"} {
		c.result(c.createJob(member{"target", target}))
	}
}

func checkScriptCreateAims(c *checker) {
	c.newJob()
	for _, aim := range []string{"test", "production"} {
		c.result(c.createJob(member{"aim", aim}))
	}
}

func checkScriptCreateEnvVars(c *checker) {
	c.newJob()
	c.result(c.createJob(member{"env_vars", []string{"SKIP=1", "TEXT=more than=one word", "EMPTY="}}))
}

func checkScriptCreateKeysOfSSH(c *checker) {
	var refused []rpcReply
	taken := 0
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		line := raw.KeyLine(raw.NewKey(kind))
		for _, end := range []string{"\n", ""} {
			if r := c.createJob(member{"ssh_key", line + end}); r.fine() {
				taken++
			} else {
				refused = append(refused, r)
			}
		}
	}
	switch {
	case taken == 0: // for another reason than the key
		c.blocked("script/create-answer", "create answered %s", refused[0].Summary())
	case len(refused) > 0:
		c.result(refused[0])
	}
}

func checkScriptCreateVersions(c *checker) {
	c.newJob()
	key := raw.NewKey("ed25519")
	p := c.scriptParams(key).without("api_version")
	r := c.result(c.rpc("create", p))
	if _, ok := c.readJob(r, key, p); !ok {
		c.wrong(r.What+" without api_version", "a request with a token", r.Summary())
	}
}

func scriptRefusalChecks() []check {
	refusal := func(id, says string, changed member) check {
		return check{id: "script/" + id, rows: rows("S2.16"), evidence: EvidenceAssumed, says: says,
			run: func(c *checker) { checkScriptRefusal(c, changed) }}
	}
	return []check{
		{id: "script/contract-unknown", rows: rows("S2.16"), evidence: EvidenceAssumed,
			says: "create refuses a contract that is not known.",
			run:  checkScriptContractUnknown},
		refusal("target-invalid", "create refuses a target that is none.", member{"target", "eighteen"}),
		refusal("aim-invalid", "create refuses an aim that is none.", member{"aim", "rehearsal"}),
		refusal("key-invalid", "create refuses an ssh_key that is none.", member{"ssh_key", "ssh-rsa AAAA nobody"}),
		refusal("params-missing", "create refuses a call without a contract.", member{"contract", ""}),
	}
}

func checkScriptRefusal(c *checker, changed member) {
	c.refuses(c.createJob(changed), changed.name+" is none")
}

func checkScriptContractUnknown(c *checker) {
	c.refuses(c.createJob(member{"contract", c.target.UnknownContract}), "the contract is not known")
}
