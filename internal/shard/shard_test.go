package shard_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
		{"auto/", kubernetes, "", `"1" is no part`},
		{"auto/4", map[string]string{"JOB_COMPLETION_INDEX": "one"}, "", `JOB_COMPLETION_INDEX is "one"`},
		{"auto/4", map[string]string{"JOB_COMPLETION_INDEX": "4"}, "", `auto/4: "5/4" is no part`},
		{"auto", map[string]string{"CI_NODE_INDEX": "2"}, "", "CI_NODE_TOTAL"},
		{"auto", map[string]string{"CI_NODE_INDEX": "x", "CI_NODE_TOTAL": "3"}, "", `auto: "x/3" is no part`},
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

// cost is the last digit of a text, in seconds.
func cost(text string) time.Duration {
	n, _ := strconv.Atoi(text[len(text)-1:])
	return time.Duration(n) * time.Second
}

// Whatever the list, its order and the number of shards, each item is in exactly one, and shards cost about the same:
// they differ by the most expensive item at most.
func TestPick(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		list := make([]string, rng.IntN(30))
		for i := range list {
			list[i] = fmt.Sprintf("%c%d", 'a'+rng.IntN(26), rng.IntN(10))
		}
		if got := shard.Pick(shard.Shard{}, list, name, cost); !slices.Equal(got, list) {
			t.Fatalf("everything is %v", got)
		}
		other := slices.Clone(list)
		rng.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		count := 1 + rng.IntN(12)
		var all []string
		least, most := time.Hour, time.Duration(0)
		for index := 1; index <= count; index++ {
			s := shard.Shard{Index: index, Count: count}
			part, again := shard.Pick(s, list, name, cost), shard.Pick(s, other, name, cost)
			sum := time.Duration(0)
			for _, item := range part {
				sum += cost(item)
			}
			least, most = min(least, sum), max(most, sum)
			all = append(all, part...)
			slices.Sort(part)
			slices.Sort(again)
			if !slices.Equal(part, again) {
				t.Fatalf("%v of %v depends on the order: %v, %v", s, list, part, again)
			}
		}
		if most-least > 9*time.Second {
			t.Fatalf("shards of %v cost from %v to %v", list, least, most)
		}
		slices.Sort(all)
		slices.Sort(list)
		if !slices.Equal(all, list) {
			t.Fatalf("%d shards of %v are %v", count, list, all)
		}
	}
	list := strings.Fields("a1 b1 c8 d4 e4 f1")
	got := shard.Pick(shard.Shard{Index: 2, Count: 3}, list, name, cost)
	if diff := cmp.Diff([]string{"a1", "d4", "f1"}, got); diff != "" {
		t.Errorf("2/3 (-want +got):\n%s", diff)
	}
	if got := shard.Pick(shard.Shard{Index: 1e9, Count: 1e9}, list, name, cost); len(got) != 0 {
		t.Errorf("the last of a billion machines has %v", got)
	}
}
