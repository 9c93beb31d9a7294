package helptext_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/helptext"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"short", "One line.", "One line."},
		{"long", "One line that is too long.", "One line that is too\nlong."},
		{"exactly", "12345678901234567890 x", "12345678901234567890\nx"},
		{"filled again", "One\nline\n\nand another.", "One line\n\nand another."},
		{"columns", "See:\n\n  a     the first of all letters\n\nor b.", "See:\n\n  a     the first of all letters\n\nor b."},
		{"a tab in a paragraph", "One\n\tline.", "One line."},
		{"characters, not bytes", "äääää äääää äääää äää", "äääää äääää äääää\näää"},
		{"a long word", "An https://upgrade.odoo.com/database one", "An\nhttps://upgrade.odoo.com/database\none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, helptext.Wrap(tt.text, 20)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	root := &cobra.Command{Use: "root"}
	child := &cobra.Command{Use: "child", Long: strings.Repeat("word ", 60), Run: func(*cobra.Command, []string) {}}
	child.Flags().String("flag", "", "a `thing` "+strings.Repeat("described ", 30))
	root.PersistentFlags().String("global", "", "a `thing` "+strings.Repeat("described ", 30))
	root.AddCommand(child)
	root.SetOut(&out)
	root.SetArgs([]string{"child", "--help"})
	helptext.Fit(root)
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "described"); n != 60 {
		t.Errorf("the flags are described with %d of 60 words:\n%s", n, out.String())
	}
	for line := range strings.SplitSeq(out.String(), "\n") {
		if utf8.RuneCountInString(line) > 120 {
			t.Errorf("a line of %d characters: %s", utf8.RuneCountInString(line), line)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want string }{{"--version", "root v1.2.3\n"}, {"", "run\n"}} {
		var out strings.Builder
		root := &cobra.Command{Use: "root", RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Println("run")
			return nil
		}}
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(strings.Fields(tt.args))
		helptext.Version(root, "v1.2.3")
		if err := root.Execute(); err != nil || out.String() != tt.want {
			t.Errorf("root %s: %q (%v), want %q", tt.args, out.String(), err, tt.want)
		}
	}
}

// Many flags are shown under titles, in the order of the groups, few under one; none is lost or hidden by it.
func TestFit_groups(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		flags []string
		want  []string
	}{
		{[]string{"a", "b"}, []string{"Flags:", "--a", "--b", "--help"}},
		{[]string{"a", "b", "c", "d", "e", "f", "g", "h"},
			[]string{"Second:", "--h", "First:", "--a", "--b", "Other:", "--c", "--d", "--e", "--f", "--g", "--help"}},
	} {
		var out strings.Builder
		root := &cobra.Command{Use: "root", Run: func(*cobra.Command, []string) {}}
		for _, name := range tt.flags {
			root.Flags().Bool(name, false, "do "+name)
		}
		root.Flags().Bool("secret", false, "never shown")
		root.Flags().MarkHidden("secret")
		root.SetOut(&out)
		root.SetArgs([]string{"--help"})
		helptext.Fit(root, helptext.Group{Title: "Second", Flags: "h none"},
			helptext.Group{Title: "First", Flags: "b a secret"})
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		got := regexp.MustCompile(`(?m)^[A-Z]\w+:$|--[a-z]+`).FindAllString(out.String(), -1)
		if diff := cmp.Diff(append([]string{"Usage:"}, tt.want...), got); diff != "" {
			t.Errorf("-want +got\n%s\n%s", diff, out.String())
		}
	}
}
