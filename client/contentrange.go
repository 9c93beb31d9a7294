package client

import (
	"net/http"
	"strconv"
	"strings"
)

// contentRange parses "bytes 0-99/1234", "bytes 0-99/*" and "bytes */1234". A number that is not given is -1.
func contentRange(s string) (first, last, total int64, ok bool) {
	first, last, total = -1, -1, -1
	spec, found := strings.CutPrefix(strings.TrimSpace(s), "bytes ")
	if !found {
		return first, last, total, false
	}
	span, size, found := strings.Cut(spec, "/")
	if !found {
		return first, last, total, false
	}
	var err error
	if size != "*" {
		if total, err = strconv.ParseInt(size, 10, 64); err != nil || total < 0 {
			return -1, -1, -1, false
		}
	}
	if span == "*" {
		return first, last, total, size != "*"
	}
	a, b, found := strings.Cut(span, "-")
	if !found {
		return -1, -1, -1, false
	}
	f, err1 := strconv.ParseInt(a, 10, 64)
	l, err2 := strconv.ParseInt(b, 10, 64)
	if err1 != nil || err2 != nil || f < 0 || l < f || (total >= 0 && l >= total) {
		return -1, -1, -1, false
	}
	return f, l, total, true
}

// rangeLength returns the length of the range in a Content-Range header.
func rangeLength(h http.Header) int64 {
	first, last, _, _ := contentRange(h.Get("Content-Range"))
	return last - first + 1
}

// contentCoding returns the content codings of an answer, for messages; empty if there are none.
func contentCoding(h http.Header) string {
	var codings []string
	for _, c := range strings.Split(strings.Join(h.Values("Content-Encoding"), ","), ",") {
		if c = strings.TrimSpace(c); c != "" && !strings.EqualFold(c, "identity") {
			codings = append(codings, printable(c, 40))
		}
	}
	return strings.Join(codings, ", ")
}
