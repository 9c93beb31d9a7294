package mockserver

import (
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/skip"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// Skips says what came of Options.Skip.
type Skips struct {
	// Jumps is how often the clock has jumped, and Skipped how far in all.
	Jumps   int
	Skipped time.Duration
	// Slept is the real time that clients let pass, after they were told a state that time changes, until they asked
	// again: no clock can skip it. Where several clients wait at the same time, it is the sum.
	Slept time.Duration
}

// Skipped returns what the clock has skipped so far, and what it could not. Without Options.Skip it is zero.
func (s *Server) Skipped() Skips {
	if s.observer.skipper == nil {
		return Skips{}
	}
	return Skips(s.observer.skipper.Totals())
}

func (s *Server) newSkipper() *skip.Skipper {
	return skip.New(skip.Options{
		Now:  s.opts.Clock.Now,
		Dues: func() map[int64]time.Time { return s.platform.Dues() },
		Advance: func(d time.Duration) error {
			_, err := s.Advance(d)
			return err
		},
		Moves: func() (moving, open bool) {
			moving, open = s.transfers.Moves()
			return moving || s.shared.files.Load() > 0, open
		},
		Failed:  func(err error) { s.log.Error("the clock cannot skip what clients wait for", "err", err) },
		Journal: s.opts.JournalSize,
	})
}

// came is when an event happened as far as the client is concerned: where the clock jumps, by real time.
func (s *Server) came(e *journal.Event) time.Time {
	if s.observer.skipper != nil {
		if at, ok := s.observer.skipper.Came(e.Seq); ok {
			return at
		}
	}
	return e.At
}
