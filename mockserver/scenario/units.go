package scenario

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/bytesize"
)

// parseSize reads a number of bytes: 65536, 64KiB, 1.5MiB, 10MB.
func parseSize(text string) (int64, error) {
	n, err := bytesize.Parse(text, quote)
	if wrong, ok := errors.AsType[*bytesize.Error](err); ok {
		err = problem{message: wrong.Message, nearest: wrong.Nearest}
	}
	return n, err
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

func formatRate(n int64) string { return bytesize.Format(n) + "/s" }

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
