package api_test

import (
	"testing"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
)

// What came from outside is no markup, neither as the text of an element nor in an attribute.
func TestFormat(t *testing.T) {
	t.Parallel()
	link := api.Format(`<a href="%s">%s</a>`, `http://x/?a=1&b="><script>`, "<b>it's</b>")
	const want = `<a href="http://x/?a=1&amp;b=&#34;&gt;&lt;script&gt;">&lt;b&gt;it&#39;s&lt;/b&gt;</a>`
	if link != want {
		t.Errorf("%s, want %s", link, want)
	}
	if got := api.Format("<p>%d %s", 7, link); got != "<p>7 "+want {
		t.Errorf("%s", got)
	}
}
