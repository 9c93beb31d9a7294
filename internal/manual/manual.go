// Package manual writes what packages of a program have beside it: manual pages, and completions for shells.
//
// It is for builds of releases: the programs link it with the tag "manual" only, since what makes the pages is larger
// than they are.
package manual

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// Write makes the directories man1, with a page for root and each of its commands, and completions, with a file for
// each shell, in dir. The pages have the version, and at as their date. The files have the names under which systems
// look for them. It changes the texts of root.
func Write(root *cobra.Command, version, dir string, at time.Time) error {
	root.InitDefaultCompletionCmd()
	root.DisableAutoGenTag = true
	pages, completions := filepath.Join(dir, "man1"), filepath.Join(dir, "completions")
	for _, made := range []string{pages, completions} {
		if err := os.MkdirAll(made, 0o755); err != nil {
			return fmt.Errorf("manual: %w", err)
		}
	}
	name := root.Name()
	for file, write := range map[string]func(string) error{
		name + ".bash": func(path string) error { return root.GenBashCompletionFileV2(path, true) },
		"_" + name:     root.GenZshCompletionFile,
		name + ".fish": func(path string) error { return root.GenFishCompletionFile(path, true) },
		name + ".ps1":  root.GenPowerShellCompletionFileWithDesc,
	} {
		if err := write(filepath.Join(completions, file)); err != nil {
			return fmt.Errorf("manual: completions of %s: %w", name, err)
		}
	}
	forMarkdown(root)
	header := &doc.GenManHeader{Section: "1", Date: &at, Source: root.Name() + " " + version,
		Manual: "User Commands"}
	if err := doc.GenManTree(root, header, pages); err != nil {
		return fmt.Errorf("manual: pages of %s: %w", root.Name(), err)
	}
	return nil
}

// forMarkdown makes the texts of cmd and of its commands what [doc.GenManTree] takes them for.
func forMarkdown(cmd *cobra.Command) {
	cmd.Long = markdown(cmd.Long)
	text := func(f *pflag.Flag) { f.Usage = markdown(f.Usage) }
	cmd.LocalNonPersistentFlags().VisitAll(text)
	cmd.PersistentFlags().VisitAll(text)
	for _, sub := range cmd.Commands() {
		forMarkdown(sub)
	}
}

var escape = strings.NewReplacer(`_`, `\_`, `*`, `\*`, `<`, `\<`, `\`, `\\`)

// markdown is a text in which no character means anything. Lines that begin with a space stay lines.
func markdown(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, " ") {
			lines[i] = "    " + line
		} else {
			lines[i] = escape.Replace(line)
		}
	}
	return strings.Join(lines, "\n")
}

// Command is a hidden command of a program that has the version. Its arguments are the directory of Write, and the time
// of the release, in seconds since 1970.
func Command(version string) *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIRECTORY SECONDS",
		Short:  "Write manual pages and completions",
		Args:   cobra.ExactArgs(2),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			var seconds int64
			if _, err := fmt.Sscan(args[1], &seconds); err != nil {
				return fmt.Errorf("%s: wanted seconds since 1970: %w", args[1], err)
			}
			return Write(cmd.Root(), version, args[0], time.Unix(seconds, 0).UTC())
		},
	}
}
