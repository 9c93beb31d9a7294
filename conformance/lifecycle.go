package conformance

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// A lifecycle is one request from its beginning to its end: created, given a dump, processed, and followed until its
// upgrade has ended. Several checks look at one lifecycle; it goes on only as far as the furthest of them needs.
type lifecycle struct {
	phases
	name  string
	via   string // "http" or "sftp"
	dump  []byte
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

// lifecycle returns the run's lifecycle of that name.
func (c *checker) lifecycle(name string) *lifecycle {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.lifecycles[name]
	if j == nil {
		plan, ok := lifecyclePlans[name]
		if !ok {
			panic("conformance: no lifecycle " + name)
		}
		j = &lifecycle{name: name, via: plan.via}
		j.begin(c.suite, name)
		j.dump = plan.dump(j.checker)
		c.lifecycles[name] = j
	}
	return j
}

// draft is the lifecycle's request, created and still in draft.
func (j *lifecycle) draft(c *checker) request {
	j.once(c, "draft", func() {
		if saved := j.checker.opts.Resume; saved != nil {
			j.req = saved.request(j)
			return
		}
		j.req = j.checker.create(lifecyclePlans[j.name].kv...)
		j.atDraft = j.checker.status(j.req)
	})
	return j.req
}

// uploaded is the lifecycle's request, with its dump and still in draft.
func (j *lifecycle) uploaded(c *checker) request {
	j.draft(c)
	j.once(c, "upload", func() {
		if j.checker.opts.Resume != nil {
			return
		}
		if j.via == "sftp" {
			s := j.checker.sftp(j.req)
			s.mustPut(j.req.filename(), j.dump)
			s.End()
		} else {
			j.checker.put(j.req, j.dump)
		}
		j.atUpload = j.checker.status(j.req)
	})
	return j.req
}

// finished follows the upgrade until it has ended or the time for waiting is over, and returns the last state seen.
func (j *lifecycle) finished(c *checker) string {
	j.uploaded(c)
	j.once(c, "process", func() {
		if j.checker.opts.Resume == nil {
			by := "process/answer"
			if j.via == "sftp" {
				by = "process/sftp-dump"
			}
			r, err := j.checker.tryAPI("process", j.req.auth())
			if err != nil {
				j.checker.blocked(by, "process: %v", err)
			}
			if !r.fine() {
				j.checker.blocked(by, "process answered %s", r.Summary())
			}
			j.processed = r
		}
		j.follow()
		if state := j.states[len(j.states)-1]; !slices.Contains(finalStates, state) && j.checker.opts.Save != nil {
			j.checker.opts.Save(j.saved())
		}
	})
	return j.states[len(j.states)-1]
}

// patience is how long a test request may stay in testing before skip_test is called.
const patience = 2 * time.Second

// follow polls until a final state. How often is the suite's choice: quickly at first, since an
// emulator's upgrade takes some polls or seconds; a real one is asked twice a minute.
func (j *lifecycle) follow() {
	c := j.checker
	interval, most := 20*time.Millisecond, time.Second
	if c.opts.Production {
		interval, most = 10*c.opts.Pause, 30*c.opts.Pause
	}
	begin := time.Now()
	var skipped bool
	for polls := 0; ; polls++ {
		r, err := c.tryAPI("status", j.req.auth())
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
				(time.Since(begin) > min(c.opts.Wait/4, patience) || j.name == "live") && c.hasMethod("skip_test") {
				skipped = true
				j.checker.tryAPI("skip_test", j.req.auth())
				continue
			}
		} else if len(j.states) == 0 {
			c.blocked("status/answer", "status after process: %v %s", err, r.Summary())
		}
		if waited := c.waited(begin, len(c.transcript.steps)); waited >= c.opts.Wait || c.ctx.Err() != nil {
			return
		}
		c.pause(interval)
		interval = min(interval*3/2, most)
	}
}

// waited is how long a wait has lasted; in a replay it is over when the recording is.
func (c *checker) waited(begin time.Time, left int) time.Duration {
	if !c.transcript.live {
		if left == 0 {
			return c.opts.Wait
		}
		return 0
	}
	return time.Since(begin)
}

// doneOrStop is the lifecycle's request with its upgrade done or delivered. If the upgrade has not come so far, the
// check ends with the reason.
func (j *lifecycle) doneOrStop(c *checker) request {
	switch state := j.finished(c); state {
	case "done", "delivered":
	case "invalid":
		c.blocked("process/reaches-done", "the server found the dump invalid: %s",
			show(j.last.request()["customer_message"]))
	default:
		if c.opts.Production || c.opts.Wait == 0 {
			c.skipf("the upgrade has not ended, its state is %q: resume the run later, or wait longer", state)
		}
		c.blocked("process/reaches-done", "the upgrade has not ended within %v, its state is %q", c.opts.Wait, state)
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
	API      API            `json:"api,omitempty"` // that the request is of; if empty, APIDatabase
	URL      string         `json:"url"`           // of the server
	ID       string         `json:"id"`            // of the request
	Key      string         `json:"key"`           // of the request
	Params   []string       `json:"params"`        // that it was created with: name, value, name, value…
	Status   map[string]any `json:"status"`        // the last that was seen
	DumpSize int            `json:"dump_size"`     // in bytes
	DumpSum  string         `json:"dump_sha256"`   // in hexadecimal

	// Host and SSHKey are of a request of the script API: its assigned_host_uri, and the private key whose public
	// one create was given, as OpenSSH writes it.
	Host   string `json:"host,omitempty"`
	SSHKey string `json:"ssh_key,omitempty"`
}

func (j *lifecycle) saved() Saved {
	return Saved{URL: j.checker.target.URL, ID: j.req.id, Key: j.req.key, Params: j.req.params,
		Status:   j.last.request(),
		DumpSize: len(j.dump), DumpSum: raw.Sum(j.dump)}
}

// request is the saved request, for a lifecycle that has the same dump.
func (s *Saved) request(j *lifecycle) request {
	if s.DumpSum != raw.Sum(j.dump) {
		panic(stop{verdict: Error, message: fmt.Sprintf("the request to resume was given another dump (%d bytes, "+
			"SHA-256 %s): give the same one", s.DumpSize, s.DumpSum)})
	}
	j.checker.remember(APIDatabase, s.ID, s.Key, text(s.Status["status_url"]))
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
