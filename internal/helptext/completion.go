package helptext

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Complete has shells complete what flags of root and its commands take: those with a name in values by that, files and
// directories by their names, and anything else by nothing. What has a completion already keeps it.
func Complete(root *cobra.Command, values map[string]cobra.CompletionFunc) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		set := func(f *pflag.Flag) {
			if _, ok := cmd.GetFlagCompletionFunc(f.Name); ok || f.Value.Type() == "bool" {
				return
			}
			complete := values[f.Name]
			word, _ := pflag.UnquoteUsage(f)
			switch {
			case complete != nil:
			case word == "file" || word == "program":
				return // as the shell does
			case word == "directory":
				_ = cmd.MarkFlagDirname(f.Name)
				return
			default:
				complete = cobra.NoFileCompletions
			}
			_ = cmd.RegisterFlagCompletionFunc(f.Name, complete)
		}
		cmd.Flags().VisitAll(set)
		cmd.PersistentFlags().VisitAll(set)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// Choose completes one of the values, each with what it means behind a tab, if it has any.
func Choose(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// Files completes files whose names end in a dot and one of those.
func Files(extensions ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(extensions, cobra.ShellCompDirectiveFilterFileExt)
}

// Either completes a value of names, or a file where none begins like what there is.
func Either(names, files cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		known, directive := names(cmd, args, begun)
		if !strings.ContainsAny(begun, "."+string(filepath.Separator)) {
			for _, name := range known {
				if strings.HasPrefix(name, begun) {
					return known, directive
				}
			}
		}
		return files(cmd, args, begun)
	}
}
