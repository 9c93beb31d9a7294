package workflow

import "github.com/upgrademock/upgrademock/internal/claim"

// SizeMatches is sizeMatches, for its test.
var SizeMatches = sizeMatches

// SaveUnder saves a state under a claim on its file.
func SaveUnder(c *claim.Claim, s *State) error {
	s.claim = c
	return s.Save()
}
