package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func newScenarioNewCommand() *cobra.Command {
	var from, out string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Write a commented scenario file to begin with",
		Long:  `new writes the file NAME.yaml: a built-in scenario under another name, with a comment at each of its parts, and what else there could be as comments. Its first line leads editors with a YAML language server to the schema, so that they complete and check it: that of this release, by its address. Where there is no network, write it to a file with 'upgrademock scenario schema > scenario.schema.json', and put that name in place of the address.`,
		Example: `  upgrademock scenario new flaky-production --from server-error-for-a-while
  upgrademock scenario check --strict flaky-production.yaml`,
		Args: arguments(1, 1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := strings.TrimSuffix(args[0], ".yaml")
			if name == "" || strings.ContainsAny(name, `/\:#`) || strings.TrimSpace(name) != name {
				return fmt.Errorf("%q: wanted a name, such as flaky-production; --out says where the file is to be", args[0])
			}
			src, err := readBuiltIn(from)
			if err != nil {
				return err
			}
			text := explained(name, from, string(src))
			if _, err := scenario.Parse(name+".yaml", []byte(text)); err != nil {
				return failed(fmt.Errorf("%s cannot be written as a scenario of that name: %w", from, err))
			}
			switch out {
			case "-":
				_, err = fmt.Fprint(cmd.OutOrStdout(), text)
				return failed(err)
			case "":
				out = name + ".yaml"
			}
			if err := writeNew(out, []byte(text)); err != nil {
				return failed(fmt.Errorf("%s: %w", out, reasonOf(err)))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is written; 'upgrademock serve --scenario %s' serves it\n", out,
				filepath.Join(".", out))
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "happy-path", "the `name` of the built-in scenario to begin with")
	cmd.Flags().StringVar(&out, "out", "",
		"the `file` to write, which must not be there; - is standard output (default NAME.yaml)")
	return cmd
}

// parts are the keys of a scenario, with what is to be said of each, and an example where there is none.
var parts = []struct{ key, comment, example string }{
	{"when", "Which requests it is for: globs on what create gets. Without, it is for every request.",
		`when: {aim: production, contract: "M1*"}`},
	{"steps", "The states after process, in order. `for` is a time (2s), a number of polls (3 polls), or " +
		"`released`,\n" +
		"# which the control API does; the last step has none. `set` changes keys of the status answer.",
		"steps:\n  - {state: pending, for: 1 poll}\n  - {state: done}"},
	{"faults", "What goes wrong: the first that applies to a call is used. `skip` lets the first calls pass, `times`\n" +
		"# is how often it triggers. `at` is the same word as `on`, for YAML readers that take `on` for true.",
		"faults:\n  - {on: status, skip: 1, times: 2, failure: {reason: \"SERVER:ERROR\", message: try again}}\n" +
			"  - {on: upload, times: 1, after: 64KiB, reset: true}"},
	{"upgraded", "What comes back: same (the dump that was sent), built (a small valid zip), or files.",
		"upgraded: {archive: ./upgraded.zip}"},
	{"expect", "What a good client does: 'exec --expect' and 'certify' judge by it.",
		"expect: {exit: success, calls: {create: 1, status: \">=3\"}}"},
}

var nameLine = regexp.MustCompile(`(?m)^name: .*\n`)

// explained is a built-in scenario as a file to begin with.
func explained(name, from, src string) string {
	var head strings.Builder
	head.WriteString("# yaml-language-server: $schema=" + scenario.SchemaURL(version.Tag()) + "\n" +
		"# Made of the built-in scenario " + from + ". docs/reference/scenarios.md has all of the language.\n" +
		"# 'upgrademock scenario check FILE' finds mistakes, 'upgrademock serve --scenario FILE' serves it.\n")
	body := nameLine.ReplaceAllLiteralString(src, "name: "+quotedName(name)+"\n")
	var tail strings.Builder
	for _, p := range parts {
		begin := regexp.MustCompile(`(?m)^` + p.key + `:`)
		if at := begin.FindStringIndex(body); at != nil {
			body = body[:at[0]] + "\n# " + p.comment + "\n" + body[at[0]:]
			continue
		}
		tail.WriteString("\n# " + p.comment + "\n# " + strings.ReplaceAll(p.example, "\n", "\n# ") + "\n")
	}
	return head.String() + body + tail.String()
}

// quotedName is a name as YAML takes it for a text.
func quotedName(name string) string {
	if regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`).MatchString(name) {
		return name
	}
	return fmt.Sprintf("%q", name)
}

// writeNew writes a file that is not there yet.
func writeNew(name string, text []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}
