package sftpserver

import "slices"

// maxRanges bounds the memory that a client can take with scattered writes or reads: 16 bytes for each range.
const maxRanges = 1 << 16

// ranges is a set of bytes, as ascending ranges that neither touch nor overlap. The zero value is empty.
type ranges struct{ list []Range }

// add puts the bytes from up to to into the set. If the set is too scattered, it changes nothing and returns false.
func (r *ranges) add(from, to int64) bool {
	if from >= to {
		return true
	}
	// Transfers go forward, so nearly always the last range grows.
	if n := len(r.list); n > 0 && r.list[n-1].From <= from && from <= r.list[n-1].To {
		r.list[n-1].To = max(r.list[n-1].To, to)
		return true
	}
	// first is the first range that ends at from or later, last the first that begins after to.
	first, _ := slices.BinarySearchFunc(r.list, from, func(have Range, from int64) int {
		if have.To < from {
			return -1
		}
		return 1
	})
	last := first
	for last < len(r.list) && r.list[last].From <= to {
		from, to = min(from, r.list[last].From), max(to, r.list[last].To)
		last++
	}
	if first == last && len(r.list) >= maxRanges {
		return false
	}
	r.list = slices.Replace(r.list, first, last, Range{from, to})
	return true
}

// covers reports whether every byte before end is in the set.
func (r *ranges) covers(end int64) bool {
	return end <= 0 || len(r.list) > 0 && r.list[0].From <= 0 && r.list[0].To >= end
}

// end is the end of the last range.
func (r *ranges) end() int64 {
	if len(r.list) == 0 {
		return 0
	}
	return r.list[len(r.list)-1].To
}

// cut removes the bytes from end on.
func (r *ranges) cut(end int64) {
	for n := len(r.list); n > 0 && r.list[n-1].To > end; n-- {
		if r.list[n-1].From < end {
			r.list[n-1].To = end
			return
		}
		r.list = r.list[:n-1]
	}
}

func (r *ranges) snapshot() []Range { return append([]Range(nil), r.list...) }
