package conformance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// A journey is one request taken the whole way: created, given a dump, processed, and followed until its upgrade
// has ended. Several checks look at one journey; it goes on only as far as the furthest of them needs.
type journey struct {
	name string
	b    *bench
	via  string // "http" or "sftp"
	dump []byte

	mu     sync.Mutex // held while a stage runs: who needs it waits for it
	stages map[string]stop
	done   context.CancelFunc
	until  string // a state beyond the final ones to stop at

	// Set by the stages, in this order; read only after the stage that set them.
	req       request
	atDraft   reply   // status before the upload
	atUpload  reply   // status after it, before process
	processed reply   // process's answer
	polls     []reply // each status while the upgrade went on, as long as its state was new, and the last
	states    []string
	last      reply // the last status

	doneKey    ssh.Signer // of the SFTP access asked for when done
	doneAnswer answer
	doneErr    error
}

// finalStates end the waiting: nothing is expected to come after them by itself.
var finalStates = []string{"done", "delivered", "invalid"}

// journeyDumps are the journeys there are, and what each uploads.
var journeyDumps = map[string]struct {
	via  string
	form string // of the dump, in words
	dump func(*bench) []byte
	kv   []string // changed parameters of create
}{
	"main": {via: "http", form: "a dump in the custom format", dump: (*bench).dump},
	"sftp": {via: "sftp", form: "a plain dump", dump: func(*bench) []byte { return sqlDump("9.6.2", []byte("-- by SFTP\n")) }, kv: []string{"filename", "by_sftp.sql"}},
	"gzip": {via: "http", form: "a gzip'ed dump", dump: func(*bench) []byte { return fixture("openchs.sql.gz") }, kv: []string{"filename", "openchs.sql.gz"}},
	"zip":  {via: "http", form: "an Odoo zip", dump: func(*bench) []byte { return fixture("openchs.zip") }, kv: []string{"filename", "openchs.zip"}},
	"live": {via: "http", form: "a dump in the custom format", dump: (*bench).dump, kv: []string{"aim", "production", "filename", "live.dump"}},
}

// journey returns the run's journey of that name.
func (b *bench) journey(name string) *journey {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.journeys[name]
	if j == nil {
		plan, ok := journeyDumps[name]
		if !ok {
			panic("conformance: no journey " + name)
		}
		limit := b.opts.Wait + 20*b.opts.CallTimeout
		ctx, cancel := context.WithTimeout(b.run, limit)
		j = &journey{name: name, via: plan.via, stages: map[string]stop{}, done: cancel}
		j.b = b.newBench(ctx, "journey/"+name)
		j.dump = plan.dump(j.b)
		b.journeys[name] = j
	}
	return j
}

// wait ends the journey, with what is still open.
func (j *journey) wait() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.b.close()
	j.done()
}

// stage runs f once, whoever comes first; its trouble is everybody's.
func (j *journey) stage(b *bench, name string, f func()) {
	b.give()
	j.mu.Lock()
	st, ran := j.stages[name]
	if !ran {
		st = j.b.guard(f)
		j.stages[name] = st
	}
	j.mu.Unlock()
	b.take()
	if st.verdict != Pass {
		panic(st)
	}
}

// draft is the journey's request, created and still in draft.
func (j *journey) draft(b *bench) request {
	j.stage(b, "draft", func() {
		if saved := j.b.opts.Resume; saved != nil {
			j.req = saved.request(j)
			return
		}
		j.req = j.b.create(journeyDumps[j.name].kv...)
		j.atDraft = j.b.status(j.req)
	})
	return j.req
}

// uploaded is the journey's request, with its dump and still in draft.
func (j *journey) uploaded(b *bench) request {
	j.draft(b)
	j.stage(b, "upload", func() {
		if j.b.opts.Resume != nil {
			return
		}
		if j.via == "sftp" {
			c := j.b.sftp(j.req)
			c.mustPut(j.req.filename(), j.dump)
			c.end()
		} else {
			j.b.put(j.req, j.dump)
		}
		j.atUpload = j.b.status(j.req)
	})
	return j.req
}

// finished follows the upgrade until it has ended or the time for waiting is over, and returns the last state seen.
func (j *journey) finished(b *bench) string {
	j.uploaded(b)
	j.stage(b, "process", func() {
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
				j.b.blocked(by, "process answered %s", r.came())
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
func (j *journey) follow() {
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
			if state == "testing" && !skipped && (time.Since(begin) > min(b.opts.Wait/4, patience) || j.name == "live") && b.hasMethod("skip_test") {
				skipped = true
				j.b.tryAPI("skip_test", j.req.auth())
				continue
			}
		} else if len(j.states) == 0 {
			b.blocked("status/answer", "status after process: %v %s", err, r.came())
		}
		if waited := b.waited(begin, len(b.lane.steps)); waited >= b.opts.Wait || b.ctx.Err() != nil {
			return
		}
		b.pause(interval)
		interval = min(interval*3/2, most)
	}
}

// waited is how long a wait has lasted; in a replay it is over when the recording is.
func (b *bench) waited(begin time.Time, left int) time.Duration {
	if !b.lane.live {
		if left == 0 {
			return b.opts.Wait
		}
		return 0
	}
	return time.Since(begin)
}

// done is the journey's request with its upgrade done or delivered; a check that needs more than what there is
// ends here, naming why.
func (j *journey) doneOrStop(b *bench) request {
	switch state := j.finished(b); state {
	case "done", "delivered":
	case "invalid":
		b.blocked("process/reaches-done", "the server found the dump invalid: %s", show(j.last.request()["customer_message"]))
	default:
		if b.opts.Production || b.opts.Wait == 0 {
			b.skipf("the upgrade has not ended, its state is %q: resume the run later, or wait longer", state)
		}
		b.blocked("process/reaches-done", "the upgrade has not ended within %v, its state is %q", b.opts.Wait, state)
	}
	return j.req
}

// field is a key of the last status.
func (j *journey) field(key string) any { return j.last.request()[key] }

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

func (j *journey) saved() Saved {
	return Saved{URL: j.b.target.URL, ID: j.req.id, Key: j.req.key, Params: j.req.params, Status: j.last.request(),
		DumpSize: len(j.dump), DumpSum: sum(j.dump)}
}

// request is the saved request on the journey, if the journey has the same dump.
func (s *Saved) request(j *journey) request {
	if s.DumpSum != sum(j.dump) {
		panic(stop{verdict: Error, message: fmt.Sprintf("the request to resume was given another dump (%d bytes, SHA-256 %s): give the same one", s.DumpSize, s.DumpSum)})
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
