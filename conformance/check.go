package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// API is one of the two APIs of the platform, whose checks are a group each. The zero API is what a server has.
type API string

// The APIs.
const (
	APIDatabase API = "database" // /database/v1, and SFTP
	APIScript   API = "script"   // /upgrade/request, which the upgrade script calls, and rsync over SSH
	APIAll      API = "all"      // both
)

// ParseAPI reads an API's name; "" is what a server has.
func ParseAPI(s string) (API, error) {
	switch a := API(s); a {
	case "", APIDatabase, APIScript, APIAll:
		return a, nil
	}
	return "", fmt.Errorf("conformance: unknown API %q: want database, script or all", s)
}

// Covers reports whether a run of the API may have checks of that one.
func (a API) Covers(of API) bool { return a == "" || a == APIAll || a == of }

// Evidence is how well a rule of the contract is known.
type Evidence string

// The kinds of evidence.
const (
	EvidenceDocumented      Evidence = "D" // the 11.0 page says it or its sample shows it
	EvidenceDocumentedLater Evidence = "L" // the pages of 12.0 to 14.0 say it
	EvidenceObserved        Evidence = "O" // public client programs that worked against production rely on it
	EvidenceAssumed         Evidence = "A" // not known outside the platform: this project's convention
)

// String returns the evidence in words, such as "documented later".
func (e Evidence) String() string {
	switch e {
	case EvidenceDocumented:
		return "documented"
	case EvidenceDocumentedLater:
		return "documented later"
	case EvidenceObserved:
		return "observed"
	case EvidenceAssumed:
		return "assumed"
	}
	return "evidence " + string(e)
}

// Level says how far a run goes. The zero Level is [LevelObserved].
type Level string

// The levels.
const (
	LevelDocumented Level = "documented" // only what the 11.0 page says
	LevelObserved   Level = "observed"   // and what later pages say and known clients rely on
	LevelAssumed    Level = "assumed"    // and this project's conventions: for emulators, never for production
)

// ParseLevel reads a level's name; "" is [LevelObserved].
func ParseLevel(s string) (Level, error) {
	switch l := Level(s); l {
	case "":
		return LevelObserved, nil
	case LevelDocumented, LevelObserved, LevelAssumed:
		return l, nil
	}
	return "", fmt.Errorf("conformance: unknown level %q: want documented, observed or assumed", s)
}

// Covers reports whether a run of the level asks what has this evidence.
func (l Level) Covers(e Evidence) bool {
	switch e {
	case EvidenceDocumented:
		return true
	case EvidenceDocumentedLater, EvidenceObserved:
		return l != LevelDocumented
	default:
		return l == LevelAssumed
	}
}

// needs is what a check asks of the server beyond answering.
type needs uint8

const (
	needsWrites  needs = 1 << iota // creates requests or uploads
	needsSFTP                      // logs in to the SFTP server
	needsProcess                   // asks the platform to upgrade a dump
	needsWait                      // waits until an upgrade has ended
	needsRsync                     // logs in to the SSH server of a transfer
)

func (n needs) String() string {
	var words []string
	for i, word := range []string{"writes", "sftp", "process", "waits", "rsync"} {
		if n&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ",")
}

// A check is one question to the server.
type check struct {
	id       string
	rows     []string // of the wire contract
	evidence Evidence
	says     string // what the contract asks, one sentence
	needs    needs
	gentle   bool // may be asked of production: reads the one shared request, or creates nothing
	last     bool // runs when all others are done: judges what they have seen, or would disturb them
	run      func(c *checker)
}

// scriptPrefix begins the ids of the checks of the script API.
const scriptPrefix = "script/"

// api is the API that the check is about.
func (c *check) api() API {
	if strings.HasPrefix(c.id, scriptPrefix) {
		return APIScript
	}
	return APIDatabase
}

// phase orders the checks where they share one request: first those that look at the draft, then those that
// look at an uploaded dump, and those that look at the outcome.
func (c *check) phase() int {
	switch {
	case c.last:
		return 3
	case c.needs&needsProcess != 0:
		return 2
	case c.needs&needsWrites != 0:
		return 1
	}
	return 0
}

// Info describes a check.
type Info struct {
	ID       string   `json:"id"`       // such as create/target-invalid; it never changes
	API      API      `json:"api"`      // that the check is about: APIDatabase or APIScript
	Rows     []string `json:"rows"`     // of docs/fidelity.md that the check judges
	Evidence Evidence `json:"evidence"` // for what it asks
	Says     string   `json:"says"`     // what the server must do, in a sentence
	Needs    string   `json:"needs"`    // the words writes, sftp, process, waits and rsync that apply, joined with commas
	Gentle   bool     `json:"gentle"`   // also asked of production
}

// Checks lists every check, in the order of reports.
func Checks() []Info {
	var infos []Info
	for _, c := range allChecks() {
		infos = append(infos, Info{ID: c.id, API: c.api(), Rows: slices.Clone(c.rows), Evidence: c.evidence,
			Says: c.says, Needs: c.needs.String(), Gentle: c.gentle})
	}
	return infos
}

// allChecks is the whole suite, group by group.
func allChecks() []*check {
	groups := [][]check{
		answerChecks(), paramChecks(), createChecks(), createRefusalChecks(), keyChecks(),
		statusChecks(), urlFormChecks(), accessRuleChecks(),
		uploadChecks(), describeChecks(),
		sftpAccessChecks(), sftpLoginChecks(), sftpListingChecks(), sftpWriteChecks(), sftpForbiddenChecks(),
		sftpSessionChecks(),
		processChecks(), doneChecks(), downloadChecks(), skipTestChecks(), upgradeChecks(),

		rpcChecks(), scriptCreateChecks(), scriptRefusalChecks(), scriptStatusChecks(), scriptLogsChecks(),
		scriptTransferChecks(), scriptSSHChecks(), scriptUploadChecks(), scriptProcessChecks(),
		scriptDownloadChecks(), scriptWipeChecks(),
	}
	var all []*check
	for _, group := range groups {
		for i := range group {
			all = append(all, &group[i])
		}
	}
	return all
}

// checkSays is what the check with that id asks of a server.
func checkSays(id string) string {
	for _, c := range allChecks() {
		if c.id == id {
			return c.says
		}
	}
	return "no such check"
}

func rows(r ...string) []string { return r }
