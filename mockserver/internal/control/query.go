package control

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/spelling"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// query is what the query string of a call says.
type query struct {
	journal.Filter
	name    string        // of a scenario; "" is all of them
	timeout time.Duration // of wait
	state   string        // of a request; "" is any
	search  search
	newest  bool // the latest first
	view    View
}

const defaultWait, maxWait = 30 * time.Second, time.Hour

const maxLimit = 100_000 // of a page

// The parameters of the calls that read, write and forget events.
var (
	byScope = []string{"request", "contract"}
	byEvent = []string{"request", "contract", "on", "since"}
	byPage  = []string{"after", "limit"}
)

// readQuery reads the parameters that a call has. Whatever it does not have is refused: a misspelt one would
// widen what the call is about.
func (a api) readQuery(r *http.Request, known []string) (query, error) {
	q := query{timeout: defaultWait}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, badRequest("the query string is not well-formed: wanted NAME=VALUE, apart by &, and two " +
			"digits behind each percent sign, such as ?on=status&request=10534")
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch texts := values[name]; {
		case len(known) == 0:
			return q, badRequest("unknown query parameter %q: this call has none", name)
		case !slices.Contains(known, name):
			return q, badRequest("%s", unknown("query parameter", name, known))
		case len(texts) > 1:
			return q, badRequest("%s is given %d times: wanted it once", name, len(texts))
		case texts[0] == "":
			return q, badRequest("%s is empty: give it a value, or leave it out", name)
		default:
			if err := a.readParameter(&q, name, texts[0]); err != nil {
				return q, err
			}
		}
	}
	return q, nil
}

func (a api) readParameter(q *query, name, text string) (err error) {
	switch name {
	case "request":
		if q.Request, err = strconv.ParseInt(text, 10, 64); err != nil || q.Request <= 0 {
			return badRequest("request=%s: wanted a request's id, such as 10534", text)
		}
	case "contract":
		q.Contract = text
	case "on":
		kinds := a.Kinds
		if !slices.ContainsFunc(kinds, func(kind string) bool {
			return kind == text || strings.HasPrefix(kind, text+".")
		}) {
			return badRequest("on=%s: %s", text, unknown("kind of event", text, kinds))
		}
		q.On = text
	case "since":
		if seq, err := strconv.ParseUint(text, 10, 64); err == nil {
			q.After = seq
		} else if q.Since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return badRequest("since=%s: wanted an instant such as 2015-09-09T07:13:49Z, or the seq of an event", text)
		}
	case "timeout":
		if q.timeout, err = time.ParseDuration(text); err != nil || q.timeout < 0 || q.timeout > maxWait {
			return badRequest("timeout=%s: wanted a duration of at most %s, such as 30s", text, maxWait)
		}
	case "name":
		q.name = text
	case "state":
		q.state = text
	case "search":
		q.search, err = parseSearch(text)
		return err
	case "after":
		if q.After, err = strconv.ParseUint(text, 10, 63); err != nil {
			return badRequest("after=%s: wanted what the answer before had as next, such as 10534", text)
		}
	case "limit":
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > maxLimit {
			return badRequest("limit=%s: wanted a number from 1 to %d", text, maxLimit)
		}
	case "order":
		if q.newest = text == "newest"; !q.newest && text != "oldest" {
			return badRequest("%s", unknown("order", text, []string{"oldest", "newest"}))
		}
	case "view":
		q.view = View(text)
		if views := []string{string(ViewBrief), string(ViewHidden), string(ViewFull)}; !slices.Contains(views, text) {
			return badRequest("%s", unknown("view", text, views))
		}
	default:
		return errors.New("control: no reader for the parameter " + name)
	}
	return nil
}

// pageOf is the page of a list that a call asks for, with what after has to be for the next one if there is one.
func pageOf[T any](name string, list []T, q query) map[string]any {
	first := min(q.After, uint64(len(list)))
	page := append([]T{}, list[first:]...)
	answer := map[string]any{"total": len(list)}
	if q.Limit > 0 && len(page) > q.Limit {
		page = page[:q.Limit]
		answer["next"] = first + uint64(q.Limit)
	}
	answer[name] = page
	return answer
}

// unknown is the sentence about a word that is none of those that are known.
func unknown(what, word string, known []string) string {
	if nearest := spelling.Nearest(word, known...); nearest != "" {
		return fmt.Sprintf("unknown %s %q, did you mean %q? Known: %s", what, word, nearest, strings.Join(known, ", "))
	}
	return fmt.Sprintf("unknown %s %q; known: %s", what, word, strings.Join(known, ", "))
}
