package rsync

import (
	"fmt"
	"strings"
)

// splitLine takes a command line apart into words as a POSIX shell does: blanks separate, single and double quotes
// keep together, a backslash takes the next character as it is. What a shell would act upon, such as variables,
// pipes and comments, is an error. Wildcards are not expanded, as in a directory where nothing matches.
func splitLine(line string) ([]string, error) {
	var (
		words []string
		word  strings.Builder
		begun bool // a word is under way, which may be empty
	)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t':
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
			continue
		case '\\':
			i++
			if i == len(line) {
				return nil, fmt.Errorf("the command line ends with a backslash")
			}
			if line[i] == '\n' { // continues the line
				continue
			}
			word.WriteByte(line[i])
		case '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("the command line has a single quote that is not closed")
			}
			word.WriteString(line[i+1 : i+1+end])
			i += 1 + end
		case '"':
			n, err := doubleQuoted(line[i+1:], &word)
			if err != nil {
				return nil, err
			}
			i += n
		case '~', '#':
			if !begun {
				return nil, notQuoted(c)
			}
			word.WriteByte(c)
		case '$', '`', ';', '&', '|', '<', '>', '(', ')', '\n', '\r', 0:
			return nil, notQuoted(c)
		default:
			word.WriteByte(c)
		}
		begun = true
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}

// doubleQuoted adds the text up to the closing quote to the word, and returns the number of bytes it takes with it.
func doubleQuoted(text string, word *strings.Builder) (int, error) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			return i + 1, nil
		case '$', '`', 0:
			return 0, notQuoted(c)
		case '\\':
			if i+1 < len(text) && strings.IndexByte("$`\"\\\n", text[i+1]) >= 0 {
				i++
				if text[i] == '\n' {
					continue
				}
			}
			word.WriteByte(text[i])
		default:
			word.WriteByte(c)
		}
	}
	return 0, fmt.Errorf("the command line has a double quote that is not closed")
}

func notQuoted(c byte) error {
	return fmt.Errorf("the command line has %q without a backslash before it", rune(c))
}
