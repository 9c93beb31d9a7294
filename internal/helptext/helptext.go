// Package helptext fits the help of commands into the width of the terminal, and says what a mistyped one was to be.
package helptext

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/tty"
)

// The widths of help: no line is longer than widest, which is also the width where there is no terminal, and a
// terminal below narrowest breaks lines itself.
const (
	widest    = 120
	narrowest = 60
)

// Fit makes the help of root and of its commands fit the terminal that it is written to, with their flags in groups, in
// that order; those of no group come last. It uses no template: a program with a template that is its own links all
// methods of all types.
func Fit(root *cobra.Command, groups ...Group) {
	arrange(root, groups)
	show, usage := root.HelpFunc(), root.UsageFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		width := columns(cmd.OutOrStdout())
		cmd.Root().SetUsageFunc(func(cmd *cobra.Command) error {
			to := cmd.OutOrStderr()
			var text strings.Builder
			cmd.SetOut(&text)
			err := usage(cmd)
			cmd.SetOut(to)
			_, printErr := io.WriteString(to, wrapFlags(cmd, groups, text.String(), width))
			return errors.Join(err, printErr)
		})
		cmd.Long = Wrap(cmd.Long, width)
		show(cmd, args)
	})
}

// wrapFlags breaks the lines of the flags in the usage of a command, and groups its own.
func wrapFlags(cmd *cobra.Command, groups []Group, usage string, width int) string {
	trim := func(text string) string { return strings.TrimRight(text, " \n") }
	if long := trim(cmd.LocalFlags().FlagUsages()); long != "" {
		usage = strings.Replace(usage, "\nFlags:\n"+long, "\n"+grouped(groups, cmd.LocalFlags(), width), 1)
	}
	if long := trim(cmd.InheritedFlags().FlagUsages()); long != "" {
		usage = strings.Replace(usage, long, trim(cmd.InheritedFlags().FlagUsagesWrapped(width)), 1)
	}
	return usage
}

// Version gives root the flag --version, which prints its name and the version in place of what root does. cobra's own
// is written by a template.
func Version(root *cobra.Command, version string) {
	show := root.Flags().Bool("version", false, "print the version")
	run := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if *show {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), cmd.DisplayName(), version)
			return err
		}
		return run(cmd, args)
	}
}

// columns returns the width of help that is written to w.
func columns(w io.Writer) int {
	if n := tty.Width(w); n > 0 {
		return min(max(n, narrowest), widest)
	}
	return widest
}

// Wrap breaks the lines of text anew, so that none is longer than width characters unless one word is. Empty lines
// and lines that begin with a space stay as they are.
func Wrap(text string, width int) string {
	var out []string
	current := "" // the line that is being filled
	end := func() {
		if current != "" {
			out = append(out, current)
		}
		current = ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' {
			end()
			out = append(out, line)
			continue
		}
		for word := range strings.FieldsSeq(line) {
			switch {
			case current == "":
				current = word
			case len([]rune(current))+1+len([]rune(word)) <= width:
				current += " " + word
			default:
				end()
				current = word
			}
		}
	}
	end()
	return strings.Join(out, "\n")
}
