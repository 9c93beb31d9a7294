package scenario

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/spelling"
)

// UnknownError is returned by [Builtin] for a name that no built-in scenario has.
type UnknownError struct {
	// Name is the name that was asked for.
	Name string
	// Nearest is the name that was probably meant, or "" if none is near.
	Nearest string
}

// Error names the scenario and, if there is one, the nearest.
func (e *UnknownError) Error() string {
	text := fmt.Sprintf("scenario: there is no built-in scenario %q", e.Name)
	if e.Nearest != "" {
		text += fmt.Sprintf(", did you mean %q?", e.Nearest)
	}
	return text
}

// Builtin returns the built-in scenario of that name, such as "server-error-for-a-while". The caller may change it.
// The error for an unknown name is an [*UnknownError].
func Builtin(name string) (*Scenario, error) {
	file := name + ".yaml"
	src, err := fs.ReadFile(fixtures.Scenarios(), file)
	if err != nil {
		return nil, &UnknownError{Name: name, Nearest: spelling.Nearest(name, Builtins()...)}
	}
	return Parse(file, src)
}

// Builtins returns the names of the built-in scenarios, sorted.
func Builtins() []string {
	names, err := fs.Glob(fixtures.Scenarios(), "*.yaml")
	if err != nil {
		panic("scenario: " + err.Error()) // the pattern is well-formed
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, ".yaml")
	}
	slices.Sort(names) // which the extension was part of before
	return names
}
