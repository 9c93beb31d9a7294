package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

func createRefusalChecks() []check {
	checks := []check{
		{id: "create/target-invalid", rows: rows("2"), evidence: EvidenceDocumented, gentle: true,
			says: "A target that is not valid is refused with TARGET:INVALID, its value and the documented message.",
			run:  checkCreateTargetInvalid},
		{id: "create/target-expected", rows: rows("2", "3.2", "3.3"), evidence: EvidenceDocumented, gentle: true,
			says: "TARGET:INVALID lists the valid targets in expected: strings, in ascending order, none left out.",
			run:  checkCreateTargetExpected},
		{id: "create/target-exact", rows: rows("2"), evidence: EvidenceDocumented, gentle: true,
			says: "What is not in the list of targets is refused, however near to one it is.",
			run:  checkCreateTargetExact},
		{id: "create/contract-unknown", rows: rows("2"), evidence: EvidenceDocumented, gentle: true,
			says: "An unknown contract is refused with CONTRACT:NOT_FOUND, its code and the documented message.",
			run:  checkCreateContractUnknown},
		{id: "create/all-problems", rows: rows("1.8"), evidence: EvidenceDocumented, gentle: true,
			says: "All problems of a call are reported together: an invalid target and an unknown contract give two " +
				"objects.",
			run: checkCreateAllProblems},
		{id: "create/all-problems-counted", rows: rows("1.8", "3.1"), evidence: EvidenceDocumented, gentle: true,
			says: "Each problem of a call is a failure of its own, whether a parameter is missing or invalid.",
			run:  checkCreateAllProblemsCounted},
		{id: "create/all-problems-assumed", rows: rows("1.8", "2"), evidence: EvidenceAssumed,
			says: "Missing and invalid parameters are reported together, too, one object each.",
			run:  checkCreateAllProblemsAssumed},
		{id: "create/aim-checked", rows: rows("3.5"), evidence: EvidenceDocumented, gentle: true,
			says: "Another aim than test or production is refused.",
			run:  checkCreateAimChecked},
		{id: "create/aim-invalid", rows: rows("2"), evidence: EvidenceAssumed,
			says: "Another aim is refused with AIM:INVALID, its value and the two expected.",
			run:  checkCreateAimInvalid},
		{id: "create/email-invalid", rows: rows("2"), evidence: EvidenceAssumed,
			says: "What is not plausibly an address is refused with EMAIL:INVALID and its value.",
			run:  checkCreateEmailInvalid},
		{id: "create/email-blank", rows: rows("2"), evidence: EvidenceObserved, needs: needsWrites,
			says: "A blank before or behind the address is no fault: a published client sends one.",
			run:  checkCreateEmailBlank},
		{id: "create/filename-invalid", rows: rows("2"), evidence: EvidenceAssumed,
			says: "A file name that is none, or leads elsewhere, is refused with FILENAME:INVALID and its value.",
			run:  checkCreateFilenameInvalid},
		{id: "create/timezone-invalid", rows: rows("2"), evidence: EvidenceAssumed,
			says: "A time zone that is no IANA name is refused with TIMEZONE:INVALID and its value.",
			run:  checkCreateTimezoneInvalid},
	}
	for _, name := range []string{"contract", "email", "target", "aim", "filename"} {
		checks = append(checks,
			check{id: "create/requires-" + name, rows: rows("3.1"), evidence: EvidenceDocumented, gentle: true,
				says: "create without " + name + " is refused.",
				run:  func(c *checker) { checkCreateRequires(c, name) }},
			check{id: "create/missing-" + name, rows: rows("2"), evidence: EvidenceAssumed,
				says: name + " absent or empty is refused with " + strings.ToUpper(name) + ":MISSING.",
				run:  func(c *checker) { checkCreateMissing(c, name) }})
	}
	return checks
}

func checkCreateTargetInvalid(c *checker) {
	r := c.api("create", c.way("create"), c.createParams().set("target", "5.0"))
	f := c.reasoned(r, "TARGET:INVALID")
	c.hasKey(r, f, "value", "5.0")
	c.hasKey(r, f, "message", `Invalid value "5.0"`)
	c.reasonsExactly(r, "TARGET:INVALID")
}

func checkCreateTargetExpected(c *checker) {
	r := c.api("create", c.way("create"), c.createParams().set("target", "5.0"))
	f := c.reasoned(r, "TARGET:INVALID")
	list, ok := f["expected"].([]any)
	if !ok || len(list) == 0 {
		c.wrong(r.What, "expected as a list of targets", show(f["expected"]))
	}
	var targets []string
	for _, v := range list {
		s, ok := v.(string)
		if !ok || !regexp.MustCompile(`^(saas-)?\d+\.\d+$`).MatchString(strings.ReplaceAll(s, "~", "-")) {
			c.wrong(r.What, "expected as a list of version strings", show(list))
		}
		targets = append(targets, s)
	}
	if !slices.IsSortedFunc(targets, compareRows) || len(slices.Compact(slices.Clone(targets))) != len(targets) {
		c.wrong(r.What, "expected in the order of versions, each once", show(list))
	}
	if problem := documentedTargets(targets); problem != "" {
		c.wrong(r.What, problem, show(list))
	}
}

func checkCreateTargetExact(c *checker) {
	near := []string{"99.0", "latest", "master"}
	if c.learned.targets != nil {
		t := c.learned.targets[len(c.learned.targets)-1]
		near = append(near, strings.TrimSuffix(t, ".0"), t+".0", t+"x", "v"+t, "1"+t)
		near = append(near, releases...)
	}
	if c.opts.Production {
		near = near[:1]
	}
	for _, target := range near {
		if slices.Contains(c.learned.targets, target) {
			continue
		}
		r := c.api("create", c.way("create"), c.createParams().set("target", target))
		c.readRequest(r, nil)
		f := c.reasoned(r, "TARGET:INVALID")
		c.hasKey(r, f, "value", target)
	}
}

func checkCreateContractUnknown(c *checker) {
	r := c.api("create", c.way("create"), c.createParams().set("contract", c.target.UnknownContract))
	c.readRequest(r, nil)
	f := c.reasoned(r, "CONTRACT:NOT_FOUND")
	c.hasKey(r, f, "code", c.target.UnknownContract)
	c.hasKey(r, f, "message", "Can not find contract "+c.target.UnknownContract)
	c.reasonsExactly(r, "CONTRACT:NOT_FOUND")
}

func checkCreateAllProblems(c *checker) {
	r := c.object(c.api("create", c.way("create"),
		c.createParams().set("target", "5.0").set("contract", c.target.UnknownContract)))
	var reasons []string
	for _, f := range r.failures() {
		reasons = append(reasons, f.reason())
	}
	slices.Sort(reasons)
	if want := []string{"CONTRACT:NOT_FOUND", "TARGET:INVALID"}; !slices.Equal(reasons, want) {
		c.wrong(r.What, fmt.Sprintf("two failures, %v", want), r.Summary())
	}
}

func checkCreateAllProblemsCounted(c *checker) {
	usual := c.createParams()
	cases := []problems{
		{params: nil, least: 5},
		{params: usual.without("email", "filename").set("target", "5.0").set("contract", c.target.UnknownContract),
			least: 4, reasons: []string{"TARGET:INVALID", "CONTRACT:NOT_FOUND"}},
		{params: usual.without("email", "aim"), least: 2},
		{params: usual.without("email").set("target", "5.0"), least: 2, reasons: []string{"TARGET:INVALID"}},
		{params: usual.without("filename").set("contract", c.target.UnknownContract), least: 2,
			reasons: []string{"CONTRACT:NOT_FOUND"}},
		{params: usual.without("target").set("aim", "prod"), least: 2},
	}
	if c.opts.Production {
		cases = cases[:2]
	}
	for _, p := range cases {
		r := c.api("create", c.way("create"), p.params)
		c.readRequest(r, nil)
		c.counted(r, p)
	}
}

func checkCreateAllProblemsAssumed(c *checker) {
	p := params{"contract", c.target.UnknownContract, "target", "5.0", "aim", "prod", "email", "john"}
	r := c.object(c.api("create", c.way("create"), p))
	for _, r := range []reply{r, c.object(c.api("create", c.way("create"), nil))} {
		if n := len(r.failures()); n != 5 {
			c.wrong(r.What, "five failures, one for each parameter", r.Summary())
		}
	}
}

func checkCreateAimChecked(c *checker) {
	for _, aim := range []string{"prod", "tests", "preview"} {
		r := c.api("create", c.way("create"), c.createParams().set("aim", aim))
		c.readRequest(r, nil)
		c.refusal(r, "the aim is neither test nor production")
	}
}

func checkCreateAimInvalid(c *checker) {
	r := c.api("create", c.way("create"), c.createParams().set("aim", "prod"))
	f := c.reasoned(r, "AIM:INVALID")
	c.hasKey(r, f, "value", "prod")
	c.hasKey(r, f, "message", `Invalid value "prod"`)
	if got := show(f["expected"]); got != `["test","production"]` && got != `["production","test"]` {
		c.wrong(r.What, `expected ["test","production"]`, got)
	}
}

func checkCreateEmailInvalid(c *checker) {
	for _, email := range []string{"john", "john@", "@example.com", "a b@example.com"} {
		r := c.api("create", c.way("create"), c.createParams().set("email", email))
		c.readRequest(r, nil)
		f := c.reasoned(r, "EMAIL:INVALID")
		c.hasKey(r, f, "value", email)
		c.hasKey(r, f, "message", fmt.Sprintf("Invalid value %q", email))
	}
}

func checkCreateEmailBlank(c *checker) {
	for _, email := range []string{" john.doe@example.com", "john.doe@example.com "} {
		p := c.createParams().set("email", email)
		r := c.accepted(c.api("create", c.way("create"), p))
		c.readRequest(r, p)
	}
}

func checkCreateFilenameInvalid(c *checker) {
	for _, name := range []string{".", "..", strings.Repeat("n", 256), "a/b.dump", "../b.dump", `a\b.dump`, "a\x00b",
		"a\nb", "a\x7fb", "a\x1bb"} {
		r := c.api("create", c.way("create"), c.createParams().set("filename", name))
		c.readRequest(r, nil)
		f := c.reasoned(r, "FILENAME:INVALID")
		c.hasKey(r, f, "value", name)
	}
	p := c.createParams().set("filename", strings.Repeat("n", 250)+".dump")
	c.readRequest(c.accepted(c.api("create", c.way("create"), p)), p)
}

func checkCreateTimezoneInvalid(c *checker) {
	for _, zone := range []string{"Mars/Olympus", "../../etc/passwd"} {
		r := c.api("create", c.way("create"), c.createParams().with("timezone", zone))
		c.readRequest(r, nil)
		c.hasKey(r, c.reasoned(r, "TIMEZONE:INVALID"), "value", zone)
	}
}

func checkCreateRequires(c *checker, name string) {
	r := c.api("create", c.way("create"), c.createParams().without(name))
	c.readRequest(r, nil)
	c.refusal(r, name+" is required")
}

func checkCreateMissing(c *checker, name string) {
	for _, p := range []params{c.createParams().without(name), c.createParams().set(name, "")} {
		r := c.api("create", c.way("create"), p)
		c.readRequest(r, nil)
		if !r.refused() {
			c.blocked("create/requires-"+name, "create without %s is not refused", name)
		}
		c.missing(r, name)
	}
}

// releases are the targets that clients have offered, and those after them.
var releases = []string{"6.0", "6.1", "7.0", "8.0", "9.0", "10.0", "11.0", "12.0", "13.0", "14.0", "15.0", "16.0",
	"17.0", "18.0", "19.0"}

// problems are a call's parameters, with what is wrong with them: how many things at least, and reasons that must be
// among them.
type problems struct {
	params  params
	least   int
	reasons []string
}

// counted ends the check unless the reply has a failure for each problem.
func (c *checker) counted(r reply, p problems) {
	c.object(r)
	if n := len(r.failures()); n < p.least {
		c.wrong(r.What, fmt.Sprintf("%d failures, one object for each problem", p.least),
			fmt.Sprintf("%d: %s", n, r.Summary()))
	}
	for _, reason := range p.reasons {
		c.reasoned(r, reason)
	}
}

// missing ends the check unless the reply is exactly <NAME>:MISSING with its message.
func (c *checker) missing(r reply, names ...string) {
	var want []string
	for _, name := range names {
		want = append(want, strings.ToUpper(name)+":MISSING")
		f := c.reasoned(r, strings.ToUpper(name)+":MISSING")
		c.hasKey(r, f, "message", fmt.Sprintf("Missing parameter %q", name))
	}
	c.reasonsExactly(r, want...)
}

// reasonsExactly ends the check unless the failures have exactly these reasons, in any order.
func (c *checker) reasonsExactly(r reply, want ...string) {
	c.object(r)
	var got []string
	for _, f := range r.failures() {
		got = append(got, f.reason())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		c.wrong(r.What, fmt.Sprintf("failures with the reasons %v", want), r.Summary())
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
