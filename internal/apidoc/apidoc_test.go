package apidoc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRender(t *testing.T) {
	p, err := load(filepath.Join("testdata", "good"))
	if err != nil {
		t.Fatal(err)
	}
	if problems := p.problems(); len(problems) > 0 {
		t.Errorf("problems: %q", problems)
	}
	got, err := p.render()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "good.txt")
	if *Update {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProblems(t *testing.T) {
	p, err := load(filepath.Join("testdata", "bad"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, problem := range p.problems() {
		_, text, _ := strings.Cut(problem, "bad.go:")
		if text == "" {
			text = problem
		}
		got = append(got, text)
	}
	want := []string{
		"package bad has no comment",
		"23:7: Lonely has no comment",
		"27:11: Leaking names box.Box of the internal package example.com/internal/box",
		"36:23: Hidden names the unexported type hidden",
		"33:1: Named has named results",
		"30:1: Undocumented has no comment",
		"14:14: Alias names other.Thing of the internal package example.com/a/internal/secret",
		"8:1: Bare has no comment",
		"10:9: Bare names box.Box of the internal package example.com/internal/box",
		"9:2: Bare.Field has no comment",
		"39:27: Bare.Method names box.Box of the internal package example.com/internal/box",
		"41:1: Bare.Silent has no comment",
		"20:20: Iface names other.Thing of the internal package example.com/a/internal/secret",
		"18:2: Iface.Bare has no comment",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
