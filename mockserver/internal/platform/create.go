package platform

import (
	"cmp"
	"fmt"
	"net/mail"
	"path"
	"slices"
	"strings"
	"unicode"
)

// unknownContract is the documented sample's contract that is not found, whatever the options say (row 3.7).
const unknownContract = "M123456-abcxyz"

var aims = []string{"test", "production"}

// CreateParams are the parameters of create, as they came; "" is absent. Answers show them so; blanks around a
// value are not looked at when it is judged or compared (section 2, EMAIL:INVALID).
type CreateParams struct {
	Contract, Email, Target, Aim, Filename, Timezone string

	API string // APIDatabase (also "") or APIScript; only the latter's have no Email, Filename and Timezone

	Actuator, APIVersion string // of the script API only
}

func (c CreateParams) trimmed() CreateParams {
	return CreateParams{
		Contract: strings.TrimSpace(c.Contract), Email: strings.TrimSpace(c.Email), Target: strings.TrimSpace(c.Target),
		Aim: strings.TrimSpace(c.Aim), Filename: strings.TrimSpace(c.Filename), Timezone: strings.TrimSpace(c.Timezone),
		API: c.API, Actuator: strings.TrimSpace(c.Actuator), APIVersion: strings.TrimSpace(c.APIVersion),
	}
}

// Map is the parameters by their names on the wire, for the scripts' globs.
func (c CreateParams) Map() map[string]string {
	c = c.trimmed()
	return map[string]string{
		"contract": c.Contract, "email": c.Email, "target": c.Target, "aim": c.Aim, "filename": c.Filename,
		"timezone": c.Timezone, "api": cmp.Or(c.API, APIDatabase), "actuator": c.Actuator, "api_version": c.APIVersion,
	}
}

// Create makes a request in state draft (docs/fidelity.md, section 3).
func (p *Platform) Create(params CreateParams) (Snapshot, Failures) {
	if fails := p.Check(params); fails != nil {
		return Snapshot{}, fails
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r, fails := p.createLocked(params, keyBytes, func(*record) {})
	if fails != nil {
		return Snapshot{}, fails
	}
	return r.snapshotLocked(), nil
}

func (p *Platform) createLocked(params CreateParams, keyBytes int, more func(*record)) (*Request, Failures) {
	if len(p.requests) >= p.opts.MaxRequests {
		why := fmt.Errorf("the emulator holds %d requests and takes no more (%s); POST /_mock/reset forgets them",
			len(p.requests), p.opts.OptionName("MaxRequests"))
		return nil, Failures{ServerError("There are too many requests", why)}
	}
	key, err := p.newKey(p.lastID+1, keyBytes)
	if err != nil {
		return nil, Failures{ServerError("The request can not be created now", err)}
	}
	script := p.opts.Script(params)
	if params.API == APIScript {
		script = p.scriptLocked(script)
	}
	rec := record{
		origin: origin{
			ID: p.lastID + 1, Key: key, Contract: params.Contract, Email: params.Email, Target: params.Target,
			Aim: params.Aim, Filename: params.Filename, Timezone: params.Timezone,
			CreatedAt: p.opts.Now().UTC(), Script: script,
		},
		work: initialWork,
	}
	more(&rec)
	t := p.totalsLocked()
	t.LastID = rec.ID
	if err := p.store.put(&rec, t); err != nil {
		return nil, Failures{ServerError("The request can not be kept", err)}
	}
	r := p.newRequestLocked(rec)
	p.addLocked(r)
	return r, nil
}

// Check returns everything that is wrong with the parameters of a create, all at once (row 1.8).
func (p *Platform) Check(params CreateParams) Failures {
	var fails Failures
	is := params.trimmed()
	for _, required := range []struct{ name, value string }{
		{"contract", is.Contract}, {"email", is.Email}, {"target", is.Target}, {"aim", is.Aim}, {"filename", is.Filename},
	} {
		if required.value == "" {
			fails = append(fails, Missing(required.name))
		}
	}
	if is.Target != "" && !slices.Contains(p.opts.Targets, is.Target) {
		expected := map[string]any{"expected": p.opts.Targets}
		fails = append(fails, invalid(ReasonTargetInvalid, params.Target, expected, "the target is not in the list of "+
			"valid targets"))
	}
	if is.Contract != "" && !p.knows(is.Contract) {
		fails = append(fails, Failure{
			Reason:  ReasonContractNotFound,
			Message: "Can not find contract " + params.Contract,
			Fields:  map[string]any{"code": params.Contract},
			Why:     "the contract matches none that this emulator was told to know",
		})
	}
	if is.Aim != "" && !slices.Contains(aims, is.Aim) {
		fails = append(fails, invalid(ReasonAimInvalid, params.Aim, map[string]any{"expected": aims}, "the aim is "+
			"neither test nor production"))
	}
	if is.Email != "" && !plausibleEmail(is.Email) {
		fails = append(fails, invalid(ReasonEmailInvalid, params.Email, nil, "not a plausible mail address"))
	}
	if is.Filename != "" {
		if why := badFilename(params.Filename); why != "" { // it goes into listings and headers as it is
			fails = append(fails, invalid(ReasonFilenameInvalid, params.Filename, nil, why))
		}
	}
	if is.Timezone != "" && !isTimezone(is.Timezone) {
		fails = append(fails, invalid(ReasonTimezoneInvalid, params.Timezone, nil, "not the name of a zone in the IANA "+
			"time zone database"))
	}
	return fails
}

func (p *Platform) knows(contract string) bool {
	if contract == unknownContract {
		return false
	}
	return len(p.opts.Contracts) == 0 || slices.ContainsFunc(p.opts.Contracts, func(glob string) bool {
		ok, err := path.Match(glob, contract)
		return ok && err == nil
	})
}

func plausibleEmail(s string) bool {
	addr, err := mail.ParseAddress(s)
	return err == nil && addr.Address == s && len(s) <= 254
}

// badFilename explains what is wrong with a name; "" when nothing is.
func badFilename(s string) string {
	switch {
	case s == "." || s == "..":
		return "the name is that of a directory"
	case len(s) > 255:
		return "the name is longer than 255 bytes"
	case strings.ContainsAny(s, `/\`):
		return "the name contains a path separator"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "the name contains a control character"
	}
	return ""
}
