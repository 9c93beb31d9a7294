package main

import (
	"testing"

	"github.com/upgrademock/upgrademock/internal/helptext"
)

// What a flag takes is called the same in the help of each command, and never by a type of Go.
func TestPlaceholders(t *testing.T) {
	t.Parallel()
	strange, flags := helptext.Strange(newRootCommand())
	for _, flag := range strange {
		t.Error(flag)
	}
	if flags < 50 {
		t.Errorf("only %d flags were found", flags)
	}
}
