package refserver

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// job is a request of the script API.
type job struct {
	number   int
	token    string
	contract string
	target   string
	key      ssh.PublicKey
	in, out  string // the directories of what was uploaded, and of the results
	state    string
	steps    []string // the states still to come
	polls    int      // in progress
	archived bool
	whole    bool // the last upload ended well
	uploads  int
	asked    bool  // process was
	ports    []int // of the transfers so far
	transfer *transfer
	replaced []*transfer
}

// over reports whether nothing more happens to the request.
func (j *job) over() bool { return slices.Contains([]string{"done", "failed", "cancelled"}, j.state) }

// log is the log of the upgrade, as far as it has come.
func (j *job) log() string {
	var b strings.Builder
	lines := 0
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, "2026-11-28 10:%02d:%02d,001 7 INFO db_%d odoo.", lines/60%60, lines%60, j.number)
		fmt.Fprintf(&b, format+"\n", args...)
		lines++
	}
	line("service.server: database of the Société Générale, to %s", j.target)
	for i := range j.polls {
		line("modules.migration: step %d", i)
	}
	if j.over() {
		line("service.server: %s", j.state)
	}
	return b.String()
}

var version = regexp.MustCompile(`^\d+\.\d$`)

// create answers create.
func (s *Script) create(host string, p map[string]any) (map[string]any, error) {
	contract, target, aim := str(p, "contract"), str(p, "target"), str(p, "aim")
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(str(p, "ssh_key")))
	switch {
	case s.is("create takes anything") && err == nil:
	case contract == "", contract == "M123456-abcxyz":
		return nil, problem("We have no subscription " + contract + ".")
	case !version.MatchString(target):
		return nil, problem("There is no way to " + target + ".")
	case aim != "test" && aim != "production":
		return nil, problem("Neither a test nor for production.")
	case err != nil && !s.is("create takes any key"):
		return nil, problem("The key cannot be read.")
	case err != nil:
		key = s.hostKey.PublicKey()
	}
	raw := make([]byte, 43)
	rand.Read(raw)
	j := &job{number: 70001 + len(s.jobs), contract: contract, target: target, key: key, state: "new"}
	j.token = base64.RawURLEncoding.EncodeToString(raw)
	if s.is("differently") && len(s.jobs)%2 == 1 {
		j.token = "-" + j.token[1:] // the rest is as hard to guess
	} else if j.token[0] == '-' {
		j.token = "0" + j.token[1:]
	}
	j.in, j.out = filepath.Join(s.dir, fmt.Sprint(j.number), "in"), filepath.Join(s.dir, fmt.Sprint(j.number), "out")
	for _, dir := range []string{j.in, j.out} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	s.jobs = append(s.jobs, j)
	result := map[string]any{"request_id": j.number, "token": j.token, "assigned_host_uri": host}
	if s.is("differently") {
		result["request_id"] = fmt.Sprintf("UPG/%d", 90000-j.number)
		result["info"] = "The platform is under maintenance on Sunday."
		result["node"], result["queue"] = map[string]any{"name": "upgrade-7"}, []any{}
	}
	return result, nil
}

// open is the request that the token of the params opens.
func (s *Script) open(p map[string]any) (*job, error) {
	token := str(p, "token")
	if j := s.find(token); j != nil {
		return j, nil
	}
	if s.is("any token opens") && len(s.jobs) > 0 {
		return s.jobs[len(s.jobs)-1], nil
	}
	if s.is("unknown tokens in several words") {
		return nil, problem(fmt.Sprintf("Token %.6s is unknown.", token))
	}
	if s.is("differently") {
		return nil, problem("Access denied.")
	}
	return nil, problem("There is no request with this token.")
}

// start answers transfer/start.
func (s *Script) start(host string, p map[string]any) (map[string]any, error) {
	j, err := s.open(p)
	if err != nil {
		return nil, err
	}
	kind := str(p, "transfer_type")
	switch {
	case kind != "upload" && kind != "download":
		return nil, problem("A transfer is an upload or a download.")
	case j.archived && !s.is("wipe leaves the dumps"):
		return nil, problem("The request is archived.")
	case s.is("uploads in any state") && kind == "upload", s.is("downloads in any state") && kind == "download":
	case kind == "upload" && j.state != "new" && !(s.is("differently") && !j.over()),
		kind == "download" && j.state != "done":
		return nil, problem("Not now: the request is " + j.state + ".")
	}
	if kind == "upload" && s.is("files not kept after a break") {
		if err := empty(j.in); err != nil {
			return nil, err
		}
	}
	if j.transfer != nil {
		j.replaced = append(j.replaced, j.transfer)
		if !s.is("differently") && !s.is("the port of before stays open") {
			j.transfer.close()
		}
	}
	j.transfer, err = s.newTransfer(j, kind == "upload")
	if err != nil {
		return nil, err
	}
	result := map[string]any{"ssh_port": j.transfer.port(), "known_hosts": j.transfer.knownHosts(host)}
	if s.is("differently") {
		result["ssh_port"] = fmt.Sprint(j.transfer.port())
		result["expires"] = 300
	}
	if kind == "download" {
		result["dump_name"] = j.dumpName()
	}
	return result, nil
}

// stop answers transfer/stop.
func (s *Script) stop(_ string, p map[string]any) (map[string]any, error) {
	j, err := s.open(p)
	if err != nil {
		return nil, err
	}
	if j.transfer == nil && (s.is("differently") || s.is("stop wants a transfer")) {
		return nil, problem("Nothing to stop.")
	}
	if !s.is("the port stays open after stop") {
		j.transfer.close()
		for _, old := range j.replaced {
			old.close()
		}
		j.transfer = nil
	}
	return map[string]any{}, nil
}

// process answers process.
func (s *Script) process(_ string, p map[string]any) (map[string]any, error) {
	j, err := s.open(p)
	switch {
	case err != nil:
		return nil, err
	case s.is("process at any time") && j.over():
	case j.over() || j.archived:
		return nil, problem("It is too late for that.")
	case j.state == "new" && !j.complete() && !s.is("process takes what is not there"):
		return nil, problem("The dump is not there, or not whole.")
	}
	if j.state == "new" && !s.is("process starts nothing") || s.is("process at any time") && j.over() {
		if !s.is("the port stays open in process") {
			j.transfer.close()
		}
		j.state, j.steps = s.Steps[0], slices.Clone(s.Steps[1:])
		if err := s.reached(j); err != nil {
			return nil, err
		}
	} else if s.is("a second process begins again") {
		j.state, j.steps = "new", nil
	} else if s.is("a second process is refused") {
		return nil, problem("That was asked before.")
	}
	result := map[string]any{"is_pg_version_compatible": !j.asked || !s.is("a second process says otherwise")}
	j.asked = true
	if s.is("differently") {
		result["is_pg_version_compatible"], result["position"] = false, 3
	}
	return result, nil
}

// reached is what is to be done when a state is.
func (s *Script) reached(j *job) error {
	if j.state != "done" {
		return nil
	}
	if err := j.results(s.is("differently")); err != nil {
		return err
	}
	return nil
}

// status answers status. Each state after process lasts one poll.
func (s *Script) status(host string, p map[string]any) (map[string]any, error) {
	j, err := s.open(p)
	if err != nil {
		return nil, err
	}
	result := map[string]any{"status": j.state, "host_uri": host, "reason": nil, "archived": j.archived}
	if j.state == "failed" && s.Reason != "" {
		result["reason"] = s.Reason
	}
	if s.is("differently") {
		if !j.archived {
			delete(result, "archived")
		}
		if j.state != "failed" {
			delete(result, "reason")
		}
		result["progress"] = 0.5
	}
	if j.state == "progress" {
		j.polls++
	}
	if s.is("process starts nothing") && j.asked && j.state == "new" {
		j.state, j.steps = s.Steps[0], slices.Clone(s.Steps[1:]) // with the first poll
	}
	if len(j.steps) > 0 {
		j.state, j.steps = j.steps[0], j.steps[1:]
		return result, s.reached(j)
	}
	return result, nil
}

// wipe answers wipe.
func (s *Script) wipe(_ string, p map[string]any) (map[string]any, error) {
	j, err := s.open(p)
	if err != nil {
		return nil, err
	}
	if j.contract != str(p, "contract") && !s.is("wipe for all contracts") {
		return nil, problem("The token and the contract do not belong together.")
	}
	wiped := []any{}
	for _, other := range s.jobs {
		if other.contract != j.contract && !s.is("wipe for others as well") ||
			other.archived && !s.is("a second wipe lists all again") {
			continue
		}
		if s.is("wipe takes only one request") && other != j {
			continue
		}
		other.archived = !s.is("wiped requests are not archived")
		other.transfer.close()
		if !other.over() && other.state != "new" && !s.is("wipe cancels nothing") {
			other.state, other.steps = "cancelled", nil
		}
		for _, dir := range []string{other.in, other.out} {
			if s.is("wipe leaves the dumps") {
				continue
			}
			if err := empty(dir); err != nil {
				return nil, err
			}
		}
		var id any = other.number
		if s.is("differently") {
			id = map[string]any{"id": other.number, "name": fmt.Sprintf("UPG/%d", other.number)}
		}
		wiped = append(wiped, id)
	}
	return map[string]any{"wiped": wiped, "failed": []any{}}, nil
}
