package platform

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Access is what a client is told about its temporary SFTP access.
type Access struct {
	ID         int64
	User       string
	SharedFile string
	Expires    time.Time
}

// SFTPUser returns the name that a request's SFTP user has (row 5.5).
func SFTPUser(id int64) string { return fmt.Sprintf("user_%d", id) }

// UserID returns the request id in the name of an SFTP user; ok is false if the name is that of none.
func UserID(user string) (id int64, ok bool) {
	digits, ok := strings.CutPrefix(user, "user_")
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, ok && err == nil && strconv.FormatInt(id, 10) == digits
}

// MayGrant returns what speaks against an SFTP access now, whatever the keys.
func (r *Request) MayGrant() Failures {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.mayGrantLocked()
}

func (r *Request) mayGrantLocked() Failures {
	return r.inStateLocked("request_sftp_access", StateDraft, StateDone, StateDelivered)
}

// Grant lets keys, in SSH wire form and base64, log in to the request's SFTP share (docs/fidelity.md, section 5). They
// replace the keys of an earlier call.
func (r *Request) Grant(keys []string) (Access, Failures) {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if fails := r.mayGrantLocked(); fails != nil {
		return Access{}, fails
	}
	granted := &access{Keys: keys, Phase: phase(r.stateLocked()), Expires: p.opts.Now().Add(p.opts.AccessTTL).UTC()}
	if err := r.updateLocked(func(w *work) { w.Access = granted }); err != nil {
		return Access{}, Failures{ServerError("The SFTP server can not be started now", err)}
	}
	return Access{ID: r.rec.ID, User: SFTPUser(r.rec.ID), SharedFile: r.rec.Filename, Expires: granted.Expires}, nil
}

// Revoke ends the request's SFTP access, if there is one.
func (r *Request) Revoke() {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if r.forgotten || r.rec.Access == nil {
		return
	}
	end := func(w *work) { w.Access = nil }
	if err := r.updateLocked(end); err != nil {
		r.rec.update(end) // an access that cannot be forgotten on disk still ends here
	}
	r.p.opts.AccessEnded(r.rec.ID)
}

// The reasons for which a login, or an operation of one, is refused.
var (
	ErrNoUser   = errors.New("platform: no such SFTP user")
	ErrNoAccess = errors.New("platform: the request has no SFTP access: it was never asked for, its time is over, " +
		"or the request has left the state it was for")
	ErrOtherKey    = errors.New("platform: the key is none of those that were sent with request_sftp_access")
	ErrAccessEnded = errors.New("platform: the SFTP access has ended")
	ErrReadOnly    = errors.New("platform: the upgraded dump can only be read")
)

// Share returns what the SFTP user sees when logging in with key, in SSH wire form and base64.
func (p *Platform) Share(user, key string) (*Share, error) {
	id, ok := UserID(user)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests[id]
	if !ok || r == nil {
		return nil, ErrNoUser
	}
	if damage := p.damaged[id]; damage != nil {
		return nil, damage
	}
	r.evaluateLocked()
	switch a := r.rec.Access; {
	case a == nil:
		return nil, ErrNoAccess
	case !slices.Contains(a.Keys, key):
		return nil, ErrOtherKey
	default:
		return &Share{r: r, phase: a.Phase}, nil
	}
}
