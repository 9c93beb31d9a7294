package scenario

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/spelling"
)

// units are those that sizes are written in, the largest binary ones first, which is the order of formatting.
var units = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}, {"", 1},
}

var sizePattern = regexp.MustCompile(`^(-?\d+(?:\.\d+)?) ?([A-Za-z]*)$`)

// ParseSize reads a number of bytes as the language writes it: 65536, 64KiB, 1.5MiB, 10MB.
func ParseSize(text string) (int64, error) { return parseSize(text) }

// parseSize reads a number of bytes: 65536, 64KiB, 1.5MiB, 10MB. The unit's case counts only between `KiB` and
// nothing: there is no `Kb`, which people read in two ways.
func parseSize(text string) (int64, error) {
	const want = "wanted a number of bytes such as `64KiB`, `1MiB` or `1048576`"
	parts := sizePattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, wrong("%s, found %s", want, quote(text))
	}
	for _, unit := range units {
		if unit.name != parts[2] {
			continue
		}
		if whole, err := strconv.ParseInt(parts[1], 10, 64); err == nil && abs(whole) <= math.MaxInt64/unit.size {
			return checkSize(whole*unit.size, text)
		}
		n, err := strconv.ParseFloat(parts[1], 64)
		n *= float64(unit.size)
		switch {
		case err != nil || math.Abs(n) >= math.MaxInt64:
			return 0, wrong("%s is more bytes than can be counted", quote(text))
		case n != math.Trunc(n):
			return 0, wrong("%s is not a whole number of bytes", quote(text))
		}
		return checkSize(int64(n), text)
	}
	names := make([]string, len(units))
	for i, unit := range units {
		names[i] = unit.name
	}
	meant := spelling.Nearest(parts[2], names...)
	if meant != "" {
		meant = parts[1] + meant
	}
	return 0, didYouMean(meant, "%s, found %s", want, quote(text))
}

func checkSize(n int64, text string) (int64, error) {
	if n < 0 {
		return 0, wrong("a number of bytes is not negative, found %s", quote(text))
	}
	return n, nil
}

func abs(n int64) int64 {
	if n < 0 && n != math.MinInt64 {
		return -n
	}
	if n < 0 {
		return math.MaxInt64
	}
	return n
}

// formatSize writes n in the largest binary unit that it is a whole number of.
func formatSize(n int64) string {
	for _, unit := range units[:4] {
		if n != 0 && n%unit.size == 0 {
			return strconv.FormatInt(n/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// parseRate reads bytes per second: `1KiB/s`.
func parseRate(text string) (int64, error) {
	size, per, found := strings.Cut(text, "/")
	n, err := parseSize(size)
	switch {
	case err != nil || (found && per != "s"):
		return 0, wrong("wanted bytes per second such as `1KiB/s`, found %s", quote(text))
	case !found:
		return 0, didYouMean(text+"/s", "wanted bytes per second such as `1KiB/s`, found %s", quote(text))
	case n == 0:
		return 0, wrong("a rate is more than zero, found %s: for an answer that never comes use `delay`", quote(text))
	}
	return n, nil
}

func formatRate(n int64) string { return formatSize(n) + "/s" }

// parseDuration reads a time longer than zero.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		meant := ""
		if _, err := strconv.ParseUint(text, 10, 31); err == nil {
			meant = text + "s"
		}
		return 0, didYouMean(meant, "wanted a duration such as `500ms`, `2s` or `1h30m`, found %s", quote(text))
	}
	if d <= 0 {
		return 0, wrong("a duration is longer than zero here, found %s", quote(text))
	}
	return d, nil
}

func formatDuration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
