package mockserver

import (
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// handleCreate makes a request (WIRE section 3).
func (s *Server) handleCreate(c *call) answer {
	snapshot, fails := s.platform.Create(createParams(&c.params))
	if fails != nil {
		return refused(fails...)
	}
	return s.describe(c, snapshot)
}

func createParams(p *params) platform.CreateParams {
	return platform.CreateParams{
		Contract: p.get("contract"), Email: p.get("email"), Target: p.get("target"), Aim: p.get("aim"), Filename: p.get("filename"), Timezone: p.get("timezone"),
	}
}

// describe answers with the whole request, and notes in the journal whose it is.
func (s *Server) describe(c *call, snapshot platform.Snapshot) answer {
	c.note(snapshot)
	c.whole = s.described(snapshot, s.base(c.r))
	return answer{request: &c.whole}
}

func (c *call) note(snapshot platform.Snapshot) {
	c.event.Request, c.event.Contract = snapshot.ID, snapshot.Contract
	c.event.Scenario, c.event.State = snapshot.Scenario, snapshot.State
}
