package spelling_test

import (
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/internal/spelling"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	words := []string{"create", "status", "upload", "process"}
	for text, want := range map[string]string{
		"staus": "status", "sttaus": "status", "STATUS": "status", "statusx": "status", "statis": "status",
		"nothing-like-it": "", "": "", strings.Repeat("status", 50): "",
	} {
		if got := spelling.Nearest(text, words...); got != want {
			t.Errorf("Nearest(%q) is %q, want %q", text, got, want)
		}
	}
	if got := spelling.Nearest("x"); got != "" {
		t.Errorf("without words: %q", got)
	}
}
