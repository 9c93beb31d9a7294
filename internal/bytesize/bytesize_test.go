package bytesize_test

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"testing"

	"github.com/upgrademock/upgrademock/internal/bytesize"
)

func TestParse(t *testing.T) {
	t.Parallel()
	whole := regexp.MustCompile("^" + bytesize.Pattern() + "$")
	for text, want := range map[string]int64{
		"0": 0, "65536": 65536, "64KiB": 64 << 10, "64 KiB": 64 << 10, "1.5MiB": 3 << 19, "10MB": 10e6, "1kB": 1000,
		"1KB": 1000,
		"7B":  7, "2TiB": 2 << 40, "9223372036854775807": math.MaxInt64,
	} {
		got, err := bytesize.Parse(text, strconv.Quote)
		if err != nil || got != want || !whole.MatchString(text) {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "", "x": "", "-1": "", "1Kb": "1kB", "1Mib": "1MiB", "1.3": "", "9e9": "", "1.5B": "", "9999999TiB": "",
		"-9999999TiB":         "",
		"9223372036854775808": "",
	} {
		got, err := bytesize.Parse(text, strconv.Quote)
		wrong, ok := errors.AsType[*bytesize.Error](err)
		if !ok || want != "" && wrong.Nearest == "" {
			t.Errorf("%q: %d, %v; want an error, nearest %q", text, got, err, want)
		}
	}
}

func FuzzFormat(f *testing.F) {
	for _, n := range []int64{0, 1, 1000, 1024, 3 << 19, 5 << 40, math.MaxInt64} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		if n < 0 {
			return
		}
		text := bytesize.Format(n)
		if got, err := bytesize.Parse(text, strconv.Quote); err != nil || got != n {
			t.Errorf("%d is written %q, and read as %d, %v", n, text, got, err)
		}
	})
}
