package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/internal/redact"
	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
)

// What the journal shows of a call is bounded, since it holds thousands of them.
const (
	maxShownParams = 50
	maxShown       = 200 // bytes of a name or value
)

// Shorten cuts a text to n bytes.
func Shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// Hide returns a text without the keys of requests, and nothing of one that may be a private key.
func (a *API) Hide(text string) string { return sshkeys.Hide(a.Keys.Hide(text)) }

// Shorten cuts a text for the journal, which hides what is secret in it. It hides that before cutting, or a
// part would be left.
func (a *API) Shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return Shorten(a.Hide(text), n)
}

// Shorten is API.Shorten to the length of a value in the journal.
func (c *Call) Shorten(text string) string { return c.api.Shorten(text, maxShown) }

func (a *API) shownPath(path string) string {
	return Shorten(sshkeys.Hide(a.Keys.Path(path)), 2*maxShown)
}

// redacted is what the journal shows of the parameters; it takes the memory of list. Keys are shortened,
// whatever they are called, so that a journal that is handed around opens nothing.
func (a *API) redacted(list []eventlog.Param) []eventlog.Param {
	if n := len(list) - maxShownParams; n > 0 {
		slices.SortFunc(list, func(a, b eventlog.Param) int { return strings.Compare(a.Name, b.Name) })
		list = append(list[:maxShownParams], eventlog.Param{Name: "…", Value: fmt.Sprintf("%d more parameters", n)})
	}
	for i := range list {
		name, value := list[i].Name, list[i].Value
		switch {
		case name == "ssh_keys", name == "ssh_key":
			value = sshkeys.Show(value)
		case redact.IsSecret(name):
			value = redact.Short(value)
		}
		list[i] = eventlog.Param{Name: a.Shorten(name, maxShown), Value: a.Shorten(value, maxShown)}
	}
	return list
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// AddWhy adds to the explanation that the journal gets.
func (c *Call) AddWhy(why string) { c.Event.Why = join(c.Event.Why, why) }
