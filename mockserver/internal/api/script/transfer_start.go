package script

import (
	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// started is the answer to transfer/start (rows S3.2 and S3.5).
type started struct {
	Port       int     `json:"ssh_port"`
	KnownHosts *string `json:"known_hosts"`
}

// download is the answer for a download (row S3.7).
type download struct {
	started
	DumpName *string `json:"dump_name"` // null where a scenario wants no dump
}

// startTransfer opens the SSH server of a transfer (docs/fidelity.md, rows S3.1 to S3.12).
func (a *API) startTransfer(c *api.Call) (any, error) {
	if c.Fails != nil {
		return nil, c.Fails
	}
	kind := text(c, "transfer_type")
	if fails := c.Request.MayTransfer(kind); fails != nil {
		return nil, fails
	}
	port, knownHosts, err := a.StartTransfer(c.Request, kind, a.Assigned(c.R))
	if fails, refused := err.(platform.Failures); refused {
		return nil, fails
	}
	if err != nil {
		a.Logger.Error("a transfer cannot be started", "request", c.Event.Request, "err", err)
		return nil, platform.Failures{platform.ServerError("The transfer can not be started now; try again later", err)}
	}
	snapshot := c.Request.Snapshot()
	c.Note(&snapshot)
	answer := started{port, knownHosts}
	if kind == platform.Uploading {
		return answer, nil
	}
	name := c.Request.DumpName()
	if name == "" {
		return download{answer, nil}, nil
	}
	return download{answer, &name}, nil
}
