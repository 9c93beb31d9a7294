package conformance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// A lifecycle is one request from its beginning to its end: created, given a dump, processed, and followed until its
// upgrade has ended. Several checks look at one lifecycle; it goes on only as far as the furthest of them needs.
type lifecycle struct {
	name string
	b    *checker
	via  string // "http" or "sftp"
	dump []byte

	mu    sync.Mutex // held while a phase runs
	ended map[string]stop
	done  context.CancelFunc
	until string // a state beyond the final ones to stop at

	// Set by the phases, in this order; read only after the phase that set them.
	req       request
	atDraft   reply   // status before the upload
	atUpload  reply   // status after it, before process
	processed reply   // process's answer
	polls     []reply // each status while the upgrade went on, as long as its state was new, and the last
	states    []string
	last      reply // the last status

	doneKey    ssh.Signer // of the SFTP access asked for when done
	doneAnswer raw.Answer
	doneErr    error
}

// finalStates end the waiting: nothing is expected to come after them by itself.
var finalStates = []string{"done", "delivered", "invalid"}

// lifecyclePlans are the lifecycles of a run by name, and what each uploads.
var lifecyclePlans = map[string]struct {
	via  string
	form string // of the dump, in words
	dump func(*checker) []byte
	kv   []string // changed parameters of create
}{
	"main": {via: "http", form: "a dump in the custom format", dump: (*checker).dump},
	"sftp": {via: "sftp", form: "a plain dump",
		dump: func(*checker) []byte { return sqlDump("9.6.2", []byte("-- by SFTP\n")) },
		kv:   []string{"filename", "by_sftp.sql"}},
	"gzip": {via: "http", form: "a gzip'ed dump", dump: func(*checker) []byte { return fixture("openchs.sql.gz") },
		kv: []string{"filename", "openchs.sql.gz"}},
	"zip": {via: "http", form: "an Odoo zip", dump: func(*checker) []byte { return fixture("openchs.zip") },
		kv: []string{"filename", "openchs.zip"}},
	"live": {via: "http", form: "a dump in the custom format",
		dump: (*checker).dump, kv: []string{"aim", "production", "filename", "live.dump"}},
}

// lifecyclePrefix stands before the name of a lifecycle in recordings.
const lifecyclePrefix = "journey/"

// lifecycle returns the run's lifecycle of that name.
func (b *checker) lifecycle(name string) *lifecycle {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.lifecycles[name]
	if j == nil {
		plan, ok := lifecyclePlans[name]
		if !ok {
			panic("conformance: no lifecycle " + name)
		}
		limit := b.opts.Wait + 20*b.opts.CallTimeout
		ctx, cancel := context.WithTimeout(b.run, limit)
		j = &lifecycle{name: name, via: plan.via, ended: map[string]stop{}, done: cancel}
		j.b = b.newChecker(ctx, lifecyclePrefix+name)
		j.dump = plan.dump(j.b)
		b.lifecycles[name] = j
	}
	return j
}

// wait waits for the phase that runs, and ends the lifecycle and what it has open.
func (j *lifecycle) wait() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.b.close()
	j.done()
}

// once runs f as the phase of that name, for the first check that needs it. If f ends with a verdict, all checks that
// need the phase end with it.
func (j *lifecycle) once(b *checker, name string, f func()) {
	b.release()
	j.mu.Lock()
	st, ran := j.ended[name]
	if !ran {
		st = j.b.guard(f)
		j.ended[name] = st
	}
	j.mu.Unlock()
	b.acquire()
	if st.verdict != Pass {
		panic(st)
	}
}

// draft is the lifecycle's request, created and still in draft.
func (j *lifecycle) draft(b *checker) request {
	j.once(b, "draft", func() {
		if saved := j.b.opts.Resume; saved != nil {
			j.req = saved.request(j)
			return
		}
		j.req = j.b.create(lifecyclePlans[j.name].kv...)
		j.atDraft = j.b.status(j.req)
	})
	return j.req
}

// uploaded is the lifecycle's request, with its dump and still in draft.
func (j *lifecycle) uploaded(b *checker) request {
	j.draft(b)
	j.once(b, "upload", func() {
		if j.b.opts.Resume != nil {
			return
		}
		if j.via == "sftp" {
			c := j.b.sftp(j.req)
			c.mustPut(j.req.filename(), j.dump)
			c.End()
		} else {
			j.b.put(j.req, j.dump)
		}
		j.atUpload = j.b.status(j.req)
	})
	return j.req
}

// finished follows the upgrade until it has ended or the time for waiting is over, and returns the last state seen.
func (j *lifecycle) finished(b *checker) string {
	j.uploaded(b)
	j.once(b, "process", func() {
		if j.b.opts.Resume == nil {
			by := "process/answer"
			if j.via == "sftp" {
				by = "process/sftp-dump"
			}
			r, err := j.b.tryAPI("process", j.req.auth())
			if err != nil {
				j.b.blocked(by, "process: %v", err)
			}
			if !r.fine() {
				j.b.blocked(by, "process answered %s", r.Summary())
			}
			j.processed = r
		}
		j.follow()
		if state := j.states[len(j.states)-1]; !slices.Contains(finalStates, state) && j.b.opts.Save != nil {
			j.b.opts.Save(j.saved())
		}
	})
	return j.states[len(j.states)-1]
}

// patience is how long a test request may stay in testing before it is helped on: nobody looks at it.
const patience = 2 * time.Second

// follow polls until a final state. How often is the suite's choice: quickly at first, since an
// emulator's upgrade takes some polls or seconds; a real one is asked twice a minute.
func (j *lifecycle) follow() {
	b := j.b
	interval, most := 20*time.Millisecond, time.Second
	if b.opts.Production {
		interval, most = 10*b.opts.Pause, 30*b.opts.Pause
	}
	begin := time.Now()
	var skipped bool
	for polls := 0; ; polls++ {
		r, err := b.tryAPI("status", j.req.auth())
		if m := r.request(); err == nil && m != nil {
			state := text(m["state"])
			if len(j.states) == 0 || j.states[len(j.states)-1] != state {
				j.states = append(j.states, state)
				j.polls = append(j.polls, r)
			}
			j.last = r
			if state == j.until || slices.Contains(finalStates, state) {
				return
			}
			if state == "testing" && !skipped &&
				(time.Since(begin) > min(b.opts.Wait/4, patience) || j.name == "live") && b.hasMethod("skip_test") {
				skipped = true
				j.b.tryAPI("skip_test", j.req.auth())
				continue
			}
		} else if len(j.states) == 0 {
			b.blocked("status/answer", "status after process: %v %s", err, r.Summary())
		}
		if waited := b.waited(begin, len(b.transcript.steps)); waited >= b.opts.Wait || b.ctx.Err() != nil {
			return
		}
		b.pause(interval)
		interval = min(interval*3/2, most)
	}
}

// waited is how long a wait has lasted; in a replay it is over when the recording is.
func (b *checker) waited(begin time.Time, left int) time.Duration {
	if !b.transcript.live {
		if left == 0 {
			return b.opts.Wait
		}
		return 0
	}
	return time.Since(begin)
}

// doneOrStop is the lifecycle's request with its upgrade done or delivered. If the upgrade has not come so far, the
// check ends with the reason.
func (j *lifecycle) doneOrStop(b *checker) request {
	switch state := j.finished(b); state {
	case "done", "delivered":
	case "invalid":
		b.blocked("process/reaches-done", "the server found the dump invalid: %s",
			show(j.last.request()["customer_message"]))
	default:
		if b.opts.Production || b.opts.Wait == 0 {
			b.skipf("the upgrade has not ended, its state is %q: resume the run later, or wait longer", state)
		}
		b.blocked("process/reaches-done", "the upgrade has not ended within %v, its state is %q", b.opts.Wait, state)
	}
	return j.req
}

// field is a key of the last status.
func (j *lifecycle) field(key string) any { return j.last.request()[key] }

// filename is the name given to create.
func (r request) filename() string {
	for i := 0; i+1 < len(r.params); i += 2 {
		if r.params[i] == "filename" {
			return r.params[i+1]
		}
	}
	return ""
}

// Saved is a request whose upgrade had not ended when a run did: what a later run needs to judge its outcome.
// Anybody who has it can use the request.
type Saved struct {
	URL      string         `json:"url"`         // of the server
	ID       string         `json:"id"`          // of the request
	Key      string         `json:"key"`         // of the request
	Params   []string       `json:"params"`      // that it was created with: name, value, name, value…
	Status   map[string]any `json:"status"`      // the last that was seen
	DumpSize int            `json:"dump_size"`   // in bytes
	DumpSum  string         `json:"dump_sha256"` // in hexadecimal
}

func (j *lifecycle) saved() Saved {
	return Saved{URL: j.b.target.URL, ID: j.req.id, Key: j.req.key, Params: j.req.params, Status: j.last.request(),
		DumpSize: len(j.dump), DumpSum: raw.Sum(j.dump)}
}

// request is the saved request, for a lifecycle that has the same dump.
func (s *Saved) request(j *lifecycle) request {
	if s.DumpSum != raw.Sum(j.dump) {
		panic(stop{verdict: Error, message: fmt.Sprintf("the request to resume was given another dump (%d bytes, "+
			"SHA-256 %s): give the same one", s.DumpSize, s.DumpSum)})
	}
	j.b.remember(s.ID, s.Key, text(s.Status["status_url"]))
	return request{id: s.ID, key: s.Key, params: s.Params}
}

// Param returns the value of a parameter that the request was created with. It returns "" if there was none.
func (s *Saved) Param(name string) string {
	for i := 0; i+1 < len(s.Params); i += 2 {
		if s.Params[i] == name {
			return s.Params[i+1]
		}
	}
	return ""
}
