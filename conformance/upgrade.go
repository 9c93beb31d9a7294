package conformance

import (
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
	"github.com/upgrademock/upgrademock/conformance/internal/rsync"
)

// An upgrade is one request of the script API from its beginning to its end: created, given a dump over rsync,
// processed, followed until its upgrade has ended, and its result fetched. Several checks look at one upgrade; it goes
// on only as far as the furthest of them needs.
type upgrade struct {
	phases
	upgradePlan
	name   string
	secret string // the private key of its, to be saved

	// Set by the phases, in this order; read only after the phase that set them.
	its       job
	atNew     rpcReply                   // status behind create
	starts    []transfer                 // for the upload: the last one is used
	limited   map[string]raw.LoginResult // by the algorithm of RSA that was used alone
	login     raw.LoginResult
	up        sent
	stopped   rpcReply // transfer/stop's answer behind the upload
	processed rpcReply // process's answer
	states    []string
	last      rpcReply   // the last status
	log       raw.Answer // in progress, or when the upgrade had ended
	logEnd    raw.Answer // the same from its last byte on
	logErr    error      // why there was no answer
	down      transfer
	result    got
	replies   []rpcReply // all of them, in the order in which they came
	stumbled  bool       // some status behind the first was no success
}

// upgradePlan is what an upgrade uploads, and how.
type upgradePlan struct {
	by    string // the check that judges the upload
	key   string // the type of the key
	form  uploadForm
	dest  string // below /data
	files []rsync.File
}

// The upgrades of a run by name.
const theDirectory = "directory"

// fileUpgrades are those whose dump is a file, by the extension that the script gives it (row S5.7).
var fileUpgrades = []string{".sql", ".dump", ".zip", ".sql.gz"}

// plan is what the upgrade of that name uploads: for theDirectory the run's own dump, if there is one.
func (c *checker) plan(name string) upgradePlan {
	switch name {
	case theDirectory:
		p := upgradePlan{by: "script/upload-directory", key: "rsa", form: formV11, dest: "origin.dump"}
		switch {
		case c.opts.Dump != nil:
			ext, files := dumpFile(c.opts.Dump)
			p.dest, p.files = "origin"+ext, files
		case c.opts.Production:
			p.files = directoryDump()
		default:
			p.files = c.largeDirectory()
		}
		return p
	case ".sql":
		return upgradePlan{by: "script/upload-sql", key: "ed25519", form: formV8, dest: "origin.sql",
			files: oneFile("mine.sql", fixture("openchs.sql"))}
	case ".dump":
		return upgradePlan{by: "script/upload-dump", key: "ecdsa", form: formV10, dest: "origin.dump",
			files: oneFile("mine.dump", fixture("openchs.cdump"))}
	case ".zip":
		return upgradePlan{by: "script/upload-zip", key: "ed25519", form: formV11, dest: "origin.zip",
			files: oneFile("mine.zip", fixture("openchs.zip"))}
	case ".sql.gz":
		return upgradePlan{by: "script/upload-sql-gz", key: "ed25519", form: formV11, dest: "origin.sql.gz",
			files: oneFile("mine.sql.gz", fixture("openchs.sql.gz"))}
	}
	panic("conformance: no upgrade " + name)
}

// upgrade returns the run's upgrade of that name.
func (c *checker) upgrade(name string) *upgrade {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.upgrades[name]
	if u == nil {
		u = &upgrade{name: name}
		u.begin(c.suite, "script-"+name)
		u.upgradePlan = u.checker.plan(name)
		c.upgrades[name] = u
	}
	return u
}

// saw keeps a reply.
func (u *upgrade) saw(r rpcReply) rpcReply {
	u.replies = append(u.replies, r)
	return r
}

// job is the upgrade's request, created and still in new.
func (u *upgrade) job(c *checker) job {
	u.once(c, "job", func() {
		if saved := u.checker.opts.Resume; saved != nil {
			u.its = u.checker.savedJob(saved)
			return
		}
		var key ssh.Signer
		key, u.secret = raw.NewSavedKey(u.key)
		u.its = u.checker.newJobWith(key)
		u.saw(u.its.created)
		u.atNew = u.saw(u.checker.jobStatus(u.its))
	})
	return u.its
}

// rsaSignatures are the algorithms by which an RSA key signs (row S4.7).
var rsaSignatures = []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}

// started opens the transfer of the upload. Outside production it opens others before, of which each is there for a
// login by one of the signatures of RSA alone.
func (u *upgrade) started(c *checker) {
	u.job(c)
	u.once(c, "start", func() {
		c := u.checker
		if c.opts.Resume != nil {
			return
		}
		algorithms := rsaSignatures
		if c.opts.Production || u.key != "rsa" {
			algorithms = nil
		}
		u.limited = map[string]raw.LoginResult{}
		for _, algorithm := range append(slices.Clone(algorithms), "") {
			t := c.start(u.its)
			u.starts = append(u.starts, t)
			u.saw(t.reply)
			if algorithm != "" {
				auth := raw.WithKey(raw.Limited(u.its.key, algorithm))
				conn := c.enterTransfer(t, scriptUser, auth, "a signature "+algorithm)
				conn.Drop()
				u.limited[algorithm] = conn.Login
			}
		}
	})
}

// uploaded is the upgrade's request with its dump, still in new.
func (u *upgrade) uploaded(c *checker) job {
	u.started(c)
	u.once(c, "upload", func() {
		c := u.checker
		if c.opts.Resume != nil {
			return
		}
		t := u.starts[len(u.starts)-1]
		conn := c.openTransfer(t)
		u.login = conn.Login
		command, up := u.form.command(u.its.path(u.dest), u.files)
		if u.up = c.send(conn, command, up); !u.up.Whole {
			c.blocked(u.by, "the upload: %s", u.up)
		}
		conn.Drop()
		r, err := c.tryRPC("transfer/stop", u.its.auth())
		if err != nil {
			c.blocked("script/stop-answer", "transfer/stop: %v", err)
		}
		u.stopped = u.saw(r)
	})
	return u.its
}

// scriptFinal are the states that end the waiting (row S7.3).
var scriptFinal = []string{"done", "failed", "cancelled"}

// begun is the upgrade's request as it is when process has been answered.
func (u *upgrade) begun(c *checker) {
	u.uploaded(c)
	u.once(c, "process", func() {
		c := u.checker
		if c.opts.Resume != nil {
			return
		}
		by := "script/process-answer"
		if u.up.Outcome.Status > 0 {
			by = u.by // of what the server says did not arrive
		}
		u.processed = u.saw(c.mustRPC(by, "process", u.its.auth()))
		u.noted(c.jobStatus(u.its))
	})
}

// noted keeps a status, and reads the log if there is one now. It reports whether the state is a final one.
func (u *upgrade) noted(r rpcReply) bool {
	state := text(r.result["status"])
	if len(u.states) == 0 || u.state() != state {
		u.states = append(u.states, state)
		u.saw(r)
	}
	u.last = r
	final := slices.Contains(scriptFinal, state)
	if (state == "progress" || final) && u.log.Size == 0 {
		u.readLog()
	}
	return final
}

// finished follows the upgrade until it has ended or the time for waiting is over, and returns the last state seen.
func (u *upgrade) finished(c *checker) string {
	u.begun(c)
	u.once(c, "end", func() {
		c := u.checker
		u.follow()
		if !slices.Contains(scriptFinal, u.state()) && c.opts.Save != nil && u.name == theDirectory {
			c.opts.Save(u.saved())
		}
	})
	return u.state()
}

func (u *upgrade) state() string { return u.states[len(u.states)-1] }

// follow polls until a final state, as a lifecycle does, and reads the log in progress.
func (u *upgrade) follow() {
	c := u.checker
	interval, most := 20*time.Millisecond, time.Second
	if c.opts.Production {
		interval, most = 10*c.opts.Pause, 30*c.opts.Pause
	}
	begin := time.Now()
	for {
		r, err := c.tryRPC("status", u.its.auth())
		if err == nil && r.fine() && text(r.result["status"]) != "" {
			if u.noted(r) {
				return
			}
		} else if err == nil && len(u.states) > 0 && !u.stumbled {
			u.stumbled = true // which the script does not live through
			u.saw(r)
		} else if len(u.states) == 0 {
			c.blocked("script/status-answer", "status after process: %v %s", err, r.Summary())
		}
		if c.waited(begin, len(c.transcript.steps)) >= c.opts.Wait || c.ctx.Err() != nil {
			return
		}
		c.pause(interval)
		interval = min(interval*3/2, most)
	}
}

// readLog reads the log from its beginning, and from its last byte on.
func (u *upgrade) readLog() {
	c := u.checker
	a, err := c.try(c.composeLogs(u.its.token, 0))
	if err == nil {
		u.log = a
	}
	u.logErr = err
	if u.log.OK() && u.log.Size > 0 {
		if a, err := c.try(c.composeLogs(u.its.token, int(u.log.Size)-1)); err == nil {
			u.logEnd = a
		}
	}
}

// doneOrStop is the upgrade's request in done. If the upgrade has not come so far, the check ends with the reason.
func (u *upgrade) doneOrStop(c *checker) job {
	switch state := u.finished(c); state {
	case "done":
	case "failed", "cancelled":
		c.blocked("script/reaches-done", "the upgrade ended in %s, reason %s", state, show(u.last.result["reason"]))
	default:
		if c.opts.Production || c.opts.Wait == 0 {
			c.skipf("the upgrade has not ended, its state is %q: resume the run later, or wait longer", state)
		}
		c.blocked("script/reaches-done", "the upgrade has not ended within %v, its state is %q", c.opts.Wait, state)
	}
	return u.its
}

// opened is transfer/start for the download, which may have been refused.
func (u *upgrade) opened(c *checker) transfer {
	u.doneOrStop(c)
	u.once(c, "start-download", func() {
		r, err := u.checker.tryRPC("transfer/start", startParams(u.its, "download"))
		if err != nil {
			u.checker.blocked("script/start-download", "transfer/start: %v", err)
		}
		u.down = readTransfer(u.saw(r), u.its)
	})
	return u.down
}

// fetched is the result of the upgrade, received as the script does.
func (u *upgrade) fetched(c *checker) got {
	u.opened(c)
	u.once(c, "download", func() {
		c := u.checker
		c.usable(u.down, "script/start-download")
		conn := c.openTransfer(u.down)
		u.result = c.receive(conn, downloadCommand(u.down.results()...), rsync.Download{})
		if !u.result.Whole {
			c.blocked("script/download", "the download: %s", u.result)
		}
		conn.Drop()
		c.stop(u.its)
	})
	return u.result
}

// answers are the replies of the upgrade as far as it can be made. If there are none, the check ends.
func (u *upgrade) answers(c *checker) []rpcReply {
	st := c.guard(func() {
		if u.finished(c) == "done" {
			u.fetched(c)
		}
	})
	var replies []rpcReply
	u.alone(c, func() { replies = slices.Clone(u.replies) })
	if len(replies) == 0 {
		panic(st)
	}
	return replies
}

func (u *upgrade) saved() Saved {
	s := Saved{API: APIScript, URL: u.checker.target.URL, ID: u.its.id, Key: u.its.token, Host: u.its.host,
		SSHKey: u.secret, Status: u.last.result, Params: []string{"contract", u.checker.target.Contract}}
	for _, f := range u.files {
		s.DumpSize += len(f.Data)
	}
	return s
}

// savedJob is the request that an earlier run has left.
func (c *checker) savedJob(s *Saved) job {
	key, err := ssh.ParsePrivateKey([]byte(s.SSHKey))
	if err != nil {
		c.errorf("the request to resume has no private key that can be read")
	}
	c.remember(APIScript, s.ID, s.Key, "")
	return job{id: s.ID, token: s.Key, host: s.Host, key: key}
}
