package helptext

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// vocabulary are the words that stand for the values of flags in help: one for each kind of value.
var vocabulary = []string{
	"API", "NAME=VALUE", "URL", "address", "aim", "clock", "database", "directory", "duration", "edition", "email",
	"file", "format", "glob", "hostname", "id", "key", "level", "name", "number", "part", "program", "protocol",
	"reference", "regexp", "size", "status", "version", "when", "zone",
}

// Strange returns the flags of root and its commands of whose values help says in no word of the programs' vocabulary
// what they are, such as "serve --http string".
func Strange(root *cobra.Command) (strange []string, flags int) {
	look := func(cmd *cobra.Command) func(*pflag.Flag) {
		return func(f *pflag.Flag) {
			word, _ := pflag.UnquoteUsage(f)
			if f.Value.Type() == "bool" || f.Hidden {
				return
			}
			if flags++; !slices.Contains(vocabulary, word) {
				strange = append(strange, cmd.CommandPath()+" --"+f.Name+" "+word)
			}
		}
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(look(cmd))
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return strange, flags
}
