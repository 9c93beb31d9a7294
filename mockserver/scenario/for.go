package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/spelling"
)

// For is how long a step lasts: a time, a number of polls, or until it is released. At most one is set; the zero
// value is for ever.
type For struct {
	// Duration is the time that the step lasts.
	Duration time.Duration
	// Polls is the number of status calls that the step answers.
	Polls int
	// Released holds the request in the step until it is released.
	Released bool
}

// String returns the form that scripts have: `2s`, `1 poll`, `released`, and nothing for ever.
func (f For) String() string {
	switch {
	case f.Released:
		return "released"
	case f.Polls == 1:
		return "1 poll"
	case f.Polls != 0:
		return fmt.Sprintf("%d polls", f.Polls)
	case f.Duration != 0:
		return f.Duration.String()
	}
	return ""
}

// MarshalText returns what String returns.
func (f For) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what a script may say.
func (f *For) UnmarshalText(text []byte) error {
	parsed, err := parseFor(string(text))
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}

const wantFor = "wanted a duration such as `2s`, a number of polls such as `3 polls`, or `released`"

func parseFor(text string) (For, error) {
	if text == "released" {
		return For{Released: true}, nil
	}
	if count, unit, ok := strings.Cut(text, " "); ok && (unit == "poll" || unit == "polls") {
		polls, err := strconv.Atoi(count)
		switch {
		case err != nil:
			return For{}, wrong("%s, found %s", wantFor, quote(text))
		case polls < 1:
			return For{}, wrong("a step lasts at least `1 poll`, found %s", quote(text))
		}
		return For{Polls: polls}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d <= 0 {
			return For{}, wrong("a step lasts longer than zero, found %s", quote(text))
		}
		return For{Duration: d}, nil
	}
	if _, err := strconv.Atoi(text); err == nil {
		return For{}, wrong("say %s of what: `%ss` or `%s polls`", text, text, text)
	}
	return For{}, didYouMean(spelling.Nearest(text, "released", "1 poll"), "%s, found %s", wantFor, quote(text))
}

func (f For) check() error {
	set := 0
	for _, is := range []bool{f.Duration != 0, f.Polls != 0, f.Released} {
		if is {
			set++
		}
	}
	switch {
	case set > 1:
		return wrong("a step lasts a time, a number of polls, or until released: only one of them")
	case f.Duration < 0:
		return wrong("a step lasts longer than zero, found `%s`", f.Duration)
	case f.Polls < 0:
		return wrong("a step lasts at least `1 poll`, found `%d polls`", f.Polls)
	}
	return nil
}
