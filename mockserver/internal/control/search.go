package control

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// searchFilters are the filters of a search, and longestSearch bounds it, in bytes.
var searchFilters = []string{"request", "contract", "on", "fault", "state"}

const longestSearch = 1000

// search is what is looked for among requests: each filter and each word must be part of something, in whatever case.
// The zero value finds all.
type search struct {
	has   map[string]string // by filter
	words []string
}

// parseSearch reads words and filters, such as "M1 on:sftp fault: state:done".
func parseSearch(text string) (search, error) {
	s := search{has: make(map[string]string)}
	if len(text) > longestSearch {
		return s, badRequest("search has %d bytes: wanted %d at most", len(text), longestSearch)
	}
	for word := range strings.FieldsSeq(strings.ToLower(text)) {
		name, value, is := strings.Cut(word, ":")
		switch {
		case !is || name == "" || strings.HasPrefix(value, "//") || strings.ContainsFunc(name, notLetter):
			s.words = append(s.words, word)
		case !slices.Contains(searchFilters, name):
			return s, badRequest("search: %s", unknown("filter", name, searchFilters))
		default:
			s.has[name] = value
		}
	}
	return s, nil
}

func notLetter(r rune) bool { return r < 'a' || r > 'z' }

// finder returns whether a request is found, or nil where all are.
func (a api) finder(s search) func(*Request) bool {
	if len(s.has) == 0 && len(s.words) == 0 {
		return nil
	}
	on, byKind := s.has["on"]
	fault, byFault := s.has["fault"]
	var met map[int64]bool // the requests with an event as it is looked for
	if byKind || byFault && fault != "" {
		met = make(map[int64]bool)
		for _, e := range a.Journal.Events(journal.Filter{}) {
			if strings.Contains(e.On, on) && (!byFault || e.Fault != "" && strings.Contains(strings.ToLower(e.Fault), fault)) {
				met[e.Request] = true
			}
		}
	}
	return func(r *Request) bool {
		id, contract, state := strconv.FormatInt(r.ID, 10), strings.ToLower(r.Contract), strings.ToLower(r.State)
		if met != nil && !met[r.ID] || met == nil && byFault && r.FaultsUsed == 0 ||
			!strings.Contains(id, s.has["request"]) || !strings.Contains(contract, s.has["contract"]) ||
			!strings.Contains(state, s.has["state"]) {
			return false
		}
		all := fmt.Sprintf("%s\n%s\n%s\n%s", id, contract, state, strings.ToLower(r.Scenario))
		for _, word := range s.words {
			if !strings.Contains(all, word) {
				return false
			}
		}
		return true
	}
}
