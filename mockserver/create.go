package mockserver

import (
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// handleCreate makes a request (docs/fidelity.md, section 3).
func (s *Server) handleCreate(c *call) answer {
	snapshot, fails := s.platform.Create(createParams(&c.params))
	if fails != nil {
		return refused(fails...)
	}
	s.keys.Add(snapshot.Key)
	c.whole.Snapshot = snapshot
	return s.describe(c)
}

func createParams(p *params) platform.CreateParams {
	return platform.CreateParams{
		Contract: p.get("contract"), Email: p.get("email"), Target: p.get("target"), Aim: p.get("aim"), Filename: p.get("filename"), Timezone: p.get("timezone"),
	}
}

// describe answers with the whole request, c.whole, and notes in the journal whose it is.
func (s *Server) describe(c *call) answer {
	c.note(&c.whole.Snapshot)
	c.whole.scheme, c.whole.host = s.base(c.r)
	c.whole.region = s.opts.Region
	return answer{request: &c.whole}
}

func (c *call) note(snapshot *platform.Snapshot) {
	c.event.Request, c.event.Contract = snapshot.ID, snapshot.Contract
	c.event.Scenario, c.event.State = snapshot.Scenario, snapshot.State
}
