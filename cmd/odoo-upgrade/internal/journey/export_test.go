package journey

// SizeMatches is sizeMatches, for its test.
var SizeMatches = sizeMatches
