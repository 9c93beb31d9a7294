package good

// Elsewhere is not there on Linux.
func Elsewhere() {}
