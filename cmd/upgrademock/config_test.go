package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// Values of every form arrive as they stand in the file.
func TestConfigure_file(t *testing.T) {
	t.Parallel()
	cmd := newServeCommand()
	text := `
http: 127.0.0.1:9000      # a comment
https: ""
sftp:
clock: "virtual"
verbose: true
seed: 007
target: [9.0, 10.0]
contract:
  - M1*
  - 'it''s'
scenario: happy-path
---
region: |
  eu2
`
	if err := make(places).fromFile(cmd, "serve.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]any)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			got[f.Name] = list.GetSlice()
		} else {
			got[f.Name] = f.Value.String()
		}
	})
	want := map[string]any{"http": "127.0.0.1:9000", "https": "", "sftp": "", "clock": "virtual", "verbose": "true",
		"seed": "7", "target": []string{"9.0", "10.0"}, "contract": []string{"M1*", "it's"},
		"scenario": []string{"happy-path"}, "region": "eu2\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConfigure_mistakes(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"\n  clok: virtual":    `serve.yaml:2:3: serve has no flag "clok"; did you mean clock?`,
		"nonsense: 1":          `serve has no flag "nonsense"; 'upgrademock serve --help' lists them`,
		"config: other.yaml":   `serve has no flag "config"`,
		"help: true":           `serve has no flag "help"`,
		"clock: [real]":        "serve.yaml:1:1: clock: wanted one value, not a list",
		"scenario: {a: b}":     "scenario: wanted a value, or a list of values",
		"scenario: [[a]]":      "scenario: wanted a value, or a list of values",
		"- clock":              "wanted flags with their values, such as clock: virtual",
		"clock: 'virtual":      "serve.yaml: [1:",
		"max-dump: 3parsecs":   `serve.yaml:1:1: --max-dump "3parsecs": wanted a number of bytes`,
		"http: localhost":      "wanted HOST:PORT",
		"failure-status: '4x'": "wanted a whole number",
	} {
		if err := make(places).fromFile(newServeCommand(), "serve.yaml", []byte(text)); err == nil ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %s", text, err, says)
		}
	}
}
