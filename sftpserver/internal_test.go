package sftpserver

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRanges compares with a plain set of bytes.
func TestRanges(t *testing.T) {
	t.Parallel()
	const size = 64
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var r ranges
		var have [size + 1]bool
		for range 12 {
			from, to := random.Int64N(size), random.Int64N(size+1)
			if random.IntN(5) == 0 {
				r.cut(from)
				for i := from; i < size; i++ {
					have[i] = false
				}
			} else {
				if !r.add(from, to) {
					t.Fatal("too scattered")
				}
				for i := from; i < to; i++ {
					have[i] = true
				}
			}
			var want []Range
			whole := int64(0)
			for i := int64(0); i < size; i++ {
				if have[i] && (i == 0 || !have[i-1]) {
					want = append(want, Range{From: i})
				}
				if have[i] && !have[i+1] {
					want[len(want)-1].To = i + 1
				}
				if have[i] && whole == i {
					whole++
				}
			}
			if diff := cmp.Diff(want, r.snapshot()); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if !r.covers(whole) || r.covers(whole+1) {
				t.Fatalf("covers(%d) = %v, covers(%d) = %v of %v", whole, r.covers(whole), whole+1, r.covers(whole+1), want)
			}
		}
	}
}

func TestRanges_areBounded(t *testing.T) {
	t.Parallel()
	var r ranges
	for i := range int64(maxRanges) {
		if !r.add(2*i, 2*i+1) {
			t.Fatalf("refused the %dth", i)
		}
	}
	if r.add(2*maxRanges, 2*maxRanges+1) {
		t.Error("one too many was taken")
	}
	if !r.add(1, 2) || !r.add(2*maxRanges-1, 2*maxRanges) {
		t.Error("one that touches another was refused")
	}
}

// FuzzCleanPath: no path leads out of the root, and cleaning again changes nothing.
func FuzzCleanPath(f *testing.F) {
	for _, p := range []string{"", ".", "/", "..", "//", "/a", "a", "./a", "/../a", "a/../../b", "a/./b//c/", "\x00",
		"/\x001", `..\..`, "/a/..", "ä/../ö"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		got := cleanPath(p)
		if !strings.HasPrefix(got, "/") || got != cleanPath(got) || got != "/" && strings.HasSuffix(got, "/") {
			t.Errorf("cleanPath(%q) = %q", p, got)
		}
		for _, part := range strings.Split(got, "/")[1:] {
			if part == ".." || part == "." || part == "" && got != "/" {
				t.Errorf("cleanPath(%q) = %q", p, got)
			}
		}
	})
}
