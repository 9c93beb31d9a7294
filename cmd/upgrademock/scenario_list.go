package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// listed is a built-in scenario as `scenario list --json` has it.
type listed struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	API         string   `json:"api"`   // database, script, or both
	Packs       []string `json:"packs"` // of certify
	Wires       []string `json:"wires"` // on which a client can meet it
}

func newScenarioListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the built-in scenarios, with certify's packs and the ways for a dump",
		Example: `  upgrademock scenario list
  upgrademock scenario list --json | jq -r '.[] | select(.wires | index("sftp")) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := listScenarios()
			if err == nil {
				err = printScenarios(cmd.OutOrStdout(), list, asJSON)
			}
			return failed(err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return cmd
}

// listScenarios are the built-in ones, in the order of their names.
func listScenarios() ([]listed, error) {
	in := map[string][]string{} // scenario → packs
	for _, pack := range packs {
		scripts, err := unpack(pack)
		if err != nil {
			return nil, err
		}
		for _, s := range scripts {
			in[s.Name] = append(in[s.Name], pack)
		}
	}
	var list []listed
	for _, name := range scenario.Builtins() {
		s, err := scenario.Builtin(name)
		if err != nil {
			return nil, err
		}
		list = append(list, listed{Name: s.Name, Description: s.Description, API: cmp.Or(s.When["api"], "both"),
			Packs: append([]string{}, in[name]...), Wires: certify.Wires(s)})
	}
	return list, nil
}

func printScenarios(w io.Writer, list []listed, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	}
	table := newTable(w)
	fmt.Fprintln(table, "NAME\tPACKS\tWIRES\tDESCRIPTION")
	for _, s := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, cmp.Or(strings.Join(s.Packs, ","), "-"), strings.Join(s.Wires, ","),
			s.Description)
	}
	return table.Flush()
}

// newTable aligns columns that are separated by tabs.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }
