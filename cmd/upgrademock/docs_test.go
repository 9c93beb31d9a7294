package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

var (
	codeInPages = regexp.MustCompile("(?ms)^ *```.*?^ *```$|`[^`\n]+`")
	lineOfOurs  = regexp.MustCompile(`(?:^|[\s` + "`" + `"(/])upgrademock +([a-z][^|>#\n` + "`" + `]*)`)
	longFlag    = regexp.MustCompile(`^--([a-z][a-z-]+)`)
)

// Each command line of this program that a page shows has a command and flags that there are. A command without the
// program's name before it is known by its own.
func TestDocs_commands(t *testing.T) {
	t.Parallel()
	list := exec.Command("git", "ls-files", "*.md", "deploy", "action.yml", "Dockerfile")
	list.Dir = "../.."
	pages, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	root, seen := newRootCommand(), 0
	for page := range strings.FieldsSeq(string(pages)) {
		text, err := os.ReadFile(filepath.Join("../..", page))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range codeInPages.FindAllString(string(text), -1) {
			code = strings.ReplaceAll(code, "\\\n", " ")
			lines := lineOfOurs.FindAllStringSubmatch(code, -1)
			if span := strings.Trim(code, "`"); !strings.HasPrefix(code, "```") && len(lines) == 0 {
				if name, _, _ := strings.Cut(span, " "); named(root, name) {
					lines = [][]string{{span, span}}
				}
			}
			for _, line := range lines {
				if word, _, _ := strings.Cut(line[1], " "); strings.HasSuffix(word, ":") || line[1] == "data directory, format 1" {
					continue // what the program has said, or written into a file
				}
				seen++
				if why := wrongCommand(root, line[1]); why != "" {
					t.Errorf("%s: %s: %s", page, line[1], why)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d command lines were found", seen)
	}
}

// The recipes for CI systems are YAML.
func TestDocs_recipes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/howto/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	recipes := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(recipes) < 4 {
		t.Errorf("only %d recipes were found", len(recipes))
	}
	for _, recipe := range recipes {
		var parsed any
		if err := yaml.Unmarshal(recipe[1], &parsed); err != nil {
			t.Errorf("%s\n%v", recipe[1], err)
		}
	}
}

func named(root *cobra.Command, name string) bool {
	for _, cmd := range root.Commands() {
		if cmd.Name() == name {
			return true
		}
	}
	return false
}

// wrongCommand says what is wrong with the words behind the program's name, up to those of another program.
func wrongCommand(root *cobra.Command, line string) string {
	line, _, _ = strings.Cut(line, " -- ")
	words := strings.Fields(strings.TrimSuffix(line, " --"))
	if !named(root, words[0]) {
		return "there is no such command"
	}
	cmd, _, err := root.Find(words[:min(2, len(words))])
	if err != nil {
		return err.Error()
	}
	for _, word := range words {
		if flag := longFlag.FindStringSubmatch(word); flag != nil && flag[1] != "help" &&
			cmd.Flags().Lookup(flag[1]) == nil && cmd.InheritedFlags().Lookup(flag[1]) == nil {
			return cmd.CommandPath() + " has no --" + flag[1]
		}
	}
	return ""
}

// The test above finds what is wrong.
func TestWrongCommand(t *testing.T) {
	t.Parallel()
	root := newRootCommand()
	for line, want := range map[string]string{
		"serve --open":                      "",
		"scenario check --strict a.yaml":    "",
		"exec --expect -- ./x --no-such":    "",
		"sevre --open":                      "there is no such command",
		"serve --opne":                      "upgrademock serve has no --opne",
		"conformance diff --no-such OLD":    "upgrademock conformance diff has no --no-such",
		"certify --pack basic --json -- ./": "",
	} {
		if got := wrongCommand(root, line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
