package conformance

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
	"github.com/upgrademock/upgrademock/conformance/internal/rsync"
)

// A transfer is what transfer/start opened, read as tolerantly as possible.
type transfer struct {
	job      job
	port     string
	known    []knownHost
	dumpName string
	reply    rpcReply
	another  bool // it is not the one in which the files came that are there
}

// addr is where its SSH server is: on the assigned host (row S4.1).
func (t transfer) addr() string { return net.JoinHostPort(t.job.hostName(), t.port) }

// startParams are those of transfer/start (row S3.1).
func startParams(j job, kind string) members { return j.auth().with(member{"transfer_type", kind}) }

// start opens a transfer for an upload, for a step before the one judged.
func (c *checker) start(j job) transfer {
	t := readTransfer(c.mustRPC("script/start-answer", "transfer/start", startParams(j, "upload")), j)
	c.usable(t, "script/start-answer")
	return t
}

// usable ends the check, blocked by the one that judges what is wrong, unless the transfer's server can be called. What
// is on this machine leads to no other.
func (c *checker) usable(t transfer, by string) {
	if c.local && !isLoopback(t.job.hostName()) {
		c.blocked("script/assigned-host-reached", "the assigned host is %s, and the server on this machine", t.job.host)
	}
	if t.reply.fine() && t.reply.result["ssh_port"] != nil {
		by = "script/ssh-port"
	}
	if !t.reply.fine() || !isPortNumber(t.port) {
		c.blocked(by, "transfer/start answered %s", t.reply.Summary())
	}
}

// readTransfer takes the way in out of an answer.
func readTransfer(r rpcReply, j job) transfer {
	t := transfer{job: j, port: number(r.result["ssh_port"]), known: readKnownHosts(text(r.result["known_hosts"])),
		reply: r}
	if name := text(r.result["dump_name"]); name != "" {
		t.dumpName = path.Base(name)
	}
	return t
}

// stop ends the transfer, for a step before the one judged.
func (c *checker) stop(j job) {
	if r, err := c.tryRPC("transfer/stop", j.auth()); err != nil || r.refused() {
		c.blocked("script/stop-answer", "transfer/stop: %v %s", err, r.Summary())
	}
}

// knownHost is a line of known_hosts.
type knownHost struct {
	hosts []string
	key   ssh.PublicKey
}

func readKnownHosts(text string) []knownHost {
	var lines []knownHost
	rest := []byte(text)
	for {
		marker, hosts, key, _, left, err := ssh.ParseKnownHosts(rest)
		if err != nil {
			return lines // io.EOF, or a line that ssh does not read either
		}
		if rest = left; marker == "" {
			lines = append(lines, knownHost{hosts, key})
		}
	}
}

// keysFor are the keys that ssh trusts a host and port with: those of lines that name both, else of lines that name
// the host alone (row S3.6).
func (t transfer) keysFor() []ssh.PublicKey {
	for _, name := range []string{fmt.Sprintf("[%s]:%s", t.job.hostName(), t.port), t.job.hostName()} {
		var keys []ssh.PublicKey
		for _, line := range t.known {
			if line.names(name) {
				keys = append(keys, line.key)
			}
		}
		if keys != nil {
			return keys
		}
	}
	return nil
}

// names reports whether the line is for that host, as ssh compares names.
func (k knownHost) names(name string) bool {
	found := false
	for _, pattern := range k.hosts {
		if hashed, ok := strings.CutPrefix(pattern, "|1|"); ok {
			found = found || isHashOf(hashed, name)
			continue
		}
		plain, not := strings.CutPrefix(pattern, "!")
		if !likeHost(strings.ToLower(plain), strings.ToLower(name)) {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

// isHashOf reports whether hashed, a salt and a hash, is that of a name.
func isHashOf(hashed, name string) bool {
	salt, sum, _ := strings.Cut(hashed, "|")
	s, err := base64.StdEncoding.DecodeString(salt)
	want, err2 := base64.StdEncoding.DecodeString(sum)
	mac := hmac.New(sha1.New, s)
	mac.Write([]byte(name))
	return err == nil && err2 == nil && hmac.Equal(mac.Sum(nil), want)
}

// likeHost reports whether a name fits a pattern with * and ?.
func likeHost(pattern, name string) bool {
	pattern = strings.NewReplacer("[", `\[`, "]", `\]`).Replace(pattern)
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// enterTransfer tries to log in as the script's ssh does: it asks first for host keys of the types that it knows.
func (c *checker) enterTransfer(t transfer, user string, auth []ssh.AuthMethod, who string) *raw.Conn {
	var types []string
	for _, key := range t.keysFor() {
		if key.Type() == ssh.KeyAlgoRSA {
			types = append(types, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		types = append(types, key.Type())
	}
	for _, other := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256} {
		if !slices.Contains(types, other) {
			types = append(types, other)
		}
	}
	return c.enter(raw.Login{Addr: t.addr(), User: user, Auth: auth, HostKeys: types, Who: "login with " + who})
}

// scriptUser is who logs in (row S4.2).
const scriptUser = "odoo"

// openTransfer logs in with the job's key, for a step before the one judged.
func (c *checker) openTransfer(t transfer) *raw.Conn {
	conn := c.enterTransfer(t, scriptUser, raw.WithKey(t.job.key), "the request's key")
	c.transferReached(t, conn)
	if !conn.Login.OK {
		c.blocked("script/login-"+shortKeyType(t.job.key), "login: %s", conn.Login.Err)
	}
	return conn
}

// transferReached ends the check if there is no server to log in to.
func (c *checker) transferReached(t transfer, conn *raw.Conn) {
	if !conn.Login.OK && conn.Login.HostKey == "" {
		c.blocked("script/port-open", "no SSH server at %s: %s", t.addr(), conn.Login.Err)
	}
}

// sent is what came of an upload.
type sent struct {
	raw.Outcome
	rsync.Sent
}

// good reports whether the client's rsync would have ended with status 0.
func (s sent) good() bool { return s.Whole && s.Outcome.Status == 0 }

// said is what went wrong, in words.
func said(o raw.Outcome, problem string, messages []string) string {
	var parts []string
	for _, p := range []string{problem, o.Err, strings.TrimSpace(o.Output), strings.Join(messages, "; ")} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if !o.Granted {
		parts = append(parts, "the command was refused")
	}
	return cmp.Or(strings.Join(parts, "; "), "no problem") + fmt.Sprintf(" (exit status %d)", o.Status)
}

func (s sent) String() string { return said(s.Outcome, s.Problem, s.Sent.Messages) }

// send runs a command that receives files, and sends them. An upload that is to break off ends with the end of the
// stream, as it does where the client's rsync is killed: what was sent before has arrived.
func (c *checker) send(conn *raw.Conn, command string, up rsync.Upload) sent {
	var out sent
	c.Exchange("rsync", fmt.Sprintf("%s (%d files)", command, len(up.Files)), &out, func() error {
		out.Outcome = conn.Run(command, func(stream io.ReadWriteCloser) { out.Sent = up.Run(stream) })
		return nil
	})
	return out
}

// got is what came of a download.
type got struct {
	raw.Outcome
	rsync.Got
}

func (g got) String() string { return said(g.Outcome, g.Problem, g.Got.Messages) }

// good reports whether the client's rsync would have ended with status 0.
func (g got) good() bool { return g.Whole && g.Outcome.Status == 0 }

// entry is what the server's list has by that name.
func (g got) entry(name string) (rsync.Entry, bool) {
	i := slices.IndexFunc(g.List, func(e rsync.Entry) bool { return e.Name == name })
	if i < 0 {
		return rsync.Entry{}, false
	}
	return g.List[i], true
}

// file is what was received by that name.
func (g got) file(name string) (rsync.Content, bool) {
	i := slices.IndexFunc(g.Files, func(f rsync.Content) bool { return f.Name == name })
	if i < 0 {
		return rsync.Content{}, false
	}
	return g.Files[i], true
}

// receive runs a command that sends files, and receives them.
func (c *checker) receive(conn *raw.Conn, command string, down rsync.Download) got {
	var out got
	down.Most = cmp.Or(down.Most, 64<<20)
	down.Keep = raw.KeptBody
	c.Exchange("rsync", command, &out, func() error {
		out.Outcome = conn.Run(command, func(stream io.ReadWriteCloser) { out.Got = down.Run(stream) })
		return nil
	})
	return out
}
