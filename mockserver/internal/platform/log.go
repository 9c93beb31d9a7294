package platform

import (
	"io"
	"strings"
	"time"
)

// reached is a state that a request came into.
type reached struct {
	State string    `json:"state"`
	Step  int       `json:"step"` // of its script; -1 for a state that it was put in from outside
	At    time.Time `json:"at"`
}

// Log returns the upgrade's log as it is now, and how many bytes it has (rows S8.7 and S8.9). It only ever grows. It is
// empty before the upgrade has begun.
func (r *Request) Log() (io.ReaderAt, int64, error) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if err := r.thereLocked(); err != nil {
		return nil, 0, err
	}
	return strings.NewReader(""), 0, nil
}
