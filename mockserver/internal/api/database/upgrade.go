package database

import (
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
)

// upgrade is create, upload and process in one call (row 6.6).
func (a *API) upgrade(c *api.Call) (any, error) {
	o := ownOf(c)
	params := createParams(&o.params)
	if contract := strings.TrimSpace(params.Contract); params.Filename == "" && contract != "" {
		params.Filename = contract + ".sql"
	}
	if fails := a.Platform.Check(params); fails != nil {
		return nil, fails
	}
	upload, err := a.receive(c)
	if err != nil {
		return nil, err
	}
	snapshot, fails := a.Platform.Upgrade(params, o.params.get("postgresql"), upload)
	if fails != nil {
		return nil, fails
	}
	a.Keys.Add(snapshot.Key)
	a.Uploaded(snapshot.ID)
	o.answer.Snapshot = snapshot
	return a.describe(c), nil
}
