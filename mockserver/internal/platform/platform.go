// Package platform is the upgrade platform itself: requests, their states, their dumps. It knows neither HTTP nor SSH.
//
// A request's state is a pure function of its script, the clock, and the status polls so far: whoever
// reads evaluates, nothing ticks. One mutex guards all requests, and what leaves this package is a copy. Dumps are files,
// written beside and swapped in when whole; no name that came from outside is ever part of a path.
package platform

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

const (
	firstID    = 10534  // the documented sample's request …
	firstIssue = 648398 // … and the issue that came with it; both ascend from there (assumed)

	keyBytes = 16 // row 3.10
)

// Options of a Platform. Dir and Script are required.
type Options struct {
	Dir       *datadir.Dir  // the caller's: it closes it after the platform
	Keep      bool          // keep requests in Dir, and take up those that are there
	Targets   []string      // valid targets, in the order they are reported (row 3.2)
	SkipTest  bool          // the method skip_test exists (row 6.5)
	Filestore bool          // the upgraded archive is a zip with a filestore, unless a script says otherwise (row 7 filestore)
	Contracts []string      // globs of the known contracts; none: all but M123456-abcxyz (row 3.7)
	AccessTTL time.Duration // how long an SFTP access lasts (row 5.18)

	MaxDump     int64 // bytes that a dump may have; 0: any number
	MaxRequests int   // requests that are held; 0: any number

	Now     func() time.Time // nil: time.Now
	Virtual bool             // Now does not run by itself: what it says is kept
	Seed    uint64           // makes the same keys for the same ids in each run; 0: crypto/rand makes them

	// Script chooses the script of a request about to be created.
	Script func(CreateParams) *scenario.Scenario
	// Changed is told of every change of state, in order, under the platform's lock: it must be quick and must not call back.
	Changed func(Change)
	// AccessEnded is told when a request's SFTP access has ended; the same rules.
	AccessEnded func(id int64)
}

// Change is one change of a request's state.
type Change struct {
	ID       int64
	Contract string
	From, To string
	At       time.Time // when it logically happened, which may be before it was noticed
}

// Platform holds the requests. Its methods may be called concurrently.
type Platform struct {
	opts  Options
	store *store // nil unless Keep
	dumps *dumps

	mu       sync.Mutex
	requests map[int64]*request
	lastID   int64
	spare    []request       // for the next requests
	trash    []int64         // files to be removed once the lock is free
	belongs  map[int64]bool  // what load has found, until Begin
	damaged  map[int64]error // requests whose files are not what they were

	hostKeyFaults map[int64]bool // requests whose script changes the SSH host key, which must be known before anybody logs in
}

// request is one upgrade request.
type request struct {
	rec    record
	shared *dumpFile // nil until somebody needs it

	building   sync.Mutex // held while the upgraded archive is being made
	unreadable error      // why it cannot be made of the dump, once that was tried; guarded by building
	tried      int64      // of which dump
}

// New opens the platform in opts.Dir.
func New(opts Options) (*Platform, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.MaxDump == 0 {
		opts.MaxDump = math.MaxInt64
	}
	if opts.MaxRequests == 0 {
		opts.MaxRequests = math.MaxInt
	}
	if opts.Changed == nil {
		opts.Changed = func(Change) {}
	}
	if opts.AccessEnded == nil {
		opts.AccessEnded = func(int64) {}
	}
	p := &Platform{
		opts: opts, requests: make(map[int64]*request), lastID: firstID - 1,
		damaged: make(map[int64]error), hostKeyFaults: make(map[int64]bool),
	}
	var err error
	if p.dumps, err = openDumps(opts.Dir); err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	if !opts.Keep {
		return p, nil
	}
	if p.store, err = openStore(opts.Dir); err != nil {
		p.dumps.close()
		return nil, err
	}
	if p.belongs, err = p.load(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Begin begins the use of the directory, in which New has changed nothing that was there: it sets aside the files that belong to no request, and
// keeps the others to their owner. To be called once, before anything but Close.
func (p *Platform) Begin() error {
	if p.store == nil {
		return nil
	}
	dir := p.opts.Dir
	for _, name := range []string{datadir.Database, datadir.Dumps} {
		dir.Private(name)
	}
	err := p.store.change(makeBuckets)
	if err == nil {
		err = p.dumps.settle(dir, p.belongs)
	}
	p.belongs = nil
	if err == nil {
		err = dir.Made()
	}
	if err != nil {
		return fmt.Errorf("platform: %w", err)
	}
	return nil
}

// Interrupt ends what may take long, copies and archives that are being made, and keeps more of it from beginning.
func (p *Platform) Interrupt() { p.dumps.interrupt() }

// Close ends the use of the directory. What is kept stays there.
func (p *Platform) Close() error {
	p.Interrupt()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.store.close(), p.dumps.close())
}

// OnDisk reports whether what is acknowledged now will be found by the next process. It returns nil where nothing is kept.
func (p *Platform) OnDisk() error { return p.store.check() }

// totalsLocked is what goes on ascending, as of now.
func (p *Platform) totalsLocked() totals {
	t := totals{LastID: p.lastID, Seq: p.dumps.seq.Load()}
	if p.opts.Virtual {
		t.Clock = p.opts.Now().UTC()
	}
	return t
}

// KeptClock is what a clock that does not run by itself said last; the zero time where that is not known.
func (p *Platform) KeptClock() time.Time {
	if p.store == nil {
		return time.Time{}
	}
	return p.store.kept.Clock
}

// KeepClock keeps what the clock says now.
func (p *Platform) KeepClock() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store.putTotals(p.totalsLocked())
}

// Keep keeps a value under a name across processes, beside the requests; nil forgets it.
func (p *Platform) Keep(name string, value []byte) error { return p.store.putNamed(name, value) }

// EachKept calls each with everything that Keep has kept.
func (p *Platform) EachKept(each func(name string, value []byte) error) error {
	return p.store.eachNamed(each)
}

// load takes up what an earlier process left, and returns the files that belong to requests. A request whose files are not what they were is
// damaged, and the others go on.
func (p *Platform) load() (belongs map[int64]bool, err error) {
	belongs = make(map[int64]bool)
	err = p.store.load(func(rec record, part progress) error {
		r := p.newRequestLocked(rec)
		p.addLocked(r)
		for _, f := range []*file{rec.Original, rec.Upgraded} {
			if f == nil {
				continue
			}
			belongs[f.Seq] = true
			if err := p.dumps.intact(f.Seq, f.Size); err != nil {
				p.noteDamageLocked(r, err)
			}
		}
		if part.Seq != 0 {
			belongs[part.Seq] = true
			p.restoreShared(r, part)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.lastID = max(p.lastID, p.store.kept.LastID)
	p.dumps.seq.Store(p.store.kept.Seq)
	for seq := range belongs {
		p.dumps.seq.Store(max(p.dumps.seq.Load(), seq))
	}
	return belongs, nil
}

// noteDamageLocked makes r a damaged request if err says so of a file of its.
func (p *Platform) noteDamageLocked(r *request, err error) {
	if damage := (*damagedError)(nil); errors.As(err, &damage) {
		p.damaged[r.rec.ID] = err
	}
}

// CheckDumps reads the dumps of all requests and compares them with their checksums, which Begin does not. A request whose dump differs is damaged
// from then on. The error is ctx's when that ends first.
func (p *Platform) CheckDumps(ctx context.Context) error {
	files := make(map[int64]*file)
	p.mu.Lock()
	for id, r := range p.requests {
		files[id] = r.rec.Original
	}
	p.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(files)) {
		f := files[id]
		if f == nil {
			continue
		}
		err := p.dumps.same(f, ctx.Done())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.mu.Lock()
		if r := p.requests[id]; r != nil && r.rec.Original == f {
			p.noteDamageLocked(r, err)
		}
		p.mu.Unlock()
	}
	return nil
}

// Damaged returns the requests whose files are not what they were, and why. Calls for them are answered with SERVER:ERROR.
func (p *Platform) Damaged() map[int64]error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.damaged)
}

// newRequestLocked makes a request out of its record. Requests are held by the hundred thousand: the garbage collector is through with them in half the time
// where many lie side by side, and each has its texts in one place.
func (p *Platform) newRequestLocked(rec record) *request {
	if len(p.spare) == 0 {
		p.spare = make([]request, 32)
	}
	r := &p.spare[0]
	p.spare = p.spare[1:]
	r.rec = rec
	pack(&r.rec.Key, &r.rec.Contract, &r.rec.Email, &r.rec.Target, &r.rec.Aim, &r.rec.Filename, &r.rec.Timezone, &r.rec.PostgreSQL)
	return r
}

func (p *Platform) addLocked(r *request) {
	p.requests[r.rec.ID] = r
	p.lastID = max(p.lastID, r.rec.ID)
	if changesHostKey(r.rec.Script) {
		p.hostKeyFaults[r.rec.ID] = true
	}
}

// pack puts texts into one piece of memory of their own. What they came in, which may be a whole body, is held on to no longer.
func pack(texts ...*string) {
	var all strings.Builder
	for _, s := range texts {
		all.WriteString(*s)
	}
	packed := all.String()
	for _, s := range texts {
		*s, packed = packed[:len(*s)], packed[len(*s):]
	}
}

// restoreShared takes up an SFTP transfer that the end of the process broke off. What is behind the end of what is known to have arrived without
// a hole is cut off when the file is opened.
func (p *Platform) restoreShared(r *request, part progress) {
	if p.damaged[r.rec.ID] != nil {
		return
	}
	info, err := p.dumps.root.Lstat(name(part.Seq))
	if errors.Is(err, fs.ErrNotExist) {
		if part.Whole > 0 {
			p.opts.Dir.Note("request %d: the %d bytes that had arrived over SFTP are gone; the transfer begins again", r.rec.ID, part.Whole)
		}
		return
	}
	if err := p.dumps.intact(part.Seq, 0); err != nil { // no regular file
		p.noteDamageLocked(r, err)
		return
	}
	d := p.newShared(r)
	d.seq, d.modTime = part.Seq, info.ModTime()
	if o := r.rec.Original; o != nil && o.Seq == part.Seq {
		d.sealed = o.Size
	}
	d.whole = max(min(part.Whole, info.Size()), d.sealed)
	d.size, d.told = d.whole, d.whole
	d.written = true
	r.shared = d
}

// Ref names a request as a call does: both are what the client sent.
type Ref struct {
	ID  string
	Key string

	known *request // whose key it is, when Identify has found out
}

// findLocked returns the request, brought up to now, or the failures. A wrong key and an unknown id are one answer
// in words and in time.
func (p *Platform) findLocked(ref Ref) (*request, Failures) {
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
	r, why := p.lookupLocked(ref)
	if r == nil {
		return nil, Failures{notFound(ref.ID, why)}
	}
	p.evaluateLocked(r)
	if damage := p.damaged[r.rec.ID]; damage != nil {
		return nil, Failures{Trouble("The request's database dump can not be read", damage)}
	}
	return r, nil
}

// noKey stands in for the key of a request that is not there, so that looking costs the same.
const noKey = "AAAAAAAAAAAAAAAAAAAAAA=="

func (p *Platform) lookupLocked(ref Ref) (_ *request, why string) {
	if r := ref.known; r != nil && p.requests[r.rec.ID] == r { // still there
		return r, ""
	}
	id, err := strconv.ParseInt(ref.ID, 10, 64)
	key := noKey
	var r *request
	if err == nil && '1' <= ref.ID[0] && ref.ID[0] <= '9' { // 010534 and +10534 are no ids
		r = p.requests[id]
	}
	if r != nil {
		key = r.rec.Key
	}
	same := subtle.ConstantTimeCompare([]byte(key), []byte(ref.Key)) == 1
	switch {
	case r == nil:
		return nil, "there is no request with this id"
	case !same:
		return nil, fmt.Sprintf("the key is not request %d's", id)
	}
	return r, ""
}

// newKey makes the key of the request with that id.
func (p *Platform) newKey(id int64) (string, error) {
	random := io.Reader(rand.Reader)
	if p.opts.Seed != 0 { // of seed and id alone: a request made after a restart gets no key that another has
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], p.opts.Seed)
		binary.LittleEndian.PutUint64(seed[8:], uint64(id))
		random = mathrand.NewChaCha8(seed)
	}
	b := make([]byte, keyBytes)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", err
	}
	return base64.URLEncoding.EncodeToString(b), nil
}

// updateLocked changes what has become of r, on disk first. On an error nothing has changed.
func (p *Platform) updateLocked(r *request, change func(*work)) error {
	return p.keepLocked(r, change, p.store.put)
}

func (p *Platform) keepLocked(r *request, change func(*work), keep func(*record, totals) error) error {
	before := r.becomes(change)
	err := keep(&r.rec, p.totalsLocked())
	if err != nil {
		r.rec.work = before
	}
	return err
}

// evaluateLocked brings r to the present: steps whose time has passed, an access that has expired.
func (p *Platform) evaluateLocked(r *request) {
	if r.rec.ProcessedAt == nil && r.rec.Access == nil { // a draft waits for the client alone
		return
	}
	now := p.opts.Now()
	if r.rec.ProcessedAt != nil && r.rec.Forced == nil {
		pos, changes := machine.At(r.rec.Script, r.rec.Position, now)
		r.rec.Position = pos // derived from the clock: need not be kept
		p.tellLocked(r, changes)
	}
	if a := r.rec.Access; a != nil && (!now.Before(a.Expires) || a.Phase != phase(p.stateLocked(r))) {
		r.rec.Access = nil
		p.opts.AccessEnded(r.rec.ID)
	}
}

func (p *Platform) tellLocked(r *request, changes []machine.Change) {
	for _, c := range changes {
		p.opts.Changed(Change{ID: r.rec.ID, Contract: r.rec.Contract, From: c.From, To: c.To, At: c.At})
	}
}

// stateLocked is r's state as of its last evaluation.
func (p *Platform) stateLocked(r *request) string {
	switch {
	case r.rec.Forced != nil:
		return r.rec.Forced.State
	case r.rec.ProcessedAt == nil:
		return StateDraft
	}
	return machine.State(r.rec.Script, r.rec.Position)
}

// The states that mean something to the platform itself. Scripts may name others.
const (
	StateDraft     = "draft"
	StateTesting   = "testing"
	StateDone      = "done"
	StateDelivered = "delivered"
)

// phase is what an SFTP access is good for in a state: "upload", "download", or nothing (row 5.3).
func phase(state string) string {
	switch state {
	case StateDraft:
		return "upload"
	case StateDone, StateDelivered:
		return "download"
	}
	return ""
}

// Status describes the request after counting one poll (docs/fidelity.md, section 7).
func (p *Platform) Status(ref Ref, s *Snapshot) Failures {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, fails := p.findLocked(ref)
	if fails != nil {
		return fails
	}
	if r.rec.ProcessedAt != nil && r.rec.Forced == nil {
		pos, changes := machine.Poll(r.rec.Script, r.rec.Position, p.opts.Now())
		// Also where the poll itself moves nothing: it is told what until now was only derived from the clock.
		if err := p.updateLocked(r, func(w *work) { w.Position = pos }); err != nil {
			return Failures{Trouble("The poll can not be recorded", err)}
		}
		p.tellLocked(r, changes)
		p.evaluateLocked(r)
	}
	p.describeLocked(r, s)
	return nil
}

// Look returns the request as it is; nothing is counted. For the pages and the URLs.
func (p *Platform) Look(ref Ref) (Snapshot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, _ := p.lookupLocked(ref)
	if r == nil {
		return Snapshot{}, false
	}
	p.evaluateLocked(r)
	return p.snapshotLocked(r), true
}

// Get returns the request with that id, whatever its key: for the control surface, never for clients.
func (p *Platform) Get(id int64) (Snapshot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests[id]
	if r == nil {
		return Snapshot{}, false
	}
	p.evaluateLocked(r)
	return p.snapshotLocked(r), true
}

// All returns every request, in the order of their ids.
func (p *Platform) All() []Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Snapshot, 0, len(p.requests))
	for _, r := range p.requests {
		p.evaluateLocked(r)
		all = append(all, p.snapshotLocked(r))
	}
	slices.SortFunc(all, func(a, b Snapshot) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Evaluate brings every request up to now, so that its changes of state are told.
func (p *Platform) Evaluate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(p.requests)) {
		p.evaluateLocked(p.requests[id])
	}
}

// Process begins the upgrade (row 6.1).
func (p *Platform) Process(ref Ref) (Snapshot, Failures) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, fails := p.findLocked(ref)
	if fails != nil {
		return Snapshot{}, fails
	}
	if fails := p.processLocked(r); fails != nil {
		return Snapshot{}, fails
	}
	return p.snapshotLocked(r), nil
}

func (p *Platform) processLocked(r *request) Failures {
	if state := p.stateLocked(r); state != StateDraft {
		return Failures{wrongState("process", r.rec.ID, state, StateDraft)}
	}
	if o := r.rec.Original; o != nil {
		if err := p.dumps.intact(o.Seq, o.Size); err != nil {
			p.noteDamageLocked(r, err)
			return Failures{Trouble("The request's database dump can not be read", err)}
		}
	}
	if why := p.noDumpLocked(r); why != "" {
		return Failures{{Reason: DumpMissing, Message: "There is no complete database dump to process; upload one first", Why: why}}
	}
	now := p.opts.Now()
	pos, change := machine.Begin(r.rec.Script, now)
	err := p.updateLocked(r, func(w *work) { w.ProcessedAt, w.Position = &now, pos })
	if err != nil {
		return Failures{Trouble("The request can not be processed now", err)}
	}
	p.tellLocked(r, []machine.Change{change})
	p.evaluateLocked(r)
	return nil
}

// noDumpLocked explains why there is nothing to process; "" when there is.
func (p *Platform) noDumpLocked(r *request) string {
	if o := r.rec.Original; o != nil && o.Size > 0 {
		return ""
	}
	if d := r.shared; d != nil {
		size, _ := d.stat()
		from, missing := d.gap()
		switch {
		case d.inUse():
			return fmt.Sprintf("process came before the SFTP close: %d bytes of the shared file have arrived, its handle is still open", size)
		case missing > 0:
			return fmt.Sprintf("%d bytes are missing from offset %d", missing, from)
		case size > 0:
			return fmt.Sprintf("the SFTP session broke after %d bytes without closing the file, and nobody continued it", size)
		}
	}
	if r.rec.Original != nil {
		return "the uploaded dump is empty"
	}
	return "nothing has been uploaded"
}

// SkipTest ends the tests: the upgraded dump is handed over (row 6.5).
func (p *Platform) SkipTest(ref Ref) (Snapshot, Failures) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, fails := p.findLocked(ref)
	if fails != nil {
		return Snapshot{}, fails
	}
	if state := p.stateLocked(r); state != StateTesting {
		return Snapshot{}, Failures{wrongState("skip_test", r.rec.ID, state, StateTesting)}
	}
	if err := p.forceLocked(r, StateDelivered, nil); err != nil {
		return Snapshot{}, Failures{Trouble("The tests can not be skipped now", err)}
	}
	return p.snapshotLocked(r), nil
}

// forceLocked puts r in a state of its own, outside its script, until somebody puts it in another.
func (p *Platform) forceLocked(r *request, state string, set map[string]any) error {
	from, now := p.stateLocked(r), p.opts.Now()
	err := p.updateLocked(r, func(w *work) {
		if w.ProcessedAt == nil {
			w.ProcessedAt = &now
		}
		w.Forced = &forced{State: state, Set: set, At: now}
	})
	if err != nil {
		return err
	}
	if from != state {
		p.tellLocked(r, []machine.Change{{From: from, To: state, At: now}})
	}
	p.evaluateLocked(r)
	return nil
}

// ErrConflict is what a control call gets that makes no sense for the request as it is.
var ErrConflict = errors.New("platform: not possible now")

// conflict is an ErrConflict that says what is in the way.
type conflict string

func (c conflict) Error() string        { return string(c) }
func (c conflict) Is(target error) bool { return target == ErrConflict }

func conflictf(format string, args ...any) error { return conflict(fmt.Sprintf(format, args...)) }

// Force puts the request in a state and sets keys of its status. It may not go back to draft, nor to a state
// with something to download when there is nothing.
func (p *Platform) Force(id int64, state string, set map[string]any) (Snapshot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests[id]
	if r == nil {
		return Snapshot{}, fmt.Errorf("platform: request %d: %w", id, fs.ErrNotExist)
	}
	p.evaluateLocked(r)
	now := p.stateLocked(r)
	switch {
	case state == StateDraft && now != StateDraft:
		return Snapshot{}, conflictf("request %d is in state %s, and no request goes back to draft; create a new one", id, now)
	case state == StateDraft:
		return Snapshot{}, conflictf("request %d is in state draft already", id)
	case phase(state) == "download" && r.rec.Original == nil && r.rec.Script.Upgraded.Archive == "" && !r.rec.Script.Upgraded.Built:
		return Snapshot{}, conflictf("request %d has no dump, so there is nothing to hand out in state %s; upload one first", id, state)
	}
	if set == nil && r.rec.Forced != nil {
		set = r.rec.Forced.Set
	}
	if err := p.forceLocked(r, state, set); err != nil {
		return Snapshot{}, err
	}
	return p.snapshotLocked(r), nil
}

// Release lets a request go on that its script holds.
func (p *Platform) Release(id int64) (Snapshot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests[id]
	if r == nil {
		return Snapshot{}, fmt.Errorf("platform: request %d: %w", id, fs.ErrNotExist)
	}
	p.evaluateLocked(r)
	if r.rec.ProcessedAt == nil || r.rec.Forced != nil {
		return Snapshot{}, conflictf("request %d is in state %s, and no step of its script holds it there", id, p.stateLocked(r))
	}
	pos, changes, err := machine.Release(r.rec.Script, r.rec.Position, p.opts.Now())
	if err != nil {
		return Snapshot{}, conflictf("request %d is in state %s: %v", id, p.stateLocked(r), err)
	}
	if err := p.updateLocked(r, func(w *work) { w.Position = pos }); err != nil {
		return Snapshot{}, err
	}
	p.tellLocked(r, changes)
	p.evaluateLocked(r)
	return p.snapshotLocked(r), nil
}

// Reset forgets the requests for which mine is true, and removes their dumps. Ids go on ascending.
func (p *Platform) Reset(mine func(id int64, contract string) bool) error {
	defer p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []int64
	for id, r := range p.requests {
		if mine(id, r.rec.Contract) {
			ids = append(ids, id)
		}
	}
	if err := p.store.remove(ids, p.totalsLocked()); err != nil {
		return err
	}
	for _, id := range ids {
		r := p.requests[id]
		delete(p.requests, id)
		delete(p.hostKeyFaults, id)
		delete(p.damaged, id)
		if r.rec.Access != nil {
			p.opts.AccessEnded(id)
		}
		var files []int64
		if r.shared != nil {
			files = append(files, r.shared.number())
		}
		for _, f := range []*file{r.rec.Original, r.rec.Upgraded} {
			if f != nil {
				files = append(files, f.Seq)
			}
		}
		p.trash = append(p.trash, files...)
	}
	return nil
}

// Due is the earliest instant at which a request changes its state by itself; ok is false when none does.
func (p *Platform) Due() (at time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if r.rec.ProcessedAt == nil || r.rec.Forced != nil {
			continue
		}
		if due, will := machine.Due(r.rec.Script, r.rec.Position); will && (!ok || due.Before(at)) {
			at, ok = due, true
		}
	}
	return at, ok
}

// UserID is the request id in the name of an SFTP user (row 5.5).
func UserID(user string) (int64, bool) {
	digits, ok := strings.CutPrefix(user, "user_")
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, ok && err == nil && strconv.FormatInt(id, 10) == digits
}

// Identify tells whose call it is, and the name of the request's script, if the key is right, and picks the fault that the script has for it.
// What ref is used for afterwards costs less.
func (p *Platform) Identify(ref *Ref, on string) (id int64, contract, script string, fault *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, _ := p.lookupLocked(*ref)
	if r == nil {
		return 0, "", "", nil
	}
	ref.known = r
	return r.rec.ID, r.rec.Contract, r.rec.Script.Name, p.pickLocked(r, on)
}

// Whose tells the contract and the script's name of a request, for the journal.
func (p *Platform) Whose(id int64) (contract, script string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests[id]
	if r == nil {
		return "", ""
	}
	return r.rec.Contract, r.rec.Script.Name
}
