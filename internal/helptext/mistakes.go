package helptext

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upgrademock/upgrademock/internal/spelling"
)

// Refuse makes root and its commands refuse words that are none of their commands, and say which may have been meant.
// So do the commands help and completion, which by themselves let them pass. It is called when root has all commands,
// and its output.
func Refuse(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		Args:  func(_ *cobra.Command, args []string) error { _, err := find(root, args); return err },
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, err := find(root, args)
			if err != nil {
				return err
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	})
	refuse(root)
}

// find is the command that the words lead to from root.
func find(root *cobra.Command, words []string) (*cobra.Command, error) {
	cmd := root
	for _, word := range words {
		next := child(cmd, word)
		if next == nil {
			return nil, unknownCommand(cmd, word)
		}
		cmd = next
	}
	return cmd, nil
}

func child(cmd *cobra.Command, name string) *cobra.Command {
	for _, sub := range cmd.Commands() {
		if sub.Name() == name || sub.HasAlias(name) {
			return sub
		}
	}
	return nil
}

func refuse(cmd *cobra.Command) {
	if !cmd.HasSubCommands() {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(cmd, args[0])
	}
	if !cmd.Runnable() {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			return fmt.Errorf("say which: %s; see '%s --help'", strings.Join(names(cmd), ", "), cmd.CommandPath())
		}
	}
	for _, sub := range cmd.Commands() {
		refuse(sub)
	}
}

// names are the commands of cmd that its help shows.
func names(cmd *cobra.Command) []string {
	var list []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, sub.Name())
		}
	}
	return list
}

func unknownCommand(cmd *cobra.Command, word string) error {
	if nearest := spelling.Nearest(word, names(cmd)...); nearest != "" {
		return fmt.Errorf("unknown command %q for %q; did you mean %q?", word, cmd.CommandPath(), nearest)
	}
	return fmt.Errorf("unknown command %q for %q; see '%[2]s --help'", word, cmd.CommandPath())
}

// Meant returns err, and for a flag that cmd does not have, also which one may have been meant.
func Meant(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var flags []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, f.Name)
		}
	})
	if nearest := spelling.Nearest(unknown.GetSpecifiedName(), flags...); nearest != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, nearest)
	}
	return err
}
