// Package bytesize reads and writes numbers of bytes as people do: 65536, 64KiB, 1.5MiB, 10MB.
package bytesize

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/internal/spelling"
)

// units are those that sizes are written in. The binary ones come first, the largest first, which is the order of
// Format.
var units = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}, {"", 1},
}

const binary = 4 // units

// Units returns the names of the units, among them "".
func Units() []string {
	names := make([]string, len(units))
	for i, unit := range units {
		names[i] = unit.name
	}
	return names
}

// Error says what is wrong with a text that is no size.
type Error struct {
	// Message is what was wanted and found. The text in it is in backquotes.
	Message string
	// Nearest is the text that was probably meant, or "" if none is near.
	Nearest string
}

func (e *Error) Error() string {
	if e.Nearest == "" {
		return e.Message
	}
	return e.Message + ", did you mean `" + e.Nearest + "`?"
}

var pattern = regexp.MustCompile(`^(-?\d+(?:\.\d+)?) ?([A-Za-z]*)$`)

// Parse reads a number of bytes, which is not negative. The unit's case counts only between KiB and nothing: there is
// no Kb, which people read in two ways. quote is how the text stands in a message. The error is an *[Error].
func Parse(text string, quote func(string) string) (int64, error) {
	const want = "wanted a number of bytes such as `64KiB`, `1MiB` or `1048576`"
	parts := pattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, &Error{Message: want + ", found " + quote(text)}
	}
	for _, unit := range units {
		if unit.name != parts[2] {
			continue
		}
		whole, err := strconv.ParseInt(parts[1], 10, 64)
		if err == nil && whole >= math.MinInt64/unit.size && whole <= math.MaxInt64/unit.size {
			return notNegative(whole*unit.size, quote(text))
		}
		n, err := strconv.ParseFloat(parts[1], 64)
		n *= float64(unit.size)
		switch {
		case err != nil || math.Abs(n) >= math.MaxInt64:
			return 0, &Error{Message: quote(text) + " is more bytes than can be counted"}
		case n != math.Trunc(n):
			return 0, &Error{Message: quote(text) + " is not a whole number of bytes"}
		}
		return notNegative(int64(n), quote(text))
	}
	meant := spelling.Nearest(parts[2], Units()...)
	if meant != "" {
		meant = parts[1] + meant
	}
	return 0, &Error{Message: want + ", found " + quote(text), Nearest: meant}
}

func notNegative(n int64, quoted string) (int64, error) {
	if n < 0 {
		return 0, &Error{Message: "a number of bytes is not negative, found " + quoted}
	}
	return n, nil
}

// Format writes n in the largest binary unit that it is a whole number of, so that Parse reads it back exactly.
func Format(n int64) string {
	for _, unit := range units[:binary] {
		if n != 0 && n%unit.size == 0 {
			return strconv.FormatInt(n/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Pattern returns the regular expression of what Parse reads, without anchors.
func Pattern() string {
	return `[0-9]+(\.[0-9]+)? ?(` + strings.Join(Units(), "|") + ")"
}
