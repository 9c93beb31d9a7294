package sshkeys

import (
	"regexp"
	"strings"
)

// isDense reports whether a text has a long run of base64 or hexadecimal digits that looks random, white space
// aside, and that is not of a public key, or of the names in a path.
func isDense(text string) bool {
	fields := strings.Fields(strings.ReplaceAll(text, "\x00", ""))
	var b strings.Builder
	for i, field := range fields {
		if i > 0 && isPublicBlob(fields[i-1], field) || isPath(field) {
			b.WriteByte('.')
			continue
		}
		b.WriteString(field)
	}
	return longestRun(b.String(), isDigit64, (*run).dense)
}

// longestRun reports whether a run of characters that belong together is as wanted.
func longestRun(text string, belongs func(rune) bool, wanted func(*run) bool) bool {
	var r run
	for _, c := range text {
		if belongs(c) {
			r.add(c)
			continue
		}
		if wanted(&r) {
			return true
		}
		r = run{}
	}
	return wanted(&r)
}

// pathStart is how an absolute path, one from the present directory, or a URL begins, also in quotes or as the
// value of a flag.
var pathStart = regexp.MustCompile("^[\"'`(<\\[]*(?:-{0,2}[a-z][a-z-]{0,19}=)?" +
	`(?:~?/|\.{1,2}/|[A-Za-z]:/|[a-z][a-z0-9+.-]{0,19}://)`)

// isPath reports whether a field is a path or a URL with no name in it that may be of a private key. A line of a
// key that happens to begin with a slash is none: its names are long and look random.
func isPath(field string) bool {
	return pathStart.MatchString(field) &&
		!longestRun(field, func(c rune) bool { return isDigit64(c) && c != '/' && c != '=' }, (*run).secretName)
}

// isDigit64 reports whether c is a digit of base64, padding and the alphabet for URLs included.
func isDigit64(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("+/=_-", c)
}

// run counts the characters of a run, and how often their kind changes: in what is random, at about two of three.
type run struct {
	length, changes, hex     int
	lower, upper, digit, was int
	word, inWords            int // characters of the present word, and of all words
	seen                     [128]bool
	distinct                 int
}

// add counts one more character, a digit of base64.
func (r *run) add(c rune) {
	kind := 4
	switch {
	case 'a' <= c && c <= 'z':
		kind = 1
		r.lower++
	case 'A' <= c && c <= 'Z':
		kind = 2
		r.upper++
	case '0' <= c && c <= '9':
		kind = 3
		r.digit++
	}
	if kind == 3 || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' {
		r.hex++
	}
	if !r.seen[c] {
		r.seen[c] = true
		r.distinct++
	}
	r.addToWord(kind)
	if r.length++; kind != r.was {
		r.changes++
	}
	r.was = kind
}

// addToWord counts the characters of words: three and more lower-case letters, with a capital before them or not.
func (r *run) addToWord(kind int) {
	const shortest = 3
	switch {
	case kind == 2:
		r.word = 1
	case kind == 1 && (r.was == 1 || r.was == 2):
		r.word++
	case kind == 1:
		r.word = 1
	default:
		r.word = 0
	}
	if kind != 1 || r.word < shortest {
		return
	}
	if r.word == shortest {
		r.inWords += shortest
	} else {
		r.inWords++
	}
}

// random reports whether the kinds of characters are mixed as in base64, and not as in words.
func (r *run) random() bool {
	return r.changes*5 >= r.length*2 && r.lower > 2 && r.upper > 2 && r.digit > 0 && r.inWords*2 < r.length
}

func (r *run) dense() bool {
	return r.length >= 40 && r.random() || r.length >= 64 && r.hex == r.length && r.digit > 2
}

// secretName reports whether a name in a path may be of a private key. Hexadecimal digits are not: directories are
// named for checksums.
func (r *run) secretName() bool {
	const (
		shortest = 32
		distinct = 18 // of 32 random digits, more than 20 are
	)
	return r.length >= shortest && r.random() && r.changes*10 <= r.length*9 && r.distinct >= distinct
}
