package manual_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/manual"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

func program() *cobra.Command {
	root := &cobra.Command{Use: "tool", Short: "Does things",
		Long: "tool reads TOOL_HOME and a*b*c.\n\n  {dump}  TOOL_DUMP\n  {out}   <none>"}
	root.PersistentFlags().String("tool-home", "", "a `directory` in place of TOOL_HOME")
	act := &cobra.Command{Use: "act NAME", Short: "Acts", Run: func(*cobra.Command, []string) {}}
	act.Flags().Bool("fast", false, "skip SLOW_PARTS")
	root.AddCommand(act, manual.Command("v1.2.3"))
	return root
}

func TestCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := program()
	root.SetArgs([]string{"manual", dir, "1700000000"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	page := read("man1/tool.1")
	for _, want := range []string{`"Nov 2023" "tool v1.2.3" "User Commands"`, "TOOL_HOME and a*b*c.",
		"  {dump}  TOOL_DUMP\n  {out}   <none>"} {
		if !strings.Contains(page, want) {
			t.Errorf("tool.1 has no %q:\n%s", want, page)
		}
	}
	if page := read("man1/tool-act.1"); !strings.Contains(page, "skip SLOW_PARTS") ||
		!strings.Contains(page, "in place of TOOL_HOME") {
		t.Errorf("tool-act.1 lacks flags:\n%s", page)
	}
	if _, err := os.Stat(filepath.Join(dir, "man1/tool-manual.1")); err == nil {
		t.Error("the hidden command has a page")
	}
	made, err := filepath.Glob(filepath.Join(dir, "completions", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range made {
		made[i] = filepath.Base(made[i])
	}
	if diff := cmp.Diff([]string{"_tool", "tool.bash", "tool.fish", "tool.ps1"}, made); diff != "" {
		t.Errorf("completions (-want +got):\n%s", diff)
	}
	bash := testprog.Need(t, "bash", "bash")
	if out, err := exec.Command(bash, "-n", filepath.Join(dir, "completions/tool.bash")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWrite_fails(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := manual.Write(program(), "v1.2.3", file, time.Now()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("into a file: %v", err)
	}
	root := program()
	root.SetArgs([]string{"manual", t.TempDir(), "yesterday"})
	root.SilenceErrors, root.SilenceUsage = true, true
	if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "wanted seconds since 1970") {
		t.Errorf("no time: %v", err)
	}
}
