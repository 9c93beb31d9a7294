package script

import (
	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// created is the answer to create. Its keys become part of the script's own state: there must be no others (rows S2.8
// and S2.13).
type created struct {
	ID       int64  `json:"request_id"`
	Token    string `json:"token"`
	Assigned string `json:"assigned_host_uri"`
}

// readCreate notes for whom a request is to be made.
func (a *API) readCreate(c *api.Call) error {
	for _, optional := range []string{"actuator", "api_version"} {
		if _, err := callOf(c).text(optional); err != nil {
			return err
		}
	}
	if _, err := callOf(c).list("env_vars"); err != nil {
		return err
	}
	c.ForNew(platform.CreateParams{
		API: platform.APIScript, Contract: text(c, "contract"), Target: text(c, "target"), Aim: text(c, "aim"),
		Actuator: text(c, "actuator"), APIVersion: text(c, "api_version"),
	})
	return nil
}

// create makes a request (docs/fidelity.md, rows S2.1 to S2.17).
func (a *API) create(c *api.Call) (any, error) {
	vars, err := callOf(c).list("env_vars")
	if err != nil {
		return nil, err
	}
	snapshot, fails := a.Platform.CreateScript(platform.ScriptParams{
		Contract: text(c, "contract"), Target: text(c, "target"), Aim: text(c, "aim"), Actuator: text(c, "actuator"),
		APIVersion: text(c, "api_version"), SSHKey: text(c, "ssh_key"), EnvVars: vars,
	})
	if fails != nil {
		return nil, fails
	}
	a.Keys.Add(snapshot.Key)
	c.Note(&snapshot)
	return created{snapshot.ID, snapshot.Key, a.Assigned(c.R)}, nil
}
