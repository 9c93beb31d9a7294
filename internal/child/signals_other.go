//go:build !unix

package child

import "os"

// Signals are those that are meant for the program when we get them.
var Signals = []os.Signal{os.Interrupt}
