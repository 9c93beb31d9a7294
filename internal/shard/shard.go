// Package shard divides a list among machines, each of which does its part.
package shard

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	index, count, _ := strings.Cut(text, "/")
	if index == "auto" {
		index = getenv("CI_NODE_INDEX")
		count = cmp.Or(count, getenv("CI_NODE_TOTAL"))
		if n, err := strconv.Atoi(getenv("JOB_COMPLETION_INDEX")); err == nil && index == "" {
			index = strconv.Itoa(n + 1)
		}
		if index == "" || count == "" {
			return Shard{}, fmt.Errorf("%q: the environment does not have both CI_NODE_INDEX and CI_NODE_TOTAL; with "+
				"JOB_COMPLETION_INDEX wanted auto/N, such as auto/5", text)
		}
	}
	i, err := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if err != nil || err2 != nil || i < 1 || n < i {
		return Shard{}, fmt.Errorf("%q is no part of a whole: wanted I/N with I from 1 to N, such as 2/5", cmp.Or(
			strings.TrimSuffix(index+"/"+count, "/"), text))
	}
	return Shard{i, n}, nil
}

// Pick returns the items of the list that are in the shard, in their order. Each item of a list is in exactly one
// shard, whatever the order of the list; which one depends on the names of all.
func Pick[T any](s Shard, list []T, name func(T) string) []T {
	if s == (Shard{}) {
		return list
	}
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(name(list[a]), name(list[b])) })
	var ours []int
	for rank, i := range order {
		if rank%s.Count == s.Index-1 {
			ours = append(ours, i)
		}
	}
	slices.Sort(ours)
	picked := make([]T, len(ours))
	for i, at := range ours {
		picked[i] = list[at]
	}
	return picked
}
