package conformance

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// upgradedName is the name of the upgraded file over SFTP.
func upgradedName(filename string, filestore bool) string {
	if !filestore {
		return "upgraded_" + filename
	}
	extensions := []string{".dump", ".cdump", ".sql", ".tar", ".zip", ".gz", ".bz2", ".xz"}
	stem := filename
	for {
		ext := path.Ext(stem)
		if ext == stem || !slices.Contains(extensions, strings.ToLower(ext)) {
			return "upgraded_" + stem + ".zip"
		}
		stem = strings.TrimSuffix(stem, ext)
	}
}

// doneCall is the one call of request_sftp_access for a finished lifecycle: another would replace the keys under
// the checks that run beside this one.
func (j *lifecycle) doneCall(c *checker) raw.Call {
	req := j.doneOrStop(c)
	j.once(c, "access", func() {
		j.doneKey = raw.NewKey("ed25519")
		j.doneAnswer, j.doneErr = j.checker.try(j.checker.composeAccess(req.auth(), raw.KeyLine(j.doneKey)+"\n"))
	})
	return c.composeAccess(req.auth(), "")
}

// upgradedShare is a session on the share of a request that is done, and the upgraded file's name.
func (c *checker) upgradedShare() (*session, *lifecycle, string) {
	j := c.lifecycle("main")
	j.doneCall(c)
	if j.doneErr != nil {
		c.blocked("sftp/done-access", "request_sftp_access in done: %v", j.doneErr)
	}
	acc, ok := c.readAccess(readReply(j.doneAnswer), j.req)
	if !ok {
		c.blocked("sftp/done-access", "request_sftp_access in done answered %s", j.doneAnswer.Summary())
	}
	return c.session(acc, j.doneKey), j, upgradedName(j.req.filename(), j.field("filestore") == true)
}

// upgradedFile is upgradedShare with the name that the listing has: whether it is the right one is judged by a check
// of its own.
func (c *checker) upgradedFile() (*session, *lifecycle, string) {
	s, j, name := c.upgradedShare()
	if list, err := s.List("/"); err == nil && len(list) > 0 {
		i := slices.IndexFunc(list, func(e raw.Entry) bool { return e.Name != j.req.filename() })
		name = list[max(i, 0)].Name
	}
	return s, j, name
}

func doneChecks() []check {
	const needs = needsSFTP | needsWrites | needsProcess | needsWait
	return []check{
		{id: "sftp/done-access", rows: rows("5.3"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "request_sftp_access is allowed in done, and its keys open the share.",
			run:  checkSFTPDoneAccess},
		{id: "sftp/done-one-file", rows: rows("5.15"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "In done / shows only one file, and it isn't the uploaded one.",
			run:  checkSFTPDoneOneFile},
		{id: "sftp/done-name", rows: rows("5.15"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "The upgraded file is called upgraded_<filename>; with a filestore, upgraded_<name without dump " +
				"extensions>.zip.",
			run: checkSFTPDoneName},
		{id: "sftp/done-get", rows: rows("5.16"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "get of the upgraded file gives a file of the size that is listed.",
			run:  checkSFTPDoneGet},
		{id: "sftp/done-get-resume", rows: rows("5.16"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "get -a goes on in the middle of the upgraded file.",
			run:  checkSFTPDoneGetResume},
		{id: "sftp/done-read-only", rows: rows("5.16"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "Nothing can be written in done: neither the upgraded file nor the uploaded one.",
			run:  checkSFTPDoneReadOnly},
		{id: "sftp/done-no-change", rows: rows("5.13", "5.16"), evidence: EvidenceDocumented, needs: needs,
			gentle: true,
			says:   "In done nothing can be made, removed or renamed, and the session goes on.",
			run:    checkSFTPDoneNoChange},
		{id: "sftp/done-longname", rows: rows("5.21", "5.15"), evidence: EvidenceObserved, needs: needs, gentle: true,
			says: "In done, too, the long name is a proper line of ls -l with the size.",
			run:  checkSFTPDoneLongname},
		{id: "sftp/done-old-keys", rows: rows("5.7", "5.18"), evidence: EvidenceAssumed, needs: needs,
			says: "In done only the keys of the last call open the share.",
			run:  checkSFTPDoneOldKeys},
	}
}

func checkSFTPDoneAccess(c *checker) {
	j := c.lifecycle("main")
	call := j.doneCall(c)
	if j.doneErr != nil {
		c.wrong(call.What, "an answer", j.doneErr.Error())
	}
	c.opensWith(j.req, call.What, readReply(j.doneAnswer), j.doneKey)
}

func checkSFTPDoneOneFile(c *checker) {
	s, j, _ := c.upgradedShare()
	list, err := s.List("/")
	if err != nil {
		c.wrong("ls / in done", "a listing", err.Error())
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	if len(names) != 1 || names[0] == j.req.filename() {
		c.wrong("ls / in done", "only the upgraded file", fmt.Sprintf("%q", names))
	}
	if got, err := s.Get(j.req.filename(), 0); err == nil {
		c.wrong("get "+j.req.filename()+" in done", "it not to be there", fmt.Sprintf("%d bytes", len(got)))
	}
}

func checkSFTPDoneName(c *checker) {
	s, j, want := c.upgradedShare()
	list, err := s.List("/")
	if err != nil || !slices.ContainsFunc(list, func(e raw.Entry) bool { return e.Name == want }) {
		var names []string
		for _, e := range list {
			names = append(names, e.Name)
		}
		c.wrong(fmt.Sprintf("ls / in done, filestore %v", j.field("filestore")), want,
			fmt.Sprintf("%q %v", names, err))
	}
}

func checkSFTPDoneGet(c *checker) {
	s, j, name := c.upgradedFile()
	a, err := s.Stat(raw.FxpStat, name)
	c.wrote("stat "+name, err)
	got, err := s.Get(name, 0)
	c.wrote("get "+name, err)
	if !a.Has(raw.AttrSize) || uint64(len(got)) != a.Size && len(got) <= raw.KeptBody || len(got) == 0 {
		c.wrong("stat and get "+name, "a file with content, of the size stated",
			fmt.Sprintf("%v, and %d bytes", a, len(got)))
	}
	c.notCut("get "+name, got, j.dump)
}

func checkSFTPDoneGetResume(c *checker) {
	s, _, name := c.upgradedFile()
	whole, err := s.Get(name, 0)
	if err != nil || len(whole) < 2 {
		c.blocked("sftp/done-get", "get: %d bytes, %v", len(whole), err)
	}
	for _, from := range []int{1, len(whole) / 2, len(whole)} {
		rest, err := s.Get(name, int64(from))
		c.wrote(fmt.Sprintf("get -a from %d", from), err)
		s.same(fmt.Sprintf("get -a from %d", from), rest, whole[from:])
	}
}

func checkSFTPDoneReadOnly(c *checker) {
	s, j, name := c.upgradedFile()
	whole, err := s.Get(name, 0)
	if err != nil {
		c.blocked("sftp/done-get", "get: %v", err)
	}
	for _, path := range []string{name, j.req.filename()} {
		for _, flags := range []uint32{raw.OpenPut, raw.FlagWrite, raw.OpenResume, raw.FlagRead | raw.FlagWrite} {
			err := s.Put(path, flags, []raw.Block{{Data: []byte("intruder")}})
			if err == nil {
				c.wrong("put to "+path+" in done, opened"+raw.FlagNames(flags), "permission denied", "success")
			}
			if !raw.IsStatus(err) {
				c.wrong("put to "+path+" in done, opened"+raw.FlagNames(flags),
					"permission denied, and the session to go on", err.Error())
			}
		}
	}
	for what, err := range map[string]error{
		"rm " + name:     s.Do("remove", raw.FxpRemove, raw.Packet(nil).Str(name)),
		"rename " + name: s.Do("rename", raw.FxpRename, raw.Packet(nil).Str(name).Str("other")),
		"truncate": s.Do("setstat", raw.FxpSetstat,
			raw.Packet(nil).Str(name).Attrs(raw.Attrs{Flags: raw.AttrSize, Size: 1})),
	} {
		if err != nil && !raw.IsStatus(err) {
			c.wrong(what+" in done", "a status, and the session to go on", err.Error())
		}
	}
	s.has(name, "attempts to write in done", whole)
}

func checkSFTPDoneNoChange(c *checker) {
	s, _, name := c.upgradedFile()
	before := s.names()
	for _, op := range []struct {
		what string
		do   func() error
	}{
		{"put other.dump", func() error { return s.Put("other.dump", raw.OpenPut, raw.Blocks([]byte("x"), 0)) }},
		{"mkdir sub", func() error {
			return s.Do("mkdir", raw.FxpMkdir,
				raw.Packet(nil).Str("/sub").Attrs(raw.Attrs{}))
		}},
		{"rename " + name, func() error {
			return s.Do("rename",
				raw.FxpRename, raw.Packet(nil).Str(name).Str("other.dump"))
		}},
		{"rm " + name, func() error { return s.Do("remove", raw.FxpRemove, raw.Packet(nil).Str(name)) }},
	} {
		switch err := op.do(); {
		case err == nil:
			c.wrong(op.what+" in done", "it to be denied", "success")
		case !raw.IsStatus(err):
			c.wrong(op.what+" in done", "a status, and the session to go on", err.Error())
		}
	}
	if after := s.names(); !slices.Equal(before, after) {
		c.wrong("put, mkdir, rename and rm in done", fmt.Sprintf("the listing as before, %q", before),
			fmt.Sprintf("%q", after))
	}
}

func checkSFTPDoneLongname(c *checker) {
	s, _, _ := c.upgradedShare()
	list, err := s.List("/")
	if err != nil || len(list) == 0 {
		c.blocked("sftp/done-one-file", "ls /: %v", err)
	}
	e := list[0]
	m := longParts(e.Long)
	if m == nil || m[5] != fmt.Sprint(e.Attrs.Size) || m[9] != e.Name || !strings.HasPrefix(m[1], "-r") {
		c.wrong("ls / in done", "a long name like -r--r--r--    1 0        0          849920 Aug 30 15:58 "+e.Name,
			fmt.Sprintf("%q", e.Long))
	}
}

func checkSFTPDoneOldKeys(c *checker) {
	j := c.lifecycle("gzip")
	req := j.doneOrStop(c)
	first, second := raw.NewKey("ed25519"), raw.NewKey("ed25519")
	c.accessBy("sftp/done-access", req, first)
	a := c.accessBy("sftp/done-access", req, second)
	c.entrance(a, a.user, ssh.Signer(second), "a key of the second call", true)
	c.entrance(a, a.user, first, "a key of the first call", false)
}
