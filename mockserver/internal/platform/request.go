package platform

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	firstID  = 10534 // the documented sample's request; ids ascend from there (assumed)
	keyBytes = 16    // row 3.10
)

// Request is one upgrade request. It is a handle: its methods read and change what the platform holds, and may be
// called concurrently. After [Platform.Reset] has forgotten the request, they fail as if it had never been there.
type Request struct {
	p         *Platform
	rec       record    // what is in work is guarded by the platform's mutex
	forgotten bool      // guarded by the platform's mutex
	shared    *dumpFile // nil until it is needed; guarded by the platform's mutex

	building   sync.Mutex // held while the upgraded archive is being made
	unreadable error      // why it cannot be made of the dump, once that was tried; guarded by building
	tried      int64      // of which dump

	injected atomic.Bool // there may be faults of its own, which no script has; see Inject
}

// Ref names a request as a call does: both are what the client sent.
type Ref struct {
	ID  string
	Key string
}

// noKey stands in for the key of a request that is not there, so that looking costs the same.
const noKey = "AAAAAAAAAAAAAAAAAAAAAA=="

// Find returns the request that ref names. A wrong key and an unknown id are one answer in words and in time.
func (p *Platform) Find(ref Ref) (*Request, Failures) {
	var fails Failures
	if ref.Key == "" {
		fails = append(fails, Missing("key"))
	}
	if ref.ID == "" {
		fails = append(fails, Missing("request"))
	}
	if fails != nil {
		return nil, fails
	}
	id, err := strconv.ParseInt(ref.ID, 10, 64)
	key := noKey
	var r *Request
	if err == nil && '1' <= ref.ID[0] && ref.ID[0] <= '9' { // 010534 and +10534 are no ids
		r, _ = p.Get(id)
	}
	if r != nil && r.rec.ScriptAPI != nil { // which has a token, and is found by that
		r = nil
	}
	if r != nil {
		key = r.rec.Key
	}
	same := subtle.ConstantTimeCompare([]byte(key), []byte(ref.Key)) == 1
	switch {
	case r == nil:
		return nil, Failures{notFound(ref.ID, "there is no request with this id")}
	case !same:
		return nil, Failures{notFound(ref.ID, fmt.Sprintf("the key is not request %d's", id))}
	}
	return r, nil
}

// Get returns the request with that id, whatever its key: for what was never a client's call. ok is false if there is
// none.
func (p *Platform) Get(id int64) (r *Request, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok = p.requests[id]
	return r, ok
}

// ID returns the request's id.
func (r *Request) ID() int64 { return r.rec.ID }

// Key returns the request's key.
func (r *Request) Key() string { return r.rec.Key }

// Contract returns the contract that the request was created with.
func (r *Request) Contract() string { return r.rec.Contract }

// Scenario returns the name of the request's script.
func (r *Request) Scenario() string { return r.rec.Script.Name }

// readyLocked brings r up to now, and returns what speaks against any use of it.
func (r *Request) readyLocked() Failures {
	if r.forgotten && r.rec.ScriptAPI != nil {
		return noToken()
	}
	if r.forgotten {
		return Failures{notFound(strconv.FormatInt(r.rec.ID, 10), "there is no request with this id any more")}
	}
	r.evaluateLocked()
	if damage := r.p.damaged[r.rec.ID]; damage != nil && r.rec.ScriptAPI != nil {
		return Failures{ServerError("The uploaded database can not be read any more: begin a new upgrade", damage)}
	} else if damage != nil {
		return Failures{ServerError("The request's database dump can not be read", damage)}
	}
	return nil
}

// inStateLocked is readyLocked, and refuses a method in any state but those that allow it.
func (r *Request) inStateLocked(method string, allowed ...string) Failures {
	if fails := r.readyLocked(); fails != nil {
		return fails
	}
	state := r.stateLocked()
	for _, s := range allowed {
		if s == state {
			return nil
		}
	}
	return Failures{wrongState(method, r.rec.ID, state, allowed...)}
}

// newRequestLocked makes a request out of its record.
func (p *Platform) newRequestLocked(rec record) *Request {
	r := p.spare.take()
	r.p, r.rec = p, rec
	for _, text := range []*string{&r.rec.Key, &r.rec.Contract, &r.rec.Email, &r.rec.Target, &r.rec.Aim,
		&r.rec.Filename, &r.rec.Timezone, &r.rec.PostgreSQL} {
		*text = strings.Clone(*text) // what it came in may be a whole body
	}
	return r
}

func (p *Platform) addLocked(r *Request) {
	p.requests[r.rec.ID] = r
	p.lastID = max(p.lastID, r.rec.ID)
	if r.rec.ScriptAPI != nil {
		p.tokens[sha256.Sum256([]byte(r.rec.Key))] = r
	} else if changesHostKey(r.rec.Script) {
		p.hostKeyFaults[r.rec.ID] = true
	}
}

// newKey makes the key of the request with that id.
func (p *Platform) newKey(id int64, size int) (string, error) {
	random := io.Reader(rand.Reader)
	if p.opts.Seed != 0 { // of seed and id alone: a request made after a restart gets no key that another has
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], p.opts.Seed)
		binary.LittleEndian.PutUint64(seed[8:], uint64(id))
		random = mathrand.NewChaCha8(seed)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", err
	}
	if size == tokenBytes {
		b[0] &= 0x7f // it begins with no "-"
		return base64.RawURLEncoding.EncodeToString(b), nil
	}
	return base64.URLEncoding.EncodeToString(b), nil
}

// updateLocked changes what has become of r, on disk first. On an error nothing has changed.
func (r *Request) updateLocked(change func(*work)) error {
	return r.keepLocked(change, r.p.store.put)
}

func (r *Request) keepLocked(change func(*work), keep func(*record, totals) error) error {
	before := r.rec.update(change)
	err := keep(&r.rec, r.p.totalsLocked())
	if err != nil {
		r.rec.work = before
	}
	return err
}
