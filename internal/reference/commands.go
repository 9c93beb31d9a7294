package reference

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Commands describes a program: its commands with their flags, each with its help.
func Commands(root *cobra.Command) string {
	var b strings.Builder
	describe(&b, root)
	return b.String()
}

func describe(b *strings.Builder, cmd *cobra.Command) {
	if cmd.HasParent() {
		b.WriteString("\n## " + cmd.CommandPath() + "\n\n")
	}
	if !cmd.HasAvailableSubCommands() || strings.Contains(cmd.Use, " ") {
		b.WriteString("```\n" + cmd.UseLine() + "\n```\n\n")
	}
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	explain(b, text)
	flags(b, cmd.NonInheritedFlags())
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && child.Name() != "completion" {
			describe(b, child)
		}
	}
}

// explain writes a text whose indented lines are shown as they stand.
func explain(b *strings.Builder, text string) {
	fenced := false
	fence := func(want bool) {
		if fenced != want {
			b.WriteString("```\n")
		}
		fenced = want
	}
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		switch {
		case strings.HasPrefix(line, "  "):
			fence(true)
			b.WriteString(strings.TrimPrefix(line, "  "))
		case line == "\n":
			fence(false)
			b.WriteString(line)
		default:
			fence(false)
			b.WriteString(prose(line))
		}
	}
	fence(false)
}

// flags writes a table of them.
func flags(b *strings.Builder, set *pflag.FlagSet) {
	begun := false
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if !begun {
			b.WriteString("\n| flag | |\n|---|---|\n")
			begun = true
		}
		placeholder, usage := pflag.UnquoteUsage(f)
		name := strings.TrimSpace("--" + f.Name + " " + placeholder)
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		usage = prose(usage)
		switch f.DefValue {
		case "", "false", "0", "0s", "[]":
		default:
			usage += " (default " + code(f.DefValue) + ")"
		}
		row(b, code(name), usage)
	})
}
