package mockserver

// handleProcess begins the upgrade (row 6.1).
func (s *Server) handleProcess(c *call) answer {
	if hook := s.opts.BeforeProcess; hook != nil && c.event.Request != 0 {
		hook(c.event.Request)
	}
	snapshot, fails := s.platform.Process(c.ref)
	if fails != nil {
		return refused(fails...)
	}
	c.note(&snapshot)
	c.event.Size, c.event.Checksum = snapshot.DumpSize, snapshot.DumpChecksum
	return answer{}
}

// handleSkipTest ends the tests of a request (row 6.5).
func (s *Server) handleSkipTest(c *call) answer {
	snapshot, fails := s.platform.SkipTest(c.ref)
	if fails != nil {
		return refused(fails...)
	}
	c.note(&snapshot)
	return answer{}
}
