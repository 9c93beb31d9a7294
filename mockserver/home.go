package mockserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// home is where the files of a server are: a data directory, or a temporary one that close removes.
type home struct {
	*datadir.Dir
	temporary bool
}

// openHome opens the data directory, or a temporary one for "".
func openHome(dataDir string) (*home, error) {
	if dataDir != "" {
		dir, err := datadir.Open(dataDir)
		if err != nil {
			return nil, fmt.Errorf("mockserver: data directory: %w", err)
		}
		return &home{Dir: dir}, nil
	}
	path, err := os.MkdirTemp("", "upgrademock-")
	if err != nil {
		return nil, fmt.Errorf("mockserver: make a temporary directory: %w", err)
	}
	dir, err := datadir.Temp(path)
	if err != nil {
		return nil, fmt.Errorf("mockserver: make a temporary directory: %w", errors.Join(err, os.RemoveAll(path)))
	}
	return &home{Dir: dir, temporary: true}, nil
}

func (h *home) close() error {
	err := h.Dir.Close()
	if h.temporary {
		err = errors.Join(err, os.RemoveAll(h.Path()))
	}
	return err
}

// takeUpClock goes on with the clock where an earlier process ended.
func takeUpClock(clock *ManualClock, p *platform.Platform) {
	if kept := p.KeptClock(); clock != nil && !kept.IsZero() {
		clock.Advance(kept.Sub(clock.Now()))
	}
}

// noteDirectory says what an operator should know of the data directory, in the log and in the journal.
func (s *Server) noteDirectory() {
	for _, note := range s.home.Notes() {
		s.log.Warn("the data directory: "+note, "directory", s.home.Path())
		s.observer.record(&journal.Event{On: journal.OnData, At: s.opts.Clock.Now(), Why: note})
	}
	s.noteDamage(s.platform.Damaged())
}

// CheckDumps reads all dumps and compares them with their checksums. (New only looks whether they are there and
// have their size.) From then on, the calls for a request whose dump differs are answered with SERVER:ERROR;
// the log and the journal say why. The error is ctx's if that ends first.
func (s *Server) CheckDumps(ctx context.Context) error {
	before := s.platform.Damaged()
	if err := s.platform.CheckDumps(ctx); err != nil {
		return fmt.Errorf("mockserver: check the dumps: %w", err)
	}
	damaged := s.platform.Damaged()
	maps.DeleteFunc(damaged, func(id int64, _ error) bool { return before[id] != nil })
	s.noteDamage(damaged)
	return nil
}

func (s *Server) noteDamage(damaged map[int64]error) {
	for _, id := range slices.Sorted(maps.Keys(damaged)) {
		s.log.Warn("a request's dump is damaged: its calls are answered with SERVER:ERROR",
			"request", id, "err", damaged[id])
		event := journal.Event{On: journal.OnData, At: s.opts.Clock.Now(), Request: id, Why: damaged[id].Error()}
		if r, ok := s.platform.Get(id); ok {
			event.Contract, event.Scenario = r.Contract(), r.Scenario()
		}
		s.observer.record(&event)
	}
}

// keysOf are the keys of all requests.
func keysOf(p *platform.Platform) []string {
	var keys []string
	for _, r := range p.All() {
		keys = append(keys, r.Key)
	}
	return keys
}
