package shard_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/shard"
)

func TestParse(t *testing.T) {
	t.Parallel()
	gitlab := map[string]string{"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "3"}
	kubernetes := map[string]string{"JOB_COMPLETION_INDEX": "0"}
	for _, tc := range []struct {
		text string
		env  map[string]string
		want string
		says string
	}{
		{"1/1", nil, "1/1", ""},
		{"2/5", gitlab, "2/5", ""},
		{"auto", gitlab, "2/3", ""},
		{"auto/4", gitlab, "2/4", ""},
		{"auto/4", kubernetes, "1/4", ""},
		{"auto", kubernetes, "", "wanted auto/N"},
		{"auto", nil, "", "CI_NODE_INDEX"},
		{"auto/1", gitlab, "", `"2/1" is no part`},
		{"", nil, "", "such as 2/5"},
		{"3", nil, "", `"3" is no part`},
		{"0/3", nil, "", "with I from 1 to N"},
		{"4/3", nil, "", "with I from 1 to N"},
		{"1/x", nil, "", "such as 2/5"},
		{"1/2/3", nil, "", "such as 2/5"},
	} {
		got, err := shard.Parse(tc.text, func(name string) string { return tc.env[name] })
		if got.String() != tc.want || (err != nil) != (tc.says != "") ||
			err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s with %v: %s, %v", tc.text, tc.env, got, err)
		}
	}
}

func name(text string) string { return text }

// Whatever the order of the list and the number of shards, each item is in exactly one, and parts are of one size.
func TestPick(t *testing.T) {
	t.Parallel()
	list := strings.Fields("e d b a c a")
	if got := shard.Pick(shard.Shard{}, list, name); !slices.Equal(got, list) {
		t.Errorf("everything is %v", got)
	}
	if diff := cmp.Diff([]string{"a", "c"}, shard.Pick(shard.Shard{Index: 1, Count: 3}, list, name)); diff != "" {
		t.Errorf("1/3 (-want +got):\n%s", diff)
	}
	other := slices.Clone(list)
	slices.Reverse(other)
	for count := 1; count <= 8; count++ {
		var all []string
		for index := 1; index <= count; index++ {
			s := shard.Shard{Index: index, Count: count}
			part, again := shard.Pick(s, list, name), shard.Pick(s, other, name)
			if n := len(part); n < len(list)/count || n > (len(list)+count-1)/count {
				t.Errorf("%v has %d of %d", s, n, len(list))
			}
			all = append(all, part...)
			slices.Sort(part)
			slices.Sort(again)
			if !slices.Equal(part, again) {
				t.Errorf("%v depends on the order: %v, %v", s, part, again)
			}
		}
		slices.Sort(all)
		if diff := cmp.Diff(strings.Fields("a a b c d e"), all); diff != "" {
			t.Errorf("%d shards (-want +got):\n%s", count, diff)
		}
	}
}
