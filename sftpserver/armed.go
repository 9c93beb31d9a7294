package sftpserver

import "github.com/pkg/sftp"

// armed is a fault that waits for its offset in a transfer; see [Fault.After]. A nil armed is never triggered.
type armed struct {
	fault  *Fault
	kind   OpKind
	fired  bool
	beyond bool // something beyond the fault's offset was sent
}

func arm(f *Fault, kind OpKind) *armed {
	if f == nil {
		return nil
	}
	return &armed{fault: f, kind: kind}
}

// fails reports whether the transfer ends at the fault's offset, rather than go on more slowly.
func (a *armed) fails() bool {
	return a != nil && (a.fault.ends() || a.fault.Error != "" || a.fault.Refuse)
}

// mayFire reports whether an operation that ends at that offset may trigger the fault. The caller holds the lock that
// guards fired.
func (a *armed) mayFire(end int64) bool { return a.reaches(end) && (a.fails() || !a.fired) }

// reaches reports whether bytes up to end touch the fault.
func (a *armed) reaches(end int64) bool { return a != nil && end > max(a.fault.After, 0) }

// trigger triggers the fault on h if it has not fired yet, and returns what the operation answers: nil if it goes on.
// The caller holds the lock that guards fired.
func (a *armed) trigger(h *handle) error {
	if !a.fired {
		a.fired = true
		h.session.trigger(a.fault, a.kind, a.at(h), h)
	}
	return h.session.answerTo(a.fault)
}

// at is the offset at which the fault fires: for a close the end of what was transferred. The caller holds the lock of
// h.
func (a *armed) at(h *handle) int64 {
	if a.kind == OpClose {
		return max(h.written.end(), h.read.end())
	}
	return max(a.fault.After, 0)
}

// answerTo is what an operation answers that has triggered a fault: nil if it goes on.
func (s *session) answerTo(f *Fault) error {
	switch {
	case f.ends():
		return s.endWith(f)
	case f.Error != "":
		return &status{f.Error, sftp.ErrSSHFxFailure}
	case f.Refuse:
		return statusDenied
	}
	return nil
}
