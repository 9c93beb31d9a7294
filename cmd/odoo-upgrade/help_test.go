package main

import (
	"io"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestHelp_placeholders: what stands behind a flag in the help is a noun, and not a type of Go's.
func TestHelp_placeholders(t *testing.T) {
	t.Parallel()
	root := newApp(environment{stdout: io.Discard, stderr: io.Discard,
		getenv: func(string) string { return "" }}).rootCommand()
	flags := 0
	check := func(cmd *cobra.Command) func(*pflag.Flag) {
		return func(f *pflag.Flag) {
			flags++
			switch placeholder, _ := pflag.UnquoteUsage(f); placeholder {
			case "string", "strings", "stringArray", "stringSlice", "int", "value":
				t.Errorf("%s: --%s %s", cmd.CommandPath(), f.Name, placeholder)
			}
		}
	}
	root.PersistentFlags().VisitAll(check(root))
	for _, cmd := range root.Commands() {
		cmd.LocalNonPersistentFlags().VisitAll(check(cmd))
	}
	if flags < 40 {
		t.Errorf("only %d flags were seen", flags)
	}
}
