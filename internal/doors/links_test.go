package doors

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	codeBlock = regexp.MustCompile("(?ms)^ *```.*?^ *```$|^ *~~~.*?^ *~~~$")
	namedPage = regexp.MustCompile(`\bdocs/[a-z0-9/_-]+\.md\b`)
)

// TestLinks: a link of a page leads to a file of the repository, and to a heading in it; and a page that any file names
// is there. Links to other sites are not followed.
func TestLinks(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	links := 0
	for _, name := range tracked(t, root, "*.md", "*.go", "*.txtar", "*.yaml", "*.yml", "*.sh", "*.py") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range namedPage.FindAllString(string(text), -1) {
			if _, err := os.Stat(filepath.Join(root, page)); err != nil && name != "internal/doors/links_test.go" {
				t.Errorf("%s names %s, which is not there", name, page)
			}
		}
		if path.Ext(name) != ".md" {
			continue
		}
		for _, match := range link.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(text), ""), -1) {
			links++
			if why := broken(root, name, match[1]); why != "" {
				t.Errorf("%s: the link %s %s", name, match[1], why)
			}
		}
	}
	if links < 30 {
		t.Errorf("only %d links were found", links)
	}
}

// broken says why a link of the page leads nowhere.
func broken(root, page, target string) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}
	file, anchor, _ := strings.Cut(target, "#")
	if file = path.Join(path.Dir(page), file); strings.HasPrefix(target, "#") {
		file = page
	}
	text, err := os.ReadFile(filepath.Join(root, file))
	if info, statErr := os.Stat(filepath.Join(root, file)); statErr == nil && info.IsDir() && anchor == "" {
		return ""
	}
	if err != nil {
		return "leads to " + file + ", which is not there"
	}
	if anchor == "" {
		return ""
	}
	for _, match := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(text), ""), -1) {
		if slug(match[1]) == anchor {
			return ""
		}
	}
	return "leads to a heading that " + file + " does not have"
}

// slug is the anchor that GitHub gives a heading.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, heading)
}

// tracked are the repository's files of the patterns, those included that are not committed yet.
func tracked(t *testing.T, root string, patterns ...string) []string {
	t.Helper()
	args := append([]string{"ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"}, patterns...)
	list := exec.Command("git", args...)
	list.Dir = root
	files, err := list.Output()
	if err != nil {
		t.Fatalf("listing the repository's files: %v", err)
	}
	return strings.Split(strings.TrimSuffix(string(files), "\x00"), "\x00")
}

// The test above finds what leads nowhere.
func TestBroken(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	for target, want := range map[string]string{
		"architecture.md":                         "",
		"../README.md":                            "",
		"architecture.md#where-a-line-belongs":    "",
		"#where-a-line-belongs":                   "",
		"pictures":                                "",
		"https://example.com/x.md":                "",
		"architectur.md":                          "leads to docs/architectur.md, which is not there",
		"architecture.md#where-a-line-belongs-to": "leads to a heading that docs/architecture.md does not have",
	} {
		if got := broken(root, "docs/architecture.md", target); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}
