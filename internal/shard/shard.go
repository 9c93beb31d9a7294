// Package shard divides a list among machines, each of which does its part.
package shard

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Shard is one part of Count, numbered from 1. The zero Shard is everything.
type Shard struct{ Index, Count int }

// String is the form that Parse reads, "" for everything.
func (s Shard) String() string {
	if s == (Shard{}) {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}

// Parse reads I/N, such as 2/5; "auto", for GitLab's CI_NODE_INDEX of CI_NODE_TOTAL; or auto/N, where I is
// CI_NODE_INDEX, or JOB_COMPLETION_INDEX of Kubernetes, which counts from 0. The variables are read by getenv.
func Parse(text string, getenv func(string) string) (Shard, error) {
	index, count, found := strings.Cut(text, "/")
	if index != "auto" {
		return parse(text)
	}
	if !found {
		count = getenv("CI_NODE_TOTAL")
	}
	index = getenv("CI_NODE_INDEX")
	if zeroBased := getenv("JOB_COMPLETION_INDEX"); index == "" && zeroBased != "" {
		n, err := strconv.Atoi(zeroBased)
		if err != nil {
			return Shard{}, fmt.Errorf("%s: JOB_COMPLETION_INDEX is %q, wanted a number", text, zeroBased)
		}
		index = strconv.Itoa(n + 1)
	}
	if index == "" || count == "" && !found {
		return Shard{}, fmt.Errorf("%s: the environment does not have both CI_NODE_INDEX and CI_NODE_TOTAL; with "+
			"JOB_COMPLETION_INDEX wanted auto/N, such as auto/5", text)
	}
	s, err := parse(strings.TrimSuffix(index+"/"+count, "/"))
	if err != nil {
		return Shard{}, fmt.Errorf("%s: %w", text, err)
	}
	return s, nil
}

// parse reads two numbers.
func parse(text string) (Shard, error) {
	index, count, _ := strings.Cut(text, "/")
	i, err := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if err != nil || err2 != nil || i < 1 || n < i {
		return Shard{}, fmt.Errorf("%q is no part of a whole: wanted I/N with I from 1 to N, such as 2/5", text)
	}
	return Shard{i, n}, nil
}

// Pick returns the items of the list that are in the shard, in their order. Each item of a list is in exactly one
// shard, whatever the order of the list; which one depends on the names and costs of all. Shards cost about the same:
// the items are dealt out from the most expensive one on, each to the shard that costs least until then.
func Pick[T any](s Shard, list []T, name func(T) string, cost func(T) time.Duration) []T {
	if s == (Shard{}) {
		return list
	}
	type item struct {
		at   int
		name string
		cost time.Duration
	}
	items := make([]item, len(list))
	for i, one := range list {
		items[i] = item{i, name(one), max(cost(one), 1)} // what costs nothing is dealt out evenly, too
	}
	slices.SortStableFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(b.cost, a.cost), cmp.Compare(a.name, b.name))
	})
	sums := make([]time.Duration, min(s.Count, max(1, len(list)))) // those beyond get nothing
	var ours []int
	for _, it := range items {
		least := slices.Index(sums, slices.Min(sums))
		sums[least] += it.cost
		if least == s.Index-1 {
			ours = append(ours, it.at)
		}
	}
	slices.Sort(ours)
	picked := make([]T, len(ours))
	for i, at := range ours {
		picked[i] = list[at]
	}
	return picked
}
