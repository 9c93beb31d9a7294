package mockserver

// handleProcess begins the upgrade (row 6.1).
func (s *Server) handleProcess(c *call) answer {
	if c.fails != nil {
		return refused(c.fails...)
	}
	if hook := s.opts.BeforeProcess; hook != nil {
		hook(c.event.Request)
	}
	snapshot, fails := c.request.Process()
	if fails != nil {
		return refused(fails...)
	}
	c.note(&snapshot)
	c.event.Size, c.event.Checksum = snapshot.DumpSize, snapshot.DumpChecksum
	return answer{}
}

// handleSkipTest ends the tests of a request (row 6.5).
func (s *Server) handleSkipTest(c *call) answer {
	if c.fails != nil {
		return refused(c.fails...)
	}
	snapshot, fails := c.request.SkipTest()
	if fails != nil {
		return refused(fails...)
	}
	c.note(&snapshot)
	return answer{}
}
