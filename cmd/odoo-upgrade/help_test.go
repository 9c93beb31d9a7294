package main

import (
	"io"
	"testing"

	"github.com/upgrademock/upgrademock/internal/helptext"
)

// TestHelp_placeholders: what a flag takes is called by a word of the vocabulary that both programs have.
func TestHelp_placeholders(t *testing.T) {
	t.Parallel()
	root := newApp(environment{stdout: io.Discard, stderr: io.Discard,
		getenv: func(string) string { return "" }}).rootCommand()
	strange, flags := helptext.Strange(root)
	for _, flag := range strange {
		t.Error(flag)
	}
	if flags < 40 {
		t.Errorf("only %d flags were seen", flags)
	}
}
