package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// forbidden are the operations that a share doesn't allow. Each returns what the server said.
var forbidden = []struct {
	id, says string
	ops      func(c *session, name string) map[string]func() error
}{
	{"no-create", "No other file can be created.", func(c *session, name string) map[string]func() error {
		ops := map[string]func() error{}
		for _, path := range []string{"other.dump", "/other.dump", name + ".part", name + ".filepart", "." + name, "authorized_keys"} {
			ops["put "+path] = func() error { return c.Put(path, raw.OpenPut, raw.Blocks([]byte("x"), 0)) }
		}
		return ops
	}},
	{"no-mkdir", "No directory can be made.", func(c *session, name string) map[string]func() error {
		return map[string]func() error{"mkdir sub": func() error { return c.Do("mkdir", raw.FxpMkdir, raw.Packet(nil).Str("/sub").Attrs(raw.Attrs{})) }}
	}},
	{"no-rmdir", "No directory can be removed.", func(c *session, name string) map[string]func() error {
		return map[string]func() error{"rmdir /": func() error { return c.Do("rmdir", raw.FxpRmdir, raw.Packet(nil).Str("/")) }}
	}},
	{"no-remove", "The shared file can't be removed.", func(c *session, name string) map[string]func() error {
		return map[string]func() error{"rm " + name: func() error { return c.Do("remove", raw.FxpRemove, raw.Packet(nil).Str(name)) }}
	}},
	{"no-rename", "The shared file can't be renamed.", func(c *session, name string) map[string]func() error {
		return map[string]func() error{
			"rename": func() error { return c.Do("rename", raw.FxpRename, raw.Packet(nil).Str(name).Str("other.dump")) },
			"posix-rename": func() error {
				return c.Do("posix-rename", raw.FxpExtended, raw.Packet(nil).Str("posix-rename@openssh.com").Str(name).Str("/other.dump"))
			},
		}
	}},
	{"no-link", "No link to the shared file can be made.", func(c *session, name string) map[string]func() error {
		return map[string]func() error{"link": func() error {
			return c.Do("hardlink", raw.FxpExtended, raw.Packet(nil).Str("hardlink@openssh.com").Str("/"+name).Str("/link"))
		}}
	}},
	{"no-symlink", "No symbolic link can be made.", func(c *session, name string) map[string]func() error {
		return map[string]func() error{"symlink": func() error { return c.Do("symlink", raw.FxpSymlink, raw.Packet(nil).Str("/etc/passwd").Str("/link")) }}
	}},
	{"no-way-out", "No path leads out of /.", func(c *session, name string) map[string]func() error {
		ops := map[string]func() error{}
		for _, path := range []string{"/etc/passwd", "../../../../../../etc/passwd", "/../../../../etc/passwd", "..\\..\\etc\\passwd", "/proc/self/environ", "other.dump"} {
			ops["get "+path] = func() error { _, err := c.Get(path, 0); return err }
			ops["stat "+path] = func() error { _, err := c.Stat(raw.FxpStat, path); return err }
		}
		for _, path := range []string{"/etc", "/tmp", "../../../../../etc"} {
			ops["ls "+path] = func() error { _, err := c.List(path); return err }
		}
		ops["put ../../tmp/upgrademock-conformance"] = func() error {
			return c.Put("../../tmp/upgrademock-conformance", raw.OpenPut, raw.Blocks([]byte("x"), 0))
		}
		return ops
	}},
}

// names are what / shows.
func (c *session) names() []string {
	list, err := c.List("/")
	if err != nil {
		c.b.wrong("ls /", "a listing", err.Error())
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names
}

func sftpForbiddenChecks() []check {
	var checks []check
	for _, f := range forbidden {
		run := func(b *checker, strict bool) {
			data := someDump(1000)
			c, name := b.filled(data)
			before := c.names()
			ops := f.ops(c, name)
			for _, what := range sortedKeys(ops) {
				err := ops[what]()
				switch {
				case err == nil && strict:
					b.blocked("sftp/"+f.id, "%s is not denied", what)
				case err == nil:
					b.wrong(what, "it to be denied", "success")
				case !raw.IsStatus(err):
					b.wrong(what, "a status, and the session to go on", err.Error())
				case strict && !raw.Denied(err):
					b.wrong(what, "permission denied or no such file", err.Error())
				}
			}
			// The session goes on, and nothing has changed.
			if after := c.names(); !slices.Equal(before, after) {
				b.wrong(strings.Join(sortedKeys(ops), ", "), fmt.Sprintf("the listing as before, %q", before), fmt.Sprintf("%q", after))
			}
			c.has(name, f.id, data)
		}
		checks = append(checks,
			check{id: "sftp/" + f.id, rows: rows("5.13"), evidence: EvidenceDocumented, needs: needsSFTP | needsWrites,
				says: f.says + " The session goes on.", run: func(b *checker) { run(b, false) }},
			check{id: "sftp/" + f.id + "-status", rows: rows("5.13"), evidence: EvidenceAssumed, needs: needsSFTP | needsWrites,
				says: f.says + " The status is permission denied, or no such file.", run: func(b *checker) { run(b, true) }})
	}
	return append(checks, check{id: "sftp/no-such-file", rows: rows("5.13"), evidence: EvidenceObserved, needs: needsSFTP,
		says: "What isn't there is reported as no such file or permission denied, in an open session.",
		run: func(b *checker) {
			c, name := b.filled(someDump(1000))
			for range 3 {
				if _, err := c.Stat(raw.FxpStat, "/nothing.dump"); !raw.Denied(err) {
					b.wrong("stat /nothing.dump", "no such file", fmt.Sprint(err))
				}
			}
			c.has(name, "stat of what isn't there", someDump(1000))
		}},
		check{id: "sftp/no-paths-told", rows: rows("5.13"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "Error texts don't tell the server's own paths.",
			run: func(b *checker) {
				c, _ := b.filled(someDump(1000))
				_, err := c.Open("/other/x.dump", raw.OpenPut)
				if err != nil && (strings.Contains(err.Error(), "/tmp") || strings.Contains(err.Error(), "/var") || strings.Contains(err.Error(), "/home")) {
					b.wrong("put /other/x.dump", "a text without local paths", err.Error())
				}
			}})
}
