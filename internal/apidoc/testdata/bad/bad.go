package bad

import (
	other "example.com/a/internal/secret"
	"example.com/internal/box"
)

type Bare struct {
	Field string
	Box   *box.Box // it leaks
}

// Alias is one.
type Alias = other.Thing

// Iface has methods.
type Iface interface {
	Bare()
	// Leak leaks.
	Leak(map[string][]other.Thing)
}

const Lonely = 1

// Leaks leak.
var (
	Leaking *box.Box
)

func Undocumented() {}

// Named has results.
func Named() (n int, err error) { return }

// Hidden names a type that is not exported.
func Hidden() func(h *hidden) error { return nil }

// Method is one.
func (Bare) Method() chan box.Box { return nil }

func (*Bare) Silent() {}

type hidden struct{}
