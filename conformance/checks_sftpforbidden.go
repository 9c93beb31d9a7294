package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// forbiddenOp is what a share does not allow: operations, each of which returns what the server said.
type forbiddenOp struct {
	id, says string
	ops      func(s *session, name string) map[string]func() error
}

// forbiddenOps are all that a share does not allow.
var forbiddenOps = []forbiddenOp{
	{"no-create", "No other file can be created.", forbiddenCreate},
	{"no-mkdir", "No directory can be made.", forbiddenMkdir},
	{"no-rmdir", "No directory can be removed.", forbiddenRmdir},
	{"no-remove", "The shared file can't be removed.", forbiddenRemove},
	{"no-rename", "The shared file can't be renamed.", forbiddenRename},
	{"no-link", "No link to the shared file can be made.", forbiddenLink},
	{"no-symlink", "No symbolic link can be made.", forbiddenSymlink},
	{"no-way-out", "No path leads out of /.", forbiddenWayOut},
}

func forbiddenCreate(s *session, name string) map[string]func() error {
	ops := map[string]func() error{}
	for _, path := range []string{"other.dump", "/other.dump", name + ".part", name + ".filepart",
		"." + name, "authorized_keys"} {
		ops["put "+path] = func() error { return s.Put(path, raw.OpenPut, raw.Blocks([]byte("x"), 0)) }
	}
	return ops
}

func forbiddenMkdir(s *session, name string) map[string]func() error {
	return map[string]func() error{"mkdir sub": func() error {
		return s.Do("mkdir",
			raw.FxpMkdir, raw.Packet(nil).Str("/sub").Attrs(raw.Attrs{}))
	}}
}

func forbiddenRmdir(s *session, name string) map[string]func() error {
	return map[string]func() error{"rmdir /": func() error {
		return s.Do("rmdir",
			raw.FxpRmdir, raw.Packet(nil).Str("/"))
	}}
}

func forbiddenRemove(s *session, name string) map[string]func() error {
	return map[string]func() error{"rm " +
		name: func() error { return s.Do("remove", raw.FxpRemove, raw.Packet(nil).Str(name)) }}
}

func forbiddenRename(s *session, name string) map[string]func() error {
	return map[string]func() error{
		"rename": func() error { return s.Do("rename", raw.FxpRename, raw.Packet(nil).Str(name).Str("other.dump")) },
		"posix-rename": func() error {
			return s.Do("posix-rename", raw.FxpExtended,
				raw.Packet(nil).Str("posix-rename@openssh.com").Str(name).Str("/other.dump"))
		},
	}
}

func forbiddenLink(s *session, name string) map[string]func() error {
	return map[string]func() error{"link": func() error {
		return s.Do("hardlink", raw.FxpExtended,
			raw.Packet(nil).Str("hardlink@openssh.com").Str("/"+name).Str("/link"))
	}}
}

func forbiddenSymlink(s *session, name string) map[string]func() error {
	return map[string]func() error{"symlink": func() error {
		return s.Do("symlink",
			raw.FxpSymlink, raw.Packet(nil).Str("/etc/passwd").Str("/link"))
	}}
}

func forbiddenWayOut(s *session, name string) map[string]func() error {
	ops := map[string]func() error{}
	for _, path := range []string{"/etc/passwd", "../../../../../../etc/passwd", "/../../../../etc/passwd",
		"..\\..\\etc\\passwd", "/proc/self/environ", "other.dump"} {
		ops["get "+path] = func() error { _, err := s.Get(path, 0); return err }
		ops["stat "+path] = func() error { _, err := s.Stat(raw.FxpStat, path); return err }
	}
	for _, path := range []string{"/etc", "/tmp", "../../../../../etc"} {
		ops["ls "+path] = func() error { _, err := s.List(path); return err }
	}
	ops["put ../../tmp/upgrademock-conformance"] = func() error {
		return s.Put("../../tmp/upgrademock-conformance", raw.OpenPut, raw.Blocks([]byte("x"), 0))
	}
	return ops
}

// names are what / shows.
func (s *session) names() []string {
	list, err := s.List("/")
	if err != nil {
		s.checker.wrong("ls /", "a listing", err.Error())
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names
}

// forbids ends the check unless the server denies each operation and the session goes on. If strict is true, the
// status must be one that says so.
func forbids(c *checker, f forbiddenOp, strict bool) {
	data := someDump(1000)
	s, name := c.filled(data)
	before := s.names()
	ops := f.ops(s, name)
	for _, what := range sortedKeys(ops) {
		err := ops[what]()
		switch {
		case err == nil && strict:
			c.blocked("sftp/"+f.id, "%s is not denied", what)
		case err == nil:
			c.wrong(what, "it to be denied", "success")
		case !raw.IsStatus(err):
			c.wrong(what, "a status, and the session to go on", err.Error())
		case strict && !raw.Denied(err):
			c.wrong(what, "permission denied or no such file", err.Error())
		}
	}
	// The session goes on, and nothing has changed.
	if after := s.names(); !slices.Equal(before, after) {
		c.wrong(strings.Join(sortedKeys(ops), ", "), fmt.Sprintf("the listing as before, %q", before),
			fmt.Sprintf("%q", after))
	}
	s.has(name, f.id, data)
}

func sftpForbiddenChecks() []check {
	var checks []check
	for _, f := range forbiddenOps {
		checks = append(checks,
			check{id: "sftp/" + f.id, rows: rows("5.13"), evidence: EvidenceDocumented, needs: needsSFTP | needsWrites,
				says: f.says + " The session goes on.", run: func(c *checker) { forbids(c, f, false) }},
			check{id: "sftp/" + f.id + "-status", rows: rows("5.13"), evidence: EvidenceAssumed,
				needs: needsSFTP | needsWrites,
				says:  f.says + " The status is permission denied, or no such file.",
				run:   func(c *checker) { forbids(c, f, true) }})
	}
	return append(checks, check{id: "sftp/no-such-file", rows: rows("5.13"), evidence: EvidenceObserved,
		needs: needsSFTP,
		says:  "What isn't there is reported as no such file or permission denied, in an open session.",
		run:   checkSFTPNoSuchFile},
		check{id: "sftp/no-paths-told", rows: rows("5.13"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "Error texts don't contain the server's own paths.",
			run:  checkSFTPNoPathsTold})
}

func checkSFTPNoSuchFile(c *checker) {
	s, name := c.filled(someDump(1000))
	for range 3 {
		if _, err := s.Stat(raw.FxpStat, "/nothing.dump"); !raw.Denied(err) {
			c.wrong("stat /nothing.dump", "no such file", fmt.Sprint(err))
		}
	}
	s.has(name, "stat of what isn't there", someDump(1000))
}

func checkSFTPNoPathsTold(c *checker) {
	s, _ := c.filled(someDump(1000))
	_, err := s.Open("/other/x.dump", raw.OpenPut)
	if err != nil && (strings.Contains(err.Error(), "/tmp") || strings.Contains(err.Error(), "/var") ||
		strings.Contains(err.Error(), "/home")) {
		c.wrong("put /other/x.dump", "a text without local paths", err.Error())
	}
}
