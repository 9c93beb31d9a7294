package workflow

import "github.com/upgrademock/upgrademock/internal/claim"

// SizeMatches is sizeMatches, for its test.
var SizeMatches = sizeMatches

// SaveUnder saves a state under a claim on its file.
func SaveUnder(c *claim.Claim, s *State) error {
	s.claim = c
	return s.Save()
}

// Problem returns what is said of a program that failed and wrote that.
func Problem(said string) string {
	var t tail
	_, _ = t.Write([]byte(said))
	return t.problem()
}
