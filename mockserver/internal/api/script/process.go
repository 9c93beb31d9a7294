package script

import "github.com/upgrademock/upgrademock/mockserver/internal/api"

// processed is the answer to process (row S6.1).
type processed struct {
	Compatible bool `json:"is_pg_version_compatible"`
}

// process begins the upgrade. The request has left the state new before it is answered (rows S6.4 to S6.6).
func (a *API) process(c *api.Call) (any, error) {
	snapshot, err := c.Process()
	if err != nil {
		return nil, err
	}
	return processed{snapshot.PGCompatible}, nil
}
