package database

import "github.com/upgrademock/upgrademock/mockserver/internal/api"

// skipTest ends the tests of a request (row 6.5).
func (a *API) skipTest(c *api.Call) (any, error) {
	if c.Fails != nil {
		return nil, c.Fails
	}
	snapshot, fails := c.Request.SkipTest()
	if fails != nil {
		return nil, fails
	}
	c.Note(&snapshot)
	return nil, nil
}
