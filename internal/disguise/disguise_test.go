package disguise_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/internal/disguise"
)

func TestReplacer(t *testing.T) {
	t.Parallel()
	const key = "i9t+mjvxEPA7YxU5ve/CdA=="
	d := disguise.New()
	text := "key " + key + ", and ?key=" + url.QueryEscape(key) + "&id=abc"
	got := d.Replacer([]string{"abc", key}).Replace(text)
	alias := d.Key(key)
	if want := "key " + alias + ", and ?key=" + url.QueryEscape(alias) + "&id=abc"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if strings.Contains(got, "mjvxEPA7") || alias == key {
		t.Errorf("the key is still there: %s", got)
	}
	if form := regexp.MustCompile(`^i9t\+[a-z]{4}[A-Z]{3}[0-9][A-Z][a-z][A-Z][0-9][a-z]{2}/[A-Z][a-z]A==$`); !form.MatchString(alias) {
		t.Errorf("%s has another form than %s", alias, key)
	}
	if other := disguise.New().Key(key); other == alias {
		t.Error("two disguises give the same key")
	}
}
