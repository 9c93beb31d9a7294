// Package helptext fits the help of commands into the width of the terminal.
package helptext

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The widths of help: no line is longer than widest, which is also the width where there is no terminal, and a
// terminal below narrowest breaks lines itself.
const (
	widest    = 120
	narrowest = 60
)

// Fit makes the help of root and of its commands fit the terminal that it is written to.
func Fit(root *cobra.Command) {
	show, template := root.HelpFunc(), root.UsageTemplate()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		width := columns(cmd.OutOrStdout())
		wrapped := fmt.Sprintf(".FlagUsagesWrapped %d ", width)
		cmd.Root().SetUsageTemplate(strings.ReplaceAll(template, ".FlagUsages ", wrapped))
		cmd.Long = Wrap(cmd.Long, width)
		show(cmd, args)
	})
}

// columns returns the width of help that is written to w.
func columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return min(max(n, narrowest), widest)
		}
	}
	return widest
}

// Wrap breaks the lines of text anew, so that none is longer than width characters unless one word is. Empty lines
// and lines that begin with a space stay as they are.
func Wrap(text string, width int) string {
	var out []string
	current := "" // the line that is being filled
	end := func() {
		if current != "" {
			out = append(out, current)
		}
		current = ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' {
			end()
			out = append(out, line)
			continue
		}
		for word := range strings.FieldsSeq(line) {
			switch {
			case current == "":
				current = word
			case len([]rune(current))+1+len([]rune(word)) <= width:
				current += " " + word
			default:
				end()
				current = word
			}
		}
	}
	end()
	return strings.Join(out, "\n")
}
