package script

import "github.com/upgrademock/upgrademock/mockserver/internal/api"

// stopTransfer closes the SSH server of a transfer. It is no failure if there is none (row S3.13).
func (a *API) stopTransfer(c *api.Call) (any, error) {
	if c.Fails != nil {
		return nil, c.Fails
	}
	a.StopTransfer(c.Request.ID())
	snapshot := c.Request.Snapshot()
	c.Note(&snapshot)
	return done{}, nil
}
