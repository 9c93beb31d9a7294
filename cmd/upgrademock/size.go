package main

import (
	"strconv"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// size is a flag's number of bytes, written as scenarios write theirs. It is a [pflag.Value].
type size int64

func (s *size) Set(text string) error {
	n, err := scenario.ParseSize(text)
	if err != nil {
		return wanted("a number of bytes, such as 500MiB, 64KiB or 1048576")
	}
	*s = size(n)
	return nil
}

func (s *size) String() string {
	n := int64(*s)
	for _, unit := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.size && n%unit.size == 0 {
			return strconv.FormatInt(n/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Type is the placeholder in the help of flags that name no other.
func (s *size) Type() string { return "size" }
