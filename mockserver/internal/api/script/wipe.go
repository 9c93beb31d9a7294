package script

import "github.com/upgrademock/upgrademock/mockserver/internal/api"

// wiped is the answer to wipe: the ids of requests (row S9.2).
type wiped struct {
	Wiped  []int64 `json:"wiped"`
	Failed []int64 `json:"failed"`
}

// wipe removes the databases of all requests of a contract (docs/fidelity.md, rows S9.1 to S9.4).
func (a *API) wipe(c *api.Call) (any, error) {
	if c.Fails != nil {
		return nil, c.Fails
	}
	gone, left, fails := a.Platform.Wipe(text(c, "contract"), text(c, "token"))
	if fails != nil {
		return nil, fails
	}
	snapshot := c.Request.Snapshot()
	c.Note(&snapshot)
	return wiped{append([]int64{}, gone...), append([]int64{}, left...)}, nil // never null
}
