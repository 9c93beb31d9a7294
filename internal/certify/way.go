package certify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Via is a way on which a dump is sent.
type Via string

// The ways. With Both the client chooses, or reads its variables and placeholders.
const (
	HTTPS Via = "https"
	SFTP  Via = "sftp"
	Both  Via = "both"
)

// ParseVia reads a way.
func ParseVia(text string) (Via, error) {
	switch via := Via(text); via {
	case HTTPS, SFTP, Both:
		return via, nil
	}
	return "", fmt.Errorf("unknown way %q: choose https, sftp or both", text)
}

// needs is the only way on which a client can meet the scenario; Both: any will do. The faults of transfers
// decide, and the calls that must happen.
func needs(script *scenario.Scenario) Via {
	https, sftp := false, false
	for _, f := range script.Faults {
		switch {
		case f.On == scenario.OnUpload, f.On == scenario.OnUpgrade, f.On == scenario.OnDownload:
			https = true
		case overSFTP(f.On):
			sftp = true
		}
	}
	if script.Expect != nil {
		for on, bound := range script.Expect.Calls {
			// sftp.put is met by an upload, too.
			if overSFTP(on) && on != scenario.OnSFTPPut && on != scenario.OnSFTPGet && !bound.Holds(0) {
				sftp = true
			}
		}
	}
	switch {
	case https == sftp:
		return Both
	case sftp:
		return SFTP
	case slices.ContainsFunc(script.Faults, breaksUpload):
		return HTTPS
	}
	return Both // a download over HTTPS is open to those who sent their dump over SFTP
}

// Wires are the ways on which a client can meet the scenario: https and sftp, or https and rsync over the script API.
func Wires(script *scenario.Scenario) []string {
	if script.When["api"] == scenario.APIScript {
		return []string{"https", "rsync"}
	}
	if need := needs(script); need != Both {
		return []string{string(need)}
	}
	return []string{string(HTTPS), string(SFTP)}
}

func breaksUpload(f scenario.Fault) bool {
	return f.On == scenario.OnUpload || f.On == scenario.OnUpgrade
}

func overSFTP(on string) bool {
	return on == scenario.OnRequestSFTPAccess || strings.HasPrefix(on, "sftp.")
}

// cannotMeet is why a client that goes via cannot meet the scenario, "" if it can.
func (via Via) cannotMeet(script *scenario.Scenario) string {
	if need := needs(script); via != Both && need != Both && need != via {
		return fmt.Sprintf("it is about dumps sent over %s, and this client sends them over %s", name(need), name(via))
	}
	return ""
}

// chosenFor returns the way that the client has to go under the scenario.
func (via Via) chosenFor(script *scenario.Scenario) Via {
	if via != Both {
		return via
	}
	if need := needs(script); need != Both {
		return need
	}
	return HTTPS
}

// choseOther is why a client that had the choice went a way on which it could not meet the scenario, "" if it did not.
func (via Via) choseOther(script *scenario.Scenario, events []journal.Event) string {
	need := needs(script)
	if via != Both || need == Both {
		return ""
	}
	happened := func(on func(string) bool) bool {
		return slices.ContainsFunc(events, func(e journal.Event) bool { return on(e.On) })
	}
	uploaded := happened(func(on string) bool { return on == scenario.OnUpload || on == scenario.OnUpgrade })
	var went Via
	switch {
	case slices.ContainsFunc(events, wroteOverSFTP), !uploaded && happened(overSFTP):
		went = SFTP
	case uploaded:
		went = HTTPS
	}
	if went == "" || went == need || need == HTTPS && uploaded { // who tried both ways met it
		return ""
	}
	return fmt.Sprintf("it is about dumps sent over %s, and this client chose %s", name(need), name(went))
}

func wroteOverSFTP(e journal.Event) bool { return e.On == scenario.OnSFTPPut || len(e.Written) > 0 }

func name(via Via) string { return strings.ToUpper(string(via)) }
