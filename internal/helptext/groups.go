package helptext

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A Group is flags that help shows under one title.
type Group struct {
	Title string // such as "Limits"
	Flags string // their names, apart by spaces
}

// groupOf is the annotation with a flag's group.
const groupOf = "helptext_group"

// arrange notes with the flags of root and its commands of which group they are.
func arrange(root *cobra.Command, groups []Group) {
	titles := map[string]string{}
	for _, g := range groups {
		for name := range strings.FieldsSeq(g.Flags) {
			titles[name] = g.Title
		}
	}
	assign := func(f *pflag.Flag) {
		if title := titles[f.Name]; title != "" {
			if f.Annotations == nil {
				f.Annotations = map[string][]string{}
			}
			f.Annotations[groupOf] = []string{title}
		}
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(assign)
		cmd.PersistentFlags().VisitAll(assign)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// fewFlags is how many flags stand under one title, whatever their groups.
const fewFlags = 8

// grouped are the flags as help shows them: under titles, if there are many.
func grouped(groups []Group, flags *pflag.FlagSet, width int) string {
	sets, shown := map[string]*pflag.FlagSet{}, 0
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		shown++
		var title string
		if has := f.Annotations[groupOf]; len(has) > 0 {
			title = has[0]
		}
		if sets[title] == nil {
			sets[title] = pflag.NewFlagSet("", pflag.ContinueOnError)
			sets[title].SortFlags = flags.SortFlags
		}
		sets[title].AddFlag(f)
	})
	if shown <= fewFlags || len(sets) < 2 {
		return "Flags:\n" + strings.TrimRight(flags.FlagUsagesWrapped(width), "\n")
	}
	var parts []string
	for _, g := range append(groups[:len(groups):len(groups)], Group{}) {
		if set := sets[g.Title]; set != nil {
			title := cmp.Or(g.Title, "Other")
			parts = append(parts, title+":\n"+strings.TrimRight(set.FlagUsagesWrapped(width), "\n"))
		}
	}
	return strings.Join(parts, "\n\n")
}
