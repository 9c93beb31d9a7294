package platform

// Wipe removes the dumps of all requests of the contract, which count as archived from then on, and cancels those that
// are under way (row S9.4). Wiped and failed are the ids of those that it was and was not done to; what was wiped
// before is in neither. The token is that of any request of the contract.
func (p *Platform) Wipe(contract, token string) (wiped, failed []int64, _ Failures) {
	return nil, nil, nil
}
