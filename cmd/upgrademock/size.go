package main

import (
	"strconv"

	"github.com/upgrademock/upgrademock/internal/bytesize"
)

// size is a flag's number of bytes, written as scenarios write theirs. It is a [pflag.Value].
type size int64

func (s *size) Set(text string) error {
	n, err := bytesize.Parse(text, strconv.Quote)
	if err != nil {
		return wanted("a number of bytes, such as 500MiB, 64KiB or 1048576")
	}
	*s = size(n)
	return nil
}

func (s *size) String() string { return bytesize.Format(int64(*s)) }

// Type is the placeholder in the help of flags that name no other.
func (s *size) Type() string { return "size" }
