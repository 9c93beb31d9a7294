package conformance

import (
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// An upgrade is one request of the script API from its beginning to its end: created, given a dump over rsync,
// processed, followed until its upgrade has ended, and its result fetched. Several checks look at one upgrade; it goes
// on only as far as the furthest of them needs.
type upgrade struct {
	phases
	name string
	plan upgradePlan

	// Set by the phases, in this order; read only after the phase that set them.
	its     job
	atNew   rpcReply   // status behind create
	replies []rpcReply // all of the above and below, in the order in which they came
}

// upgradePlan is what an upgrade uploads, and how.
type upgradePlan struct {
	key func() ssh.Signer
}

// upgradePlans are the upgrades of a run by name.
var upgradePlans = map[string]upgradePlan{
	"directory": {key: func() ssh.Signer { return raw.NewKey("rsa") }},
}

// upgrade returns the run's upgrade of that name.
func (c *checker) upgrade(name string) *upgrade {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.upgrades[name]
	if u == nil {
		plan, ok := upgradePlans[name]
		if !ok {
			panic("conformance: no upgrade " + name)
		}
		u = &upgrade{name: name, plan: plan}
		u.begin(c.suite, "script-"+name)
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
		u.its = u.checker.newJobWith(u.plan.key())
		u.saw(u.its.created)
		u.atNew = u.saw(u.checker.jobStatus(u.its))
	})
	return u.its
}

// answers are the replies of the upgrade as far as it can be made. If there are none, the check ends.
func (u *upgrade) answers(c *checker) []rpcReply {
	st := c.guard(func() { u.job(c) })
	u.mu.Lock()
	replies := slices.Clone(u.replies)
	u.mu.Unlock()
	if len(replies) == 0 {
		panic(st)
	}
	return replies
}
