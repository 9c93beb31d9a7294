// Package good has an API without problems.
package good

import (
	"io"

	"example.com/internal/secret"
)

// A Kind is one of the kinds.
type Kind string

// The kinds.
const (
	Big   Kind = "big"
	Small Kind = "small" // which is not big
	odd   Kind = "odd"
)

// Default is the kind of the zero Options.
var Default = secret.Kind

// Options has a Name.
type Options struct {
	Name string
	// Kind is what it is. If empty, it is Big.
	Kind   Kind
	hidden secret.Thing
}

// A Doer does.
type Doer interface {
	// Do does it.
	Do(o *Options) (io.Reader, error)
	private()
}

// New returns a new Doer. A nil opts is the same as the zero Options.
func New(opts *Options) (Doer, error) { return impl{}, nil }

type impl struct{ Do func() }

// String returns the kind's name.
func (k Kind) String() string { return string(k) }

func (k Kind) hide() (s secret.Thing) { return }
