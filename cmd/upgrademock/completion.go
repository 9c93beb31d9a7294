package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/helptext"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// completeFlags has shells complete what the flags take.
func completeFlags(root *cobra.Command) {
	yaml := helptext.Files("yaml", "yml", "json")
	packed := helptext.Choose("basic\tthe database API, shortly", "full\tthe database API",
		"script-basic\tthe script API, shortly", "script-full\tthe script API")
	helptext.Complete(root, map[string]cobra.CompletionFunc{
		"api":   helptext.Choose("database\t/database/v1", "script\tthe upgrade script's", "all\tboth"),
		"color": helptext.Choose("auto", "always", "never"),
		"doc":   helptext.Choose("11.0", "13.0"),
		"level": helptext.Choose("documented\tthe official page",
			"observed\tand what later pages say, and known clients rely on", "assumed\tand this project's conventions"),
		"log-format": helptext.Choose("text", "json"),
		"pack":       helptext.Either(both(packed, completeScenarios), yaml),
		"scenario":   helptext.Either(completeScenarios, yaml),
		"from":       completeScenarios,
		"shard":      helptext.Choose("auto\tfrom CI_NODE_INDEX and CI_NODE_TOTAL"),
		"via":        helptext.Choose("both", "https", "sftp"),

		"baseline": helptext.Files("yaml", "yml"), "config": helptext.Files("yaml", "yml"),
		"junit":   helptext.Files("xml"),
		"ca-file": helptext.Files("pem", "crt", "cer"), "journal": helptext.Files("jsonl", "json"),
		"capsule": helptext.Files("capsule"), "resume-from": helptext.Files("json"), "ready-file": helptext.Files("json"),
	})
	for path, complete := range map[string]cobra.CompletionFunc{
		"scenario show": first(completeScenarios), "scenario check": yaml,
		"scenario from": helptext.Files("json", "jsonl", "har"), "scenario new": first(cobra.NoFileCompletions),
		"replay":       first(helptext.Files("capsule")),
		"report merge": helptext.Files("json", "xml"), "conformance diff": helptext.Files("json"),
		"certify": helptext.Either(completeScenarios, yaml), "ready": helptext.Files("json"),
		"serve": cobra.NoFileCompletions, "conformance": cobra.NoFileCompletions, "ca": cobra.NoFileCompletions,
	} {
		if cmd, _, err := root.Find(strings.Fields(path)); err == nil {
			cmd.ValidArgsFunction = complete
		}
	}
}

// completeScenarios completes the name of a built-in scenario.
func completeScenarios(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	for _, name := range scenario.Builtins() {
		if s, err := scenario.Builtin(name); err == nil {
			names = append(names, cobra.CompletionWithDesc(name, s.Description))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// both completes what either does.
func both(a, b cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		some, _ := a(cmd, args, begun)
		more, directive := b(cmd, args, begun)
		return append(some[:len(some):len(some)], more...), directive
	}
}

// first completes the first argument only; what follows it is of no kind that is known here.
func first(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return complete(cmd, args, begun)
	}
}
