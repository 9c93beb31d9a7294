package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// values are two that the flag takes: as they are given, and as the flag shows them.
func values(t *testing.T, name string) (given, shown [2]string) {
	found := 0
	for _, text := range []string{"true", "false", "127.0.0.1:1", "127.0.0.1:2", "11", "12", "3h0m0s", "4h0m0s", "64KiB",
		"1MiB", "virtual", "real", "some", "others"} {
		cmd := newServeCommand()
		if cmd.Flags().Set(name, text) != nil || found == 2 {
			continue
		}
		given[found], shown[found] = text, valueOf(cmd, name)
		found++
	}
	if found < 2 {
		t.Fatalf("--%s takes none of the values of this test", name)
	}
	return given, shown
}

func valueOf(cmd *cobra.Command, name string) string {
	value := cmd.Flags().Lookup(name).Value
	if list, ok := value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), "|")
	}
	return value.String()
}

// Each flag of serve can be set in a file, by a variable and on the command line, each of which is stronger than
// the one before; lists are replaced as a whole. A value that the flag does not take is refused with the place where it
// stands.
func TestConfigure_everyFlag(t *testing.T) {
	t.Parallel()
	for _, name := range configurable(newServeCommand()) {
		if name == "config" {
			continue
		}
		given, shown := values(t, name)
		variable := flagVariable(name)
		for _, tc := range []struct {
			args, env []string
			file      string
			want      string
		}{
			{nil, nil, fmt.Sprintf("%s: %s\n", name, given[0]), shown[0]},
			{nil, []string{variable + "=" + given[0]}, fmt.Sprintf("%s: %q\n", name, given[1]), shown[0]},
			{[]string{"--" + name + "=" + given[1]}, []string{variable + "=" + given[0]}, name + ": " + given[0], shown[1]},
		} {
			cmd := newServeCommand()
			if err := cmd.ParseFlags(tc.args); err != nil {
				t.Fatal(err)
			}
			if err := make(places).fromEnvironment(cmd, tc.env); err != nil {
				t.Error(err)
			}
			if err := make(places).fromFile(cmd, "serve.yaml", []byte(tc.file)); err != nil {
				t.Error(err)
			}
			if got := valueOf(cmd, name); got != tc.want {
				t.Errorf("%v, %v and %q make it %q, want %q", tc.args, tc.env, tc.file, got, tc.want)
			}
		}
		if _, many := newServeCommand().Flags().Lookup(name).Value.(pflag.SliceValue); many {
			cmd, other := newServeCommand(), newServeCommand()
			if err := make(places).fromEnvironment(cmd, []string{variable + "=a, b ,c,"}); err != nil {
				t.Error(err)
			}
			if err := make(places).fromFile(other, "serve.yaml", []byte(name+":\n- a\n- b\n- c\n")); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{"a|b|c", "a|b|c"}, []string{valueOf(cmd, name), valueOf(other, name)}); diff != "" {
				t.Errorf("--%s (-want +got):\n%s", name, diff)
			}
		}
		const wrong = "no such value"
		if newServeCommand().Flags().Set(name, wrong) == nil {
			continue // it is any text, and looked at later
		}
		err := make(places).fromEnvironment(newServeCommand(), []string{variable + "=" + wrong})
		if err == nil || !strings.HasPrefix(err.Error(), "the variable "+variable+": --"+name+" ") {
			t.Errorf("a wrong %s: %v", variable, err)
		}
		err = make(places).fromFile(newServeCommand(), "serve.yaml", []byte("\n"+name+": "+wrong))
		if err == nil || !strings.HasPrefix(err.Error(), "--config serve.yaml:2:1: --"+name+" ") {
			t.Errorf("a wrong %s in a file: %v", name, err)
		}
	}
}

// A flag that stands in a file twice is a mistake, also in another document.
func TestConfigure_twice(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"clock: real\nclock: virtual", "clock: real\n---\nclock: virtual"} {
		err := make(places).fromFile(newServeCommand(), "serve.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), "clock") || !slices.ContainsFunc([]string{":2:", ":3:", "[2:"},
			func(place string) bool { return strings.Contains(err.Error(), place) }) {
			t.Errorf("%q: %v", text, err)
		}
	}
	edited := []byte("\ufeffclock: real\r\nverbose: true\r\n")
	if err := make(places).fromFile(newServeCommand(), "serve.yaml", edited); err != nil {
		t.Errorf("an editor's mark and line ends: %v", err)
	}
}
