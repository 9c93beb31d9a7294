package helptext_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/helptext"
)

func TestRefuse(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                        "",
		"serve":                   "",
		"srve":                    `unknown command "srve" for "tool"; did you mean "serve"?`,
		"nonsense":                `unknown command "nonsense" for "tool"; see 'tool --help'`,
		"hiden":                   `unknown command "hiden" for "tool"; see 'tool --help'`,
		"list shw":                `unknown command "shw" for "tool list"; did you mean "show"?`,
		"list":                    "say which: check, show; see 'tool list --help'",
		"help":                    "",
		"help list show":          "",
		"help lst":                `unknown command "lst" for "tool"; did you mean "list"?`,
		"help list chek":          `unknown command "chek" for "tool list"; did you mean "check"?`,
		"completion":              "say which: bash, fish, powershell, zsh; see 'tool completion --help'",
		"completion tcsh":         `unknown command "tcsh" for "tool completion"; see 'tool completion --help'`,
		"completion bash":         "",
		"serve --adress x":        "unknown flag: --adress; did you mean --address?",
		"serve --nothing-like-it": "unknown flag: --nothing-like-it",
		"serve --secrt x":         "unknown flag: --secrt",
		"serve -x":                "unknown shorthand flag: 'x' in -x",
		"serve --address":         "flag needs an argument: --address",
	} {
		run := func(*cobra.Command, []string) {}
		root := &cobra.Command{Use: "tool", SilenceErrors: true, SilenceUsage: true, Run: run}
		serve := &cobra.Command{Use: "serve", Run: run, Args: cobra.NoArgs}
		serve.Flags().String("address", "", "")
		serve.Flags().String("secret", "", "")
		serve.Flags().MarkHidden("secret")
		list := &cobra.Command{Use: "list"}
		list.AddCommand(&cobra.Command{Use: "show", Run: run}, &cobra.Command{Use: "check", Run: run})
		root.AddCommand(serve, list, &cobra.Command{Use: "hidden", Run: run, Hidden: true})
		root.SetFlagErrorFunc(helptext.Meant)
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&out)
		helptext.Refuse(root)
		root.SetArgs(strings.Fields(line))
		got := ""
		if err := root.Execute(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s\nwant %s", line, got, want)
		}
	}
}
