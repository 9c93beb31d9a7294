package database

import "github.com/upgrademock/upgrademock/mockserver/internal/api"

// process begins the upgrade (row 6.1).
func (a *API) process(c *api.Call) (any, error) {
	if c.Fails != nil {
		return nil, c.Fails
	}
	if a.BeforeProcess != nil {
		a.BeforeProcess(c.Event.Request)
	}
	snapshot, fails := c.Request.Process()
	if fails != nil {
		return nil, fails
	}
	c.Note(&snapshot)
	c.Event.Size, c.Event.Checksum = snapshot.DumpSize, snapshot.DumpChecksum
	return nil, nil
}
