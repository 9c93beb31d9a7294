// Package isolate runs programs on a machine of their own: in a network that has nothing but loopback, under names
// that lead there, and with authorities of the caller's choice in the system's places.
//
// A [Space] is a user, a mount and a network namespace (namespaces(7)). They are held by a process that is this very
// program, started again: see [Init]. It makes the listening sockets of the space and passes them to the caller
// (unix(7), SCM_RIGHTS), who serves them as any others, and it starts the programs as children of the caller
// (clone(2), CLONE_PARENT), so that nothing stands between the two: signals, terminal, files, process group and exit
// status are as without a space. Programs have the user that they would have without one, and no capability in the
// space that they would not have outside.
//
// Only Linux has such namespaces, and not every Linux lets everybody make them; [Start] then returns a
// *[RefusedError].
package isolate

import "fmt"

// holderName is the name (argv[0]) of the process that holds a space.
const holderName = "upgrademock-isolate"

// Mount is a file or directory that programs in a space see in the place of another one, which must be there.
type Mount struct{ Source, Target string }

// RefusedError is returned by [Start] where the system makes no space for us.
type RefusedError struct {
	Step   string // what was refused
	Err    error  // the reason
	Advice string // what to do
}

// Error says what was refused, why, and what to do.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("isolate: %s: %v; %s", e.Step, e.Err, e.Advice)
}

// Unwrap returns Err.
func (e *RefusedError) Unwrap() error { return e.Err }
