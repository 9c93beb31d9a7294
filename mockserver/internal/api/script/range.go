package script

import (
	"math"
	"net/textproto"
	"strconv"
	"strings"
)

// part is a part of a text, from a byte up to but without another.
type part struct{ from, to int64 }

// rangeOf is the part of a text of that size that the header Range asks for. ok is false where it asks for the whole:
// it is absent, no range of bytes, not well-formed, or several ranges (RFC 9110 section 14.2 lets a server ignore it).
// A part behind the end is empty (row S8.6).
func rangeOf(header string, size int64) (p part, ok bool) {
	unit, set, found := strings.Cut(header, "=")
	first, last, dash := strings.Cut(set, "-")
	first, last = textproto.TrimString(first), textproto.TrimString(last)
	if !found || !dash || !strings.EqualFold(textproto.TrimString(unit), "bytes") {
		return part{}, false
	}
	if first == "" { // the last bytes, as many as that
		n, ok := number(last)
		return part{size - min(n, size), size}, ok
	}
	from, ok := number(first)
	if !ok {
		return part{}, false
	}
	to := size
	if last != "" {
		end, ok := number(last)
		if !ok || end < from {
			return part{}, false
		}
		to = min(end, size-1) + 1
	}
	return part{min(from, size), max(to, min(from, size))}, true
}

// number is a number of decimal digits alone. One that is too large is the largest there is.
func number(digits string) (int64, bool) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	return n, true
}
