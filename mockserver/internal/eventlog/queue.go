package eventlog

import (
	"encoding/binary"
	"iter"
	"slices"
)

// queue is encoded events, oldest first, one behind the other on pages: memory that is written in order is
// written fast. Dropping an event does not touch its memory. The zero value is empty.
type queue struct {
	total   int    // events on the pages
	dropped int    // those of them, at the beginning, that were dropped
	tail    []byte // the last page

	full   []page // the pages before it
	before int    // events on those
	blank  []byte
}

type page struct {
	b []byte
	n int // events
}

const (
	pageSize   = 16 << 10
	headerSize = 4 + 8 // an event's length and its Seq
)

func (q *queue) len() int { return q.total - q.dropped }

// add appends an event.
func (q *queue) add(seq uint64, p encoded) {
	at, end := len(q.tail), len(q.tail)+headerSize+len(p)
	if end > cap(q.tail) {
		q.turn(headerSize + len(p))
		at, end = 0, headerSize+len(p)
	}
	q.tail = q.tail[:end]
	binary.LittleEndian.PutUint32(q.tail[at:], uint32(len(p)))
	binary.LittleEndian.PutUint64(q.tail[at+4:], seq)
	copy(q.tail[at+headerSize:], p)
	q.total++
}

// turn goes on to another page, of at least size bytes.
func (q *queue) turn(size int) {
	if len(q.tail) > 0 {
		q.full = append(q.full, page{b: q.tail, n: q.total - q.before})
		q.before = q.total
	}
	q.tail, q.blank = q.blank, nil
	if cap(q.tail) < size {
		q.tail = make([]byte, 0, max(size, pageSize))
	}
}

// drop removes the oldest event of a queue that has one. A page whose events were all dropped is the next to be
// written on.
func (q *queue) drop() {
	q.dropped++
	if len(q.full) == 0 || q.dropped < q.full[0].n {
		return
	}
	first := q.full[0]
	q.full = slices.Delete(q.full, 0, 1)
	q.total, q.before, q.dropped = q.total-first.n, q.before-first.n, q.dropped-first.n
	if cap(first.b) == pageSize { // the memory of a large event is not kept for all that follow
		q.blank = first.b[:0]
	}
}

// later are the events after a Seq. The queue must not change meanwhile.
func (q *queue) later(after uint64) iter.Seq2[uint64, encoded] {
	return func(yield func(uint64, encoded) bool) {
		skip := q.dropped
		for i := range len(q.full) + 1 {
			b := q.page(i)
			if i < len(q.full) && firstSeq(q.page(i+1)) <= after+1 {
				skip, b = 0, nil // all of them come before
			}
			for len(b) > 0 {
				end := headerSize + int(binary.LittleEndian.Uint32(b))
				switch seq := firstSeq(b); {
				case skip > 0:
					skip--
				case seq > after && !yield(seq, encoded(b[headerSize:end])):
					return
				}
				b = b[end:]
			}
		}
	}
}

func (q *queue) page(i int) []byte {
	if i < len(q.full) {
		return q.full[i].b
	}
	return q.tail
}

// firstSeq is that of the event at the beginning of b.
func firstSeq(b []byte) uint64 { return binary.LittleEndian.Uint64(b[4:]) }
