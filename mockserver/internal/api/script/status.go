package script

import (
	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// Status is the answer to status (row S7.1).
type Status struct {
	Status   string  `json:"status"`
	HostURI  string  `json:"host_uri"`
	Reason   *string `json:"reason"`
	Archived bool    `json:"archived"`
}

// StatusOf is what status answers of a request to a client that was assigned that host.
func StatusOf(snapshot *platform.Snapshot, assigned string) Status {
	status := Status{Status: snapshot.State, HostURI: assigned, Archived: snapshot.Archived}
	if snapshot.Reason != "" {
		status.Reason = &snapshot.Reason
	}
	return status
}

// Map is the answer by its keys.
func (s Status) Map() map[string]any {
	m := map[string]any{"status": s.Status, "host_uri": s.HostURI, "reason": nil, "archived": s.Archived}
	if s.Reason != nil {
		m["reason"] = *s.Reason
	}
	return m
}

// status describes a request, and counts one poll (docs/fidelity.md, rows S7.1 to S7.11).
func (a *API) status(c *api.Call) (any, error) {
	if c.Fails != nil {
		return nil, c.Fails
	}
	snapshot, fails := c.Status()
	if fails != nil {
		return nil, fails
	}
	c.Note(&snapshot)
	return StatusOf(&snapshot, a.Assigned(c.R)), nil
}
