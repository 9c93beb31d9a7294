package database

import (
	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// create makes a request (docs/fidelity.md, section 3).
func (a *API) create(c *api.Call) (any, error) {
	o := ownOf(c)
	snapshot, fails := a.Platform.Create(createParams(&o.params))
	if fails != nil {
		return nil, fails
	}
	a.Keys.Add(snapshot.Key)
	o.answer.Snapshot = snapshot
	return a.describe(c), nil
}

func createParams(p *params) platform.CreateParams {
	return platform.CreateParams{
		Contract: p.get("contract"), Email: p.get("email"), Target: p.get("target"), Aim: p.get("aim"),
		Filename: p.get("filename"), Timezone: p.get("timezone"),
	}
}
