// Package platform is the upgrade platform itself: requests, their states, their dumps. It knows neither HTTP nor SSH.
//
// A request's state is a pure function of its script, the clock, and the status polls so far (package machine):
// it is computed when it is read, and nothing runs in between. One mutex guards all requests, and what leaves this
// package is a copy. Dumps are files, written beside and swapped in when they are complete; no name from outside is
// part of a path, but in the directories that rsync writes, which nothing leaves.
package platform

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Options of a Platform. Dir and Script are required.
type Options struct {
	Dir     *datadir.Dir // the caller's: it closes it after the platform
	Keep    bool         // keep requests in Dir, and take up those that are there
	Targets []string     // valid targets, in the order they are reported (row 3.2)

	// ScriptTargets are the valid targets of the script API; nil: any version since 13.0 (row S2.16).
	ScriptTargets []string

	Filestore bool          // the upgraded archive has a filestore, unless a script says otherwise (row 7 filestore)
	Contracts []string      // globs of the known contracts; none: all but M123456-abcxyz (row 3.7)
	AccessTTL time.Duration // how long an SFTP access lasts (row 5.18)

	MaxDump     int64 // bytes that a dump may have; 0: any number
	MaxRequests int   // requests that are held; 0: any number
	// OptionName is what texts call the option that sets MaxDump or MaxRequests; nil: these names.
	OptionName func(field string) string

	Now     func() time.Time // nil: time.Now
	Virtual bool             // Now does not run by itself: what it says is kept
	Seed    uint64           // makes the same keys for the same ids in each run; 0: crypto/rand makes them

	// Script chooses the script of a request about to be created.
	Script func(CreateParams) *scenario.Scenario
	// Changed is called for every change of state, in order, under the platform's lock: it must be quick and must not
	// call back.
	Changed func(Change)
	// AccessEnded is called when a request's SFTP access has ended; the same rules.
	AccessEnded func(id int64)
	// TransferEnded is called when a request of the script API has left the state in which what it has under way with
	// rsync was allowed, and when it is wiped or forgotten; the same rules.
	TransferEnded func(id int64)
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
	trees *trees

	background sync.WaitGroup // archives that are being made although nobody waits for them

	mu       sync.Mutex
	requests map[int64]*Request
	tokens   map[[sha256.Size]byte]*Request // those of the script API, by the hash of their token
	lastID   int64
	spare    spareRequests
	trash    []int64               // files to be removed once the lock is free
	gone     []int64               // requests whose directories are to be removed then
	belongs  map[int64]bool        // what load has found, until Begin
	rooted   map[int64]*tree       // the same of the directories that rsync wrote
	uploads  map[int64]*TreeUpload // requests' sessions of rsync that write
	damaged  map[int64]error       // requests whose files are not what they were

	// stepped is a script without steps of its own, and what requests of the script API follow in its place.
	stepped struct{ from, to *scenario.Scenario }

	// hostKeyFaults are the requests whose script changes the SSH host key, which is shown before a login names one.
	hostKeyFaults map[int64]bool

	// injected are the faults that wait to be triggered once, by request; see Inject.
	injected map[int64][]*scenario.Fault
	byHand   map[int64][]*scenario.Fault // that were triggered
}

// New opens the platform in opts.Dir.
func New(opts Options) (*Platform, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.OptionName == nil {
		opts.OptionName = func(field string) string { return field }
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
	if opts.TransferEnded == nil {
		opts.TransferEnded = func(int64) {}
	}
	p := &Platform{
		opts: opts, requests: make(map[int64]*Request), lastID: firstID - 1,
		tokens: make(map[[sha256.Size]byte]*Request), uploads: make(map[int64]*TreeUpload),
		damaged: make(map[int64]error), hostKeyFaults: make(map[int64]bool),
	}
	if err := p.open(opts.Keep); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// open opens what is in the directory, and takes up what is kept there.
func (p *Platform) open(keep bool) (err error) {
	dir := p.opts.Dir
	if p.dumps, err = openDumps(dir); err != nil {
		return fmt.Errorf("platform: %w", err)
	}
	if p.trees, err = openTrees(dir); err != nil {
		return fmt.Errorf("platform: %w", err)
	}
	if !keep {
		return nil
	}
	if p.store, err = openStore(dir); err != nil {
		return err
	}
	return p.load()
}

// Begin begins the use of the directory, in which New has changed nothing that was there: it sets aside the files that
// belong to no request, and makes the others private to their owner. It must be called once, before anything but Close.
func (p *Platform) Begin() error {
	if p.store == nil {
		return nil
	}
	dir := p.opts.Dir
	for _, name := range []string{datadir.Database, datadir.Dumps, datadir.Trees} {
		dir.Private(name)
	}
	err := p.store.change(makeBuckets)
	if err == nil {
		err = p.dumps.settle(dir, p.belongs)
	}
	if err == nil {
		err = p.trees.settle(dir, p.rooted)
	}
	p.belongs, p.rooted = nil, nil
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
	p.mu.Lock()
	p.Interrupt() // under the lock, behind which nothing more begins in the background
	p.mu.Unlock()
	p.background.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.store.close(), p.dumps.close(), p.trees.close())
}

// OnDisk reports whether what is acknowledged now will be found by the next process. It returns nil if nothing is kept.
func (p *Platform) OnDisk() error { return p.store.check() }

// All returns every request as it is, in the order of their ids.
func (p *Platform) All() []Snapshot {
	all, _ := p.List(Selection{})
	return all
}

// Count is how many requests there are.
func (p *Platform) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requests)
}

// Evaluate brings every request up to now, so that its changes of state are reported.
func (p *Platform) Evaluate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.evaluateLocked()
}

// evaluateLocked brings every request up to now, in the order of their ids. Most have nothing to be brought up to: so
// who looks on costs little; see bench/README.md.
func (p *Platform) evaluateLocked() {
	now := p.opts.Now()
	var due []int64
	for id, r := range p.requests {
		if r.dueLocked(now) {
			due = append(due, id)
		}
	}
	slices.Sort(due)
	for _, id := range due {
		p.requests[id].evaluateLocked()
	}
}

// Due returns the earliest instant at which a request changes its state by itself; ok is false if none does.
func (p *Platform) Due() (at time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if due, will := r.nextLocked(); will && (!ok || due.Before(at)) {
			at, ok = due, true
		}
	}
	return at, ok
}

// Dues returns the instants at which requests change their states by themselves, by their ids.
func (p *Platform) Dues() map[int64]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	dues := make(map[int64]time.Time)
	for id, r := range p.requests {
		if due, will := r.nextLocked(); will {
			dues[id] = due
		}
	}
	return dues
}

// nextLocked returns when the present step of r ends by itself.
func (r *Request) nextLocked() (at time.Time, ok bool) {
	if r.rec.ProcessedAt == nil || r.rec.Forced != nil {
		return time.Time{}, false
	}
	return machine.Due(r.rec.Script, r.rec.Position)
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
		r.forgotten = true
		delete(p.requests, id)
		if r.rec.ScriptAPI != nil {
			delete(p.tokens, sha256.Sum256([]byte(r.rec.Key)))
			p.opts.TransferEnded(id)
			p.gone = append(p.gone, id)
		}
		delete(p.hostKeyFaults, id)
		delete(p.damaged, id)
		delete(p.injected, id)
		delete(p.byHand, id)
		if r.rec.Access != nil {
			p.opts.AccessEnded(id)
		}
		p.trash = append(p.trash, r.filesLocked()...)
	}
	return nil
}

// filesLocked are the numbers of the files that r refers to.
func (r *Request) filesLocked() []int64 {
	var files []int64
	if r.shared != nil {
		files = append(files, r.shared.number())
	}
	for _, f := range []*file{r.rec.Original, r.rec.Upgraded} {
		if f != nil {
			files = append(files, f.Seq)
		}
	}
	return files
}

// removeLocked removes a file unless r still refers to it. Who has it open goes on reading.
func (p *Platform) removeLocked(r *Request, seq int64) {
	if o := r.rec.Original; o != nil && o.Seq == seq || r.shared != nil && r.shared.number() == seq {
		return
	}
	p.trash = append(p.trash, seq)
}

// sweep removes the files that nothing refers to any more. It is deferred before the lock is taken, so that it runs
// without: a file system may take long over a large file. What a kill leaves behind, the next process sets aside.
func (p *Platform) sweep() {
	p.mu.Lock()
	trash, gone := p.trash, p.gone
	p.trash, p.gone = nil, nil
	p.mu.Unlock()
	for _, seq := range trash {
		p.dumps.remove(seq)
	}
	for _, id := range gone {
		p.trees.remove(id)
	}
}
