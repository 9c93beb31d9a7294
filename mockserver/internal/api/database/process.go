package database

import "github.com/upgrademock/upgrademock/mockserver/internal/api"

// process begins the upgrade (row 6.1).
func (a *API) process(c *api.Call) (any, error) {
	_, err := c.Process()
	return nil, err
}
