package conformance

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

const (
	scriptTarget = "18.0" // that requests are made for
	tokenLength  = 58     // row S2.10
)

// A job is a request of the script API.
type job struct {
	id      string     // request_id, as it is written in JSON
	token   string     // opens the request
	host    string     // assigned_host_uri
	key     ssh.Signer // given to create
	params  members    // of create
	created rpcReply   // create's answer
}

// auth are the parameters that open the job.
func (j job) auth() members { return members{{"token", j.token}} }

// hostName is the host of the assigned address.
func (j job) hostName() string { host, _ := splitHost(j.host); return host }

// splitHost takes an address apart as rsync does, at its first colon, unless it is one of IPv6 in brackets.
func splitHost(addr string) (host, port string) {
	if h, p, err := net.SplitHostPort(addr); err == nil {
		return h, p
	}
	return strings.Trim(addr, "[]"), ""
}

// scriptParams are what create is asked with by V5 and later copies (rows S2.1 to S2.7).
func (c *checker) scriptParams(key ssh.Signer) members {
	return members{{"contract", c.target.Contract}, {"target", scriptTarget}, {"aim", "test"}, {"actuator", "cli"},
		{"env_vars", []string{}}, {"ssh_key", raw.KeyLine(key) + "\n"}, {"api_version", "0.2"}}
}

// readJob takes the request out of create's answer, as tolerantly as possible.
func (c *checker) readJob(r rpcReply, key ssh.Signer, p members) (job, bool) {
	id := number(r.result["request_id"])
	if id == "" {
		id = text(r.result["request_id"])
	}
	j := job{id: id, token: text(r.result["token"]), host: c.tolerantHost(r.result["assigned_host_uri"]), key: key,
		params: p, created: r}
	if j.token == "" || !r.fine() {
		return j, false
	}
	c.remember(APIScript, j.id, j.token, "")
	return j, true
}

// tolerantHost reads an assigned address: what stands before and behind it is dropped, and where there is none, as
// before V5, it is the one that is judged.
func (c *checker) tolerantHost(v any) string {
	s := text(v)
	if s == "" {
		s = c.base
	}
	if _, after, ok := strings.Cut(s, "//"); ok {
		s = after
	}
	s, _, _ = strings.Cut(s, "/")
	return s
}

// newJob makes a request of the check's own, with the usual parameters changed.
func (c *checker) newJob(changed ...member) job {
	return c.newJobWith(raw.NewKey("ed25519"), changed...)
}

func (c *checker) newJobWith(key ssh.Signer, changed ...member) job {
	p := c.scriptParams(key).with(changed...)
	r := c.mustRPC("script/create-answer", "create", p)
	j, ok := c.readJob(r, key, p)
	if !ok {
		c.blocked("script/create-answer", "create gave no request with a token: %s", r.Summary())
	}
	return j
}

// createJob calls create as it must succeed, with the usual parameters changed.
func (c *checker) createJob(changed ...member) rpcReply {
	key := raw.NewKey("ed25519")
	p := c.scriptParams(key).with(changed...)
	r := c.rpc("create", p)
	c.readJob(r, key, p)
	return r
}

// job is a request to look at: one of the check's own, or in production the shared one.
func (c *checker) job() job {
	if c.opts.Production {
		return c.upgrade(theDirectory).job(c)
	}
	return c.newJob()
}

// state asks for the state, for a step before the one judged.
func (c *checker) state(j job) string { return text(c.jobStatus(j).result["status"]) }

func (c *checker) jobStatus(j job) rpcReply {
	r := c.mustRPC("script/status-answer", "status", j.auth())
	if text(r.result["status"]) == "" {
		c.blocked("script/status-answer", "status answered %s", r.Summary())
	}
	return r
}

// badHost says what is wrong with an address as assigned_host_uri and host_uri have it (row S2.11); "" for nothing.
func badHost(v any) string {
	s, ok := v.(string)
	const form = "a host, or host:port, without a scheme"
	if !ok || s == "" || strings.ContainsAny(s, "/ \t\n@?#") {
		return form
	}
	host, port, err := net.SplitHostPort(s)
	switch {
	case err != nil && strings.Count(s, ":") > 0 && !strings.HasPrefix(s, "["):
		return form
	case err == nil && !isPortNumber(port):
		return form
	case err == nil && host == "":
		return form
	}
	return ""
}

func isPortNumber(s string) bool {
	var n int
	if s == "" || strings.Trim(s, "0123456789") != "" || len(s) > 5 {
		return false
	}
	_, err := fmt.Sscan(s, &n)
	return err == nil && n > 0 && n < 1<<16
}

// isLoopback reports whether the host is this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}
