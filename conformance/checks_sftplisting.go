package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// share is a session on a draft's share, with the shared file's name.
func (c *checker) share() (*session, string) {
	req := c.draft()
	return c.sftp(req), req.filename()
}

// filled is a share whose file has data, put there in this session.
func (c *checker) filled(data []byte) (*session, string) {
	req := c.create()
	s := c.sftp(req)
	s.mustPut(req.filename(), data)
	return s, req.filename()
}

// only lists a directory that must show exactly the file called name.
func (s *session) only(path, name string) raw.Entry {
	list, err := s.List(path)
	if err != nil {
		s.checker.wrong("ls "+path, "a listing", err.Error())
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	if len(list) != 1 || list[0].Name != name {
		s.checker.wrong("ls "+path, "only "+name, fmt.Sprintf("%q", names))
	}
	return list[0]
}

// entry is the listed file called name; which others are listed is a check of its own.
func (s *session) entry(path, name string) raw.Entry {
	list, err := s.List(path)
	if err != nil {
		s.checker.wrong("ls "+path, "a listing", err.Error())
	}
	for _, e := range list {
		if e.Name == name {
			return e
		}
	}
	s.checker.blocked("sftp/list-only-shared", "%s is not in the listing of %s", name, path)
	return raw.Entry{}
}

// has ends the check unless the file reads back as data.
func (s *session) has(name, did string, data []byte) {
	got, err := s.Get(name, 0)
	if err != nil {
		s.checker.wrong(did+" and then get", fmt.Sprintf("the %d bytes written", len(data)), err.Error())
	}
	s.same(did, got, data)
}

func (s *session) same(did string, got, data []byte) {
	if d := raw.FirstDifference(got, data); d >= 0 || len(got) != len(data) {
		s.checker.wrong(did, fmt.Sprintf("the file to be the %d bytes written", len(data)),
			fmt.Sprintf("%d bytes, different from offset %d", len(got), d))
	}
}

var (
	longForm = regexp.MustCompile(`^(\S{10})[.+@]? +(\d+) +(\S+) +(\S+) +(\d+) ` +
		`+([A-Z][a-z]{2}) +(\d{1,2}) +(\d{2}:\d{2}|\d{4}) (.+)$`)
	// dayFirst is the order that a widely used server library writes; clients read both.
	dayFirst = regexp.MustCompile(` (\d{1,2}) +([A-Z][a-z]{2}) +(\d{2}:\d{2}|\d{4}) `)
	months   = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

// longParts are the fields of a line of ls -l: mode, links, owner, group, size, month, day, time, name; nil when it is
// none.
func longParts(line string) []string {
	return longForm.FindStringSubmatch(dayFirst.ReplaceAllString(line, " $2 $1 $3 "))
}

const listedSize = 84992 // bytes of the file in listings

func sftpListingChecks() []check {
	return []check{
		{id: "sftp/session", rows: rows("5.5", "5.19"), evidence: EvidenceDocumented, needs: needsSFTP, gentle: true,
			says: "The subsystem sftp speaks SFTP version 3.",
			run:  checkSFTPSession},
		{id: "sftp/root", rows: rows("5.11"), evidence: EvidenceDocumented, needs: needsSFTP, gentle: true,
			says: "A session begins in /, which is a directory.",
			run:  checkSFTPRoot},
		{id: "sftp/list-only-shared", rows: rows("5.11"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "/ shows only the shared file.",
			run:  checkSFTPListOnlyShared},
		{id: "sftp/list-mode", rows: rows("5.11"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "The shared file is shown with the mode -rw-rw-rw-.",
			run:  checkSFTPListMode},
		{id: "sftp/list-owner", rows: rows("5.11"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "The shared file is shown with uid 0 and gid 0.",
			run:  checkSFTPListOwner},
		{id: "sftp/list-size", rows: rows("5.11"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "The shared file is shown with its size.",
			run:  checkSFTPListListedSize},
		{id: "sftp/stat-size", rows: rows("5.12"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "stat, lstat and fstat report the shared file's size: resuming clients rely on it.",
			run:  checkSFTPStatListedSize},
		{id: "sftp/list-time", rows: rows("5.11"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "The shared file is shown with its modification time.",
			run:  checkSFTPListTime},
		{id: "sftp/list-from-start", rows: rows("5.11"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "The shared file is there from the start, with size 0.",
			run:  checkSFTPListFromStart},
		{id: "sftp/longname", rows: rows("5.21"), evidence: EvidenceObserved, needs: needsSFTP,
			says: "The long name of a listing is a proper line of ls -l: several clients read size and mode only " +
				"from it.",
			run: checkSFTPLongname},
		{id: "sftp/unicode-name", rows: rows("5.5", "5.11"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "A shared file with spaces and letters of any script in its name can be listed, written and read.",
			run:  checkSFTPUnicodeName},
	}
}

func checkSFTPSession(c *checker) {
	key := raw.NewKey("ed25519")
	a := c.access(c.draft(), key)
	conn := c.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key), Who: "login"})
	if !conn.Login.OK {
		c.blocked("sftp/login-ed25519", "login: %s", conn.Login.Err)
	}
	if _, err := conn.StartSFTP(); err != nil {
		c.wrong("the subsystem sftp", "SFTP version 3", err.Error())
	}
}

func checkSFTPRoot(c *checker) {
	s, name := c.share()
	for _, p := range [][2]string{{".", "/"}, {name, "/" + name}} {
		if got, err := s.Realpath(p[0]); err != nil || got != p[1] {
			c.wrong("realpath "+p[0], p[1], fmt.Sprintf("%q %v", got, err))
		}
	}
	if a, err := s.Stat(raw.FxpStat, "/"); err != nil || !a.IsDir() {
		c.wrong("stat /", "a directory", fmt.Sprintf("%v %v", a, err))
	}
}

func checkSFTPListOnlyShared(c *checker) {
	s, name := c.filled(someDump(listedSize))
	for _, path := range []string{"/", "."} {
		s.only(path, name)
	}
}

func checkSFTPListMode(c *checker) {
	s, name := c.filled(someDump(listedSize))
	e := s.entry("/", name)
	a, err := s.Stat(raw.FxpStat, name)
	if err != nil {
		c.wrong("stat "+name, "its attributes", err.Error())
	}
	for what, a := range map[string]raw.Attrs{"ls /": e.Attrs, "stat " + name: a} {
		if !a.Has(raw.AttrMode) || a.Mode&0o7777 != 0o666 || a.Mode&0o170000 != 0o100000 {
			c.wrong(what, "the mode 0100666 of a regular file", a.String())
		}
	}
}

func checkSFTPListOwner(c *checker) {
	s, name := c.filled(someDump(listedSize))
	e := s.entry("/", name)
	a, err := s.Stat(raw.FxpStat, name)
	if err != nil {
		c.wrong("stat "+name, "its attributes", err.Error())
	}
	for what, a := range map[string]raw.Attrs{"ls /": e.Attrs, "stat " + name: a} {
		if !a.Has(raw.AttrOwner) || a.UID != 0 || a.GID != 0 {
			c.wrong(what, "uid 0 and gid 0", a.String())
		}
	}
}

func checkSFTPListListedSize(c *checker) {
	s, name := c.filled(someDump(listedSize))
	if e := s.entry("/", name); !e.Attrs.Has(raw.AttrSize) || e.Attrs.Size != listedSize {
		c.wrong("ls /", fmt.Sprintf("the size %d", listedSize), e.Attrs.String())
	}
}

func checkSFTPStatListedSize(c *checker) {
	s, name := c.filled(someDump(listedSize))
	check := func(what string, a raw.Attrs, err error) {
		if err != nil || !a.Has(raw.AttrSize) || a.Size != listedSize {
			c.wrong(what+" of a file of "+strconv.Itoa(listedSize)+" bytes", "its size", fmt.Sprintf("%v %v", a, err))
		}
	}
	for _, path := range []string{name, "/" + name, "./" + name} {
		a, err := s.Stat(raw.FxpStat, path)
		check("stat "+path, a, err)
	}
	a, err := s.Stat(raw.FxpLstat, name)
	check("lstat", a, err)
	h, err := s.Open(name, raw.FlagRead)
	if err != nil {
		c.wrong("open for reading", "a handle", err.Error())
	}
	a, err = s.Fstat(h)
	check("fstat", a, err)
}

func checkSFTPListTime(c *checker) {
	s, name := c.filled(someDump(listedSize))
	e := s.entry("/", name)
	if !e.Attrs.Has(raw.AttrTimes) || time.Unix(int64(e.Attrs.Mtime), 0).Year() < 2000 {
		c.wrong("ls /", "the time of the last write", e.Attrs.String())
	}
}

func checkSFTPListFromStart(c *checker) {
	req := c.create()
	s := c.sftp(req)
	list, err := s.List("/")
	if err != nil || len(list) == 0 {
		c.wrong("ls / of a new request", "the shared file", fmt.Sprintf("%d files %v", len(list), err))
	}
	if a, err := s.Stat(raw.FxpStat, req.filename()); err != nil || a.Size != 0 {
		c.wrong("stat of a new request's file", "size 0", fmt.Sprintf("%v %v", a, err))
	}
	if got, err := s.Get(req.filename(), 0); err != nil || len(got) != 0 {
		c.wrong("get of a new request's file", "an empty file", fmt.Sprintf("%d bytes %v", len(got), err))
	}
}

func checkSFTPLongname(c *checker) {
	s, name := c.filled(someDump(listedSize))
	e := s.entry("/", name)
	m := longParts(e.Long)
	if m == nil {
		c.wrong("ls /", "a long name like -rw-rw-rw-    1 0        0          849920 Aug 30 15:58 "+name,
			fmt.Sprintf("%q", e.Long))
	}
	want := map[string][2]string{"mode": {m[1], "-rw-rw-rw-"}, "size": {m[5], strconv.Itoa(listedSize)},
		"name": {m[9], name}}
	for what, v := range want {
		if v[0] != v[1] {
			c.wrong("ls /", "a long name with the "+what+" "+v[1], fmt.Sprintf("%q", e.Long))
		}
	}
	if (m[3] != "0" && m[3] != "root") || (m[4] != "0" && m[4] != "root") || strings.Index(months, m[6])%3 != 0 {
		c.wrong("ls /", "a long name with owner 0, group 0 and a month", fmt.Sprintf("%q", e.Long))
	}
}

func checkSFTPUnicodeName(c *checker) {
	req, key := c.create("filename", "база (1).dump"), raw.NewKey("ed25519")
	a := c.access(req, key)
	if v := a.reply.request()["shared_file"]; v != req.filename() {
		c.wrong(a.reply.What, "shared_file "+req.filename(), show(v))
	}
	s := c.session(a, key)
	data := someDump(1000)
	if err := s.Put(req.filename(), raw.OpenPut, raw.Blocks(data, 0)); err != nil {
		c.wrong("put "+req.filename(), "success", err.Error())
	}
	if list, err := s.List("/"); err != nil ||
		!slices.ContainsFunc(list, func(e raw.Entry) bool { return e.Name == req.filename() }) {
		c.wrong("ls /", "the file "+req.filename(), fmt.Sprintf("%v %v", list, err))
	}
	s.has(req.filename(), "put "+req.filename(), data)
}
