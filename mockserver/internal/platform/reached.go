package platform

import (
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
)

// reached is a state that a request of the script API came into. What its log says depends on all of them.
type reached struct {
	State string    `json:"state"`
	Step  int       `json:"step"` // of its script, or outside
	At    time.Time `json:"at"`

	Reason string `json:"reason,omitempty"` // what came with a state from outside
}

// outside stands for the step of a state that a request was put in from outside its script.
const outside = -1

// maxReached bounds what is remembered of a request that is put from state to state without end.
const maxReached = 1000

// reach notes the changes on the way to a position. Requests of the database API have no log.
func (w *work) reach(script *scriptOrigin, pos machine.Position, changes []machine.Change) {
	if script == nil {
		return
	}
	for i, c := range changes {
		w.reachState(reached{State: c.To, Step: pos.Step - len(changes) + 1 + i, At: c.At})
	}
}

func (w *work) reachState(s reached) {
	if len(w.Reached) < maxReached {
		w.Reached = append(w.Reached[:len(w.Reached):len(w.Reached)], s) // earlier works have the list, too
	}
}
