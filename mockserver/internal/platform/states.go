package platform

// The states that mean something to the platform itself. Scripts may name others.
const (
	StateDraft     = "draft"
	StateTesting   = "testing"
	StateDone      = "done"
	StateDelivered = "delivered"
)

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
