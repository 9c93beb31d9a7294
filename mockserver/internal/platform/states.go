package platform

// The states that mean something to the platform itself. Scripts may name others.
const (
	StateDraft     = "draft" // the first state of a request of the database API
	StateTesting   = "testing"
	StateDone      = "done"
	StateDelivered = "delivered"

	// Those of the script API (row S7.2).
	StateNew       = "new" // its first state
	StatePending   = "pending"
	StateProgress  = "progress"
	StateFailed    = "failed"
	StateCancelled = "cancelled"
)

// ended reports whether a state of the script API is one that nothing follows.
func ended(state string) bool {
	return state == StateDone || state == StateFailed || state == StateCancelled
}

// phase is what an SFTP access is good for in a state: "upload", "download", or "" for nothing (row 5.3).
func phase(state string) string {
	switch state {
	case StateDraft:
		return "upload"
	case StateDone, StateDelivered:
		return "download"
	}
	return ""
}
