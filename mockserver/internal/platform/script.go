package platform

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The APIs over which requests come.
const (
	APIDatabase = scenario.APIDatabase // /database/v1
	APIScript   = scenario.APIScript   // what the upgrade script speaks (docs/fidelity.md, rows S1.1 and on)
)

const (
	tokenBytes  = 43       // row S2.10: 58 characters
	maxSSHKey   = 16 << 10 // bytes of a public key's line; 16,384 bits of RSA take 2,800
	maxEnvVars  = 64 << 10 // bytes of all env_vars together
	maxActuator = 100
)

// ScriptParams are the parameters of the script API's create, as they came; "" is absent.
type ScriptParams struct {
	Contract, Target, Aim, Actuator, APIVersion string

	SSHKey  string // the line of a public key
	EnvVars []string
}

// CreateScript makes a request of the script API in state new, whose token is the snapshot's Key (docs/fidelity.md,
// rows S2.1 to S2.17). The failures' messages are for people.
func (p *Platform) CreateScript(params ScriptParams) (Snapshot, Failures) {
	key, fails := p.checkScript(&params)
	if fails != nil {
		return Snapshot{}, fails
	}
	create := params.create()
	p.mu.Lock()
	defer p.mu.Unlock()
	r, fails := p.createLocked(create, tokenBytes, func(rec *record) {
		rec.ScriptAPI = &scriptOrigin{
			Actuator: strings.Clone(params.Actuator), APIVersion: strings.Clone(params.APIVersion), SSHKey: key,
			EnvVars: cloned(params.EnvVars),
		}
	})
	for i := range fails {
		fails[i].Message += "; try again later"
	}
	if fails != nil {
		return Snapshot{}, fails
	}
	return r.snapshotLocked(), nil
}

// create is what a scenario can look at.
func (s ScriptParams) create() CreateParams {
	return CreateParams{
		API: APIScript, Contract: s.Contract, Target: s.Target, Aim: s.Aim, Actuator: s.Actuator, APIVersion: s.APIVersion,
	}
}

// cloned is a copy of texts that keeps nothing else in memory.
func cloned(texts []string) []string {
	var copied []string
	for _, text := range texts {
		copied = append(copied, strings.Clone(text))
	}
	return copied
}

// plausibleTarget is the version of Odoo that a database may be upgraded to: 17.0, saas~17.4. The script came in 2020,
// when 13.0 was the latest: that nothing earlier is a target is assumed.
var plausibleTarget = regexp.MustCompile(`^(?:(?:1[3-9]|[2-9]\d)\.0|saas[~-](?:1[3-9]|[2-9]\d)(?:\.[1-9]\d?)?)$`)

// checkScript takes blanks off the parameters, and returns the key in wire form, or everything that is wrong.
func (p *Platform) checkScript(params *ScriptParams) (key string, fails Failures) {
	for _, s := range []*string{
		&params.Contract, &params.Target, &params.Aim, &params.Actuator, &params.APIVersion, &params.SSHKey,
	} {
		*s = strings.TrimSpace(*s)
	}
	add := func(reason, message, why string) {
		fails = append(fails, Failure{Reason: reason, Message: message, Why: why})
	}
	switch {
	case params.Contract == "":
		add("CONTRACT:MISSING", "The contract is missing: give the number of your Odoo Enterprise contract",
			"the call carries no contract")
	case !p.knows(params.Contract):
		add(ReasonContractNotFound, fmt.Sprintf("There is no contract %s: check the number of your Odoo Enterprise contract",
			quoted(params.Contract)), "the contract matches none that this emulator was told to know")
	}
	switch valid := p.opts.ScriptTargets; {
	case params.Target == "":
		add("TARGET:MISSING", "The target is missing: name the version to upgrade to, such as 18.0",
			"the call carries no target")
	case valid == nil && !plausibleTarget.MatchString(params.Target):
		add(ReasonTargetInvalid, fmt.Sprintf("%s is no version to upgrade to: name one such as 18.0, or saas~18.1",
			quoted(params.Target)), "the target is no version of Odoo")
	case valid != nil && !slices.Contains(valid, params.Target):
		add(ReasonTargetInvalid, fmt.Sprintf("There are no upgrades to %s: choose one of %s", quoted(params.Target),
			strings.Join(valid, ", ")), "the target is not in the list of valid targets")
	}
	if !slices.Contains(aims, params.Aim) {
		add(ReasonAimInvalid, fmt.Sprintf("The aim is %s: choose test or production", quoted(params.Aim)),
			"the aim is neither test nor production")
	}
	key, why := publicKey(params.SSHKey)
	if why != "" {
		add(ReasonSSHKeysInvalid, "The SSH key cannot be used: "+why, "ssh_key: "+why)
	}
	if why := tooMuch(params); why != "" {
		add("PARAMETERS:INVALID", why, why)
	}
	return key, fails
}

// publicKey returns the key on the line in SSH wire form and base64, or why there is none.
func publicKey(line string) (wire, why string) {
	switch {
	case line == "":
		return "", "there is none; send the line of a public key, as ssh-keygen writes it to a file ending in .pub"
	case len(line) > maxSSHKey:
		return "", fmt.Sprintf("it has %d bytes; send the line of a public key, which has less than %d", len(line), maxSSHKey)
	}
	keys, problems := sshkeys.Parse(line)
	switch {
	case len(problems) > 0:
		return "", problems[0].Why
	case len(keys) > 1 || strings.ContainsAny(line, "\r\n"):
		return "", "there are several lines; send the one line of a public key"
	}
	return keys[0], ""
}

// tooMuch says which of the parameters that are only kept is too long; "" if none is.
func tooMuch(params *ScriptParams) string {
	size := 0
	for _, v := range params.EnvVars {
		size += len(v) + 1
	}
	switch {
	case size > maxEnvVars:
		return fmt.Sprintf("The environment variables have %d bytes: send fewer of them, up to %d bytes", size, maxEnvVars)
	case len(params.Actuator) > maxActuator || len(params.APIVersion) > maxActuator:
		return fmt.Sprintf("The actuator or the api_version has more than %d bytes: send a short one", maxActuator)
	}
	return ""
}

// quoted is what a client sent, as far as it may be shown.
func quoted(text string) string { return fmt.Sprintf("%.100q", sshkeys.Hide(text)) }

// scriptLocked is the script with the script API's steps where it has none of its own. Requests share the result.
func (p *Platform) scriptLocked(script *scenario.Scenario) *scenario.Scenario {
	if len(script.Steps) > 0 {
		return script
	}
	if p.stepped.from != script {
		stepped := *script
		stepped.Steps = scenario.DefaultScript().Steps
		p.stepped.from, p.stepped.to = script, &stepped
	}
	return p.stepped.to
}

// noToken is the one answer for every token that does not fit.
func noToken() Failures {
	return Failures{{
		Reason: ReasonRequestNotFound,
		Message: "There is no upgrade request with this token: check the token and the server, or begin a " +
			"new upgrade",
		Why: "the token is that of no request",
	}}
}

// FindToken returns the request of the script API with that token. All tokens that do not fit get one answer, in words
// and in time: the token is looked up by its hash.
func (p *Platform) FindToken(token string) (*Request, Failures) {
	sum := sha256.Sum256([]byte(token))
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.tokens[sum]
	if r == nil {
		return nil, noToken()
	}
	return r, nil
}

// API returns the API over which the request came.
func (r *Request) API() string {
	if r.rec.ScriptAPI != nil {
		return APIScript
	}
	return APIDatabase
}

// SSHKey returns the key that a request of the script API was created with, in SSH wire form and base64; "" for one of
// the database API.
func (r *Request) SSHKey() string {
	if r.rec.ScriptAPI == nil {
		return ""
	}
	return r.rec.ScriptAPI.SSHKey
}
