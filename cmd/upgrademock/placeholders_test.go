package main

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// vocabulary are the words that stand for the values of flags in help: one for each kind of value.
var vocabulary = []string{
	"API", "NAME=VALUE", "URL", "address", "clock", "directory", "duration", "edition", "email",
	"file", "format", "glob", "hostname", "id", "level", "name", "number", "part", "program",
	"protocol", "reference", "regexp", "size", "status", "version", "when",
}

// What a flag takes is called the same in the help of each command, and never by a type of Go.
func TestPlaceholders(t *testing.T) {
	t.Parallel()
	flags := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			word, _ := pflag.UnquoteUsage(f)
			if f.Value.Type() == "bool" || f.Hidden {
				return
			}
			flags++
			if !slices.Contains(vocabulary, word) {
				t.Errorf("%s --%s %s: wanted one of %v", cmd.CommandPath(), f.Name, word, vocabulary)
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRootCommand())
	if flags < 50 {
		t.Errorf("only %d flags were found", flags)
	}
}
