package conformance

import (
	"archive/zip"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
	"github.com/upgrademock/upgrademock/conformance/internal/rsync"
)

func scriptDownloadChecks() []check {
	const whole = needsWrites | needsRsync | needsProcess | needsWait
	return []check{
		{id: "script/download", rows: rows("S3.7", "S5.10", "S5.11", "S10.2", "S10.5"), evidence: EvidenceObserved,
			needs: whole, gentle: true,
			says: "rsync, called as all copies call it for the dump, filestore, the report and the log, fetches the dump, " +
				"whichever of the others are absent.",
			run: checkScriptDownload},
		{id: "script/download-names", rows: rows("S10.2"), evidence: EvidenceObserved, needs: whole, gentle: true,
			says: "A download has nothing but what was asked for.",
			run:  checkScriptDownloadNames},
		{id: "script/download-all", rows: rows("S5.10", "S10.2"), evidence: EvidenceAssumed, needs: whole,
			says: "The report and the log come with the dump.",
			run:  checkScriptDownloadAll},
		{id: "script/download-runs", rows: rows("S5.17"), evidence: EvidenceObserved, needs: whole, gentle: true,
			says: "No run of literal data is longer than 32 KiB: several releases of rsync stop at one.",
			run:  checkScriptDownloadRuns},
		{id: "script/download-delta", rows: rows("S5.14"), evidence: EvidenceObserved, needs: whole,
			says: "A file of which the client has another is sent as differences against it, and becomes the one that is " +
				"there.",
			run: checkScriptDownloadDelta},
		{id: "script/download-again", rows: rows("S5.13"), evidence: EvidenceObserved, needs: whole,
			says: "In a second download the files have the times and sizes that they had in the first, so that rsync skips " +
				"those that it has.",
			run: checkScriptDownloadAgain},
		{id: "script/download-protected", rows: rows("S5.18"), evidence: EvidenceObserved, needs: whole,
			says: "With -s the arguments of a download come on the channel.",
			run:  checkScriptDownloadProtected},
		{id: "script/download-plain-path", rows: rows("S5.11", "S16.6"), evidence: EvidenceObserved, needs: whole,
			says: "Paths without the port before them, as V1 to V4 ask for them, are the same ones.",
			run:  checkScriptDownloadPlainPath},
		{id: "script/download-absent", rows: rows("S5.11"), evidence: EvidenceObserved, needs: whole,
			says: "Where none of the sources is there, the download is empty, and no error.",
			run:  checkScriptDownloadAbsent},
		{id: "script/dump-of-directory", rows: rows("S10.3"), evidence: EvidenceObserved, needs: whole,
			says: "Of a directory comes upgraded.dump, a directory with toc.dat.",
			run:  checkScriptDumpOfDirectory},
		{id: "script/dump-of-file", rows: rows("S10.4"), evidence: EvidenceObserved, needs: whole,
			says: "Of a file comes an archive, upgraded.zip or upgrade.zip, with dump.sql.",
			run:  checkScriptDumpOfFile},
		{id: "script/dump-of-file-name", rows: rows("S10.4"), evidence: EvidenceAssumed, needs: whole,
			says: "The archive's name is upgraded.zip.",
			run:  checkScriptDumpOfFileName},
		{id: "script/archive-filestore", rows: rows("S10.4", "S10.5"), evidence: EvidenceAssumed, needs: whole,
			says: "The filestore is in the archive, and not beside it.",
			run:  checkScriptArchiveFilestore},
		{id: "script/result-directory", rows: rows("S10.7"), evidence: EvidenceAssumed, needs: whole,
			says: "The upgraded directory has the files of the one that was sent, byte for byte.",
			run:  checkScriptResultDirectory},
		{id: "script/result-file", rows: rows("S10.4", "S10.7"), evidence: EvidenceAssumed, needs: whole,
			says: "dump.sql of the archive is the database that was sent, as SQL.",
			run:  checkScriptResultFile},
		{id: "script/download-inside", rows: rows("S4.2", "S4.8"), evidence: EvidenceAssumed, needs: whole,
			says: "A download of paths outside of /data is refused.",
			run:  checkScriptDownloadInside},
	}
}

func checkScriptDownload(c *checker) {
	u := c.upgrade(theDirectory)
	st := c.guard(func() { u.fetched(c) })
	switch {
	case st.verdict == blocked && st.by == "script/download":
		c.wrong("rsync of "+strings.Join(u.down.results(), ", "), "files", st.message)
	case st.verdict != Pass:
		panic(st)
	}
	if u.down.dumpName == "" {
		c.blocked("script/start-download", "transfer/start gave no dump_name")
	}
	r := u.result
	if r.Outcome.Status > 0 { // that one is sent at all is judged by script/exit-status
		c.wrong("rsync of "+strings.Join(u.down.results(), ", "), "the exit status 0", r.String())
	}
	e, there := r.entry(u.down.dumpName)
	switch {
	case !there:
		c.wrong("rsync of "+u.down.dumpName+", which transfer/start names", "the dump", names(r.List))
	case !e.IsDir() && !e.IsFile() || e.IsFile() && e.Size == 0:
		c.wrong("rsync of "+u.down.dumpName, "a file with something in it, or a directory",
			fmt.Sprintf("mode %o, %d bytes", e.Mode, e.Size))
	}
}

// names lists a few of a server's list.
func names(list []rsync.Entry) string {
	var out []string
	for _, e := range list[:min(len(list), 20)] {
		out = append(out, e.Name)
	}
	return fmt.Sprintf("a list of %d: %s", len(list), strings.Join(out, " "))
}

func checkScriptDownloadNames(c *checker) {
	u := c.upgrade(theDirectory)
	r := u.fetched(c)
	for i, e := range r.List {
		top, _, _ := strings.Cut(e.Name, "/")
		if !slices.Contains([]string{u.down.dumpName, "filestore", "upgrade-report.html", "upgrade.log"}, top) ||
			slices.Contains(strings.Split(e.Name, "/"), "..") {
			c.wrong("rsync of the dump, filestore, the report and the log", "nothing else", "also "+e.Name)
		}
		if i > 0 && r.List[i-1].Name == e.Name {
			c.wrong("rsync of the dump, filestore, the report and the log", "each file once", e.Name+" twice")
		}
	}
}

func checkScriptDownloadAll(c *checker) {
	r := c.upgrade(theDirectory).fetched(c)
	for _, name := range []string{"upgrade-report.html", "upgrade.log"} {
		if e, there := r.entry(name); !there || !e.IsFile() || e.Size == 0 {
			c.wrong("rsync of the dump, filestore, the report and the log", name, names(r.List))
		}
	}
}

func checkScriptDownloadRuns(c *checker) {
	r := c.upgrade(theDirectory).fetched(c)
	const most = 32 << 10
	if !slices.ContainsFunc(r.Files, func(f rsync.Content) bool { return f.Size > most }) {
		c.skipf("no file of the result is larger than a run may be")
	}
	if r.LongestRun > most {
		c.wrong("rsync of the result", fmt.Sprintf("runs of at most %d bytes", most),
			fmt.Sprintf("one of %d bytes", r.LongestRun))
	}
}

// again opens another download of an upgrade that is done, and fetches by f. The downloads of a request replace each
// other, so that they are made one by one.
func (u *upgrade) again(c *checker, f func(t transfer, conn *raw.Conn) got) got {
	u.fetched(c)
	var out got
	u.alone(c, func() {
		r := c.mustRPC("script/start-download", "transfer/start", startParams(u.its, "download"))
		t := readTransfer(r, u.its)
		conn := c.openTransfer(t)
		defer conn.Drop()
		out = f(t, conn)
	})
	return out
}

// largest is the file of a result that has the most bytes, of those that were kept.
func largest(r got) rsync.Content {
	var out rsync.Content
	for _, f := range r.Files {
		if len(f.Kept) > len(out.Kept) {
			out = f
		}
	}
	return out
}

func checkScriptDownloadDelta(c *checker) {
	u := c.upgrade(theDirectory)
	first := largest(u.fetched(c))
	if len(first.Kept) < 8<<10 {
		c.skipf("no file of the result is large enough")
	}
	other := slices.Clone([]byte(first.Kept))
	copy(other[len(other)/2:], "not what is there")
	r := u.again(c, func(t transfer, conn *raw.Conn) got {
		return c.receive(conn, downloadCommand(t.results()...),
			rsync.Download{Have: map[string][]byte{first.Name: other}})
	})
	f, _ := r.file(first.Name)
	if !r.Whole || f.SHA256 != first.SHA256 {
		c.wrong("rsync of "+first.Name+", of which the client has another", "the same file as before", r.String())
	}
	if f.Matched == 0 {
		c.wrong("rsync of "+first.Name+", of which the client has most", "only what is different",
			"all "+fmt.Sprint(f.Size)+" bytes of it")
	}
}

func checkScriptDownloadAgain(c *checker) {
	u := c.upgrade(theDirectory)
	r := u.again(c, func(t transfer, conn *raw.Conn) got {
		return c.receive(conn, downloadCommand(t.results()...), rsync.Download{Most: 1})
	})
	for _, e := range u.result.List {
		again, there := r.entry(e.Name)
		if e.IsFile() && (!there || again.Size != e.Size || again.ModTime != e.ModTime) {
			c.wrong("rsync of the result once more", fmt.Sprintf("%s of %d bytes and the time %d, as before", e.Name, e.Size,
				e.ModTime), fmt.Sprintf("%d bytes, %d", again.Size, again.ModTime))
		}
	}
}

// same ends the check unless a download has what the upgrade's own had.
func (c *checker) same(u *upgrade, r got, asked string) {
	if !r.Whole || r.Outcome.Status > 0 {
		c.wrong(asked, "files, and the exit status 0", r.String())
	}
	for _, f := range u.result.Files {
		if other, _ := r.file(f.Name); other.SHA256 != f.SHA256 {
			c.wrong(asked, "the same files as before", fmt.Sprintf("%s: %d bytes with SHA-256 %q instead of %d with %q",
				f.Name, other.Size, other.SHA256, f.Size, f.SHA256))
		}
	}
}

func checkScriptDownloadProtected(c *checker) {
	u := c.upgrade(theDirectory)
	r := u.again(c, func(t transfer, conn *raw.Conn) got {
		command, args := protectedDownload(t.results()...)
		return c.receive(conn, command, rsync.Download{Args: args})
	})
	c.same(u, r, "rsync with -s of the result")
}

func checkScriptDownloadPlainPath(c *checker) {
	u := c.upgrade(theDirectory)
	var asked string
	r := u.again(c, func(t transfer, conn *raw.Conn) got {
		t.job.host = t.job.hostName()
		asked = "rsync of " + strings.Join(t.results(), ", ")
		return c.receive(conn, downloadCommand(t.results()...), rsync.Download{})
	})
	c.same(u, r, asked)
}

func checkScriptDownloadAbsent(c *checker) {
	r := c.upgrade(theDirectory).again(c, func(t transfer, conn *raw.Conn) got {
		return c.receive(conn, downloadCommand(t.job.path("no-such-file"), t.job.path("nor-this-one")),
			rsync.Download{})
	})
	if !r.Whole || r.Outcome.Status > 0 || len(r.List) > 0 {
		c.wrong("rsync of two files that are not there, with --ignore-missing-args", "an empty list, and the exit status 0",
			r.String()+", "+names(r.List))
	}
}

func checkScriptDumpOfDirectory(c *checker) {
	u := c.upgrade(theDirectory)
	if u.dest != "origin.dump" || len(u.files) == 1 {
		c.skipf("the run's own dump is a file")
	}
	r := u.fetched(c)
	if u.down.dumpName == "" {
		c.blocked("script/start-download", "transfer/start gave no dump_name")
	}
	if u.down.dumpName != "upgraded.dump" {
		c.wrong("transfer/start for the download of a directory's upgrade", "dump_name upgraded.dump",
			show(u.down.dumpName))
	}
	if e, there := r.entry("upgraded.dump/toc.dat"); !there || !e.IsFile() || e.Size == 0 {
		c.wrong("rsync of upgraded.dump", "a directory with toc.dat", names(r.List))
	}
}

func checkScriptDumpOfFile(c *checker) {
	for _, name := range fileUpgrades {
		u := c.upgrade(name)
		r := u.fetched(c)
		if u.down.dumpName == "" {
			c.blocked("script/start-download", "transfer/start gave no dump_name")
		}
		if n := u.down.dumpName; n != "upgraded.zip" && n != "upgrade.zip" {
			c.wrong("transfer/start for the download of "+u.dest+"'s upgrade", "dump_name upgraded.zip or upgrade.zip",
				show(n))
		}
		c.inArchive(u, r, "dump.sql")
	}
}

// resultZip is the archive that an upgrade resulted in.
func (c *checker) resultZip(u *upgrade, r got) *zip.Reader {
	f, _ := r.file(u.down.dumpName)
	if f.Size > int64(len(f.Kept)) {
		c.skipf("%s is larger than %d bytes", u.down.dumpName, raw.KeptBody)
	}
	in, err := zip.NewReader(bytes.NewReader(f.Kept), int64(len(f.Kept)))
	if err != nil {
		c.wrong("rsync of "+u.down.dumpName, "a zip archive", fmt.Sprintf("%d bytes: %v", f.Size, err))
	}
	return in
}

// inArchive is a file of the archive that an upgrade resulted in.
func (c *checker) inArchive(u *upgrade, r got, name string) []byte {
	member, err := c.resultZip(u, r).Open(name)
	if err != nil {
		c.wrong("rsync of "+u.down.dumpName, "an archive with "+name, err.Error())
	}
	defer member.Close()
	data, err := io.ReadAll(io.LimitReader(member, raw.KeptBody))
	if err != nil || len(data) == 0 {
		c.wrong("rsync of "+u.down.dumpName, name+" with something in it", fmt.Sprintf("%d bytes, %v", len(data), err))
	}
	return data
}

func checkScriptDumpOfFileName(c *checker) {
	for _, name := range fileUpgrades {
		u := c.upgrade(name)
		if u.opened(c); u.down.dumpName != "upgraded.zip" {
			c.wrong("transfer/start for the download of "+u.dest+"'s upgrade", "dump_name upgraded.zip",
				show(u.down.dumpName))
		}
	}
}

func checkScriptArchiveFilestore(c *checker) {
	for _, name := range fileUpgrades {
		u := c.upgrade(name)
		r := u.fetched(c)
		if _, there := r.entry("filestore"); there {
			c.wrong("rsync of the upgrade of "+u.dest, "no filestore beside the archive", names(r.List))
		}
		if in := c.resultZip(u, r); !slices.ContainsFunc(in.File, func(f *zip.File) bool {
			return strings.HasPrefix(f.Name, "filestore/")
		}) {
			c.wrong("rsync of "+u.down.dumpName, "an archive with filestore/", fmt.Sprintf("%d other members", len(in.File)))
		}
	}
}

func checkScriptResultDirectory(c *checker) {
	u := c.upgrade(theDirectory)
	r := u.fetched(c)
	for _, f := range u.files {
		if f.Dir || u.dest != "origin.dump" || len(u.files) == 1 {
			continue
		}
		name := u.down.dumpName + "/" + f.Name
		if came, _ := r.file(name); came.SHA256 != raw.Sum(f.Data) {
			c.wrong("rsync of "+name, fmt.Sprintf("the %d bytes that were sent", len(f.Data)),
				cmp.Or(fmt.Sprintf("%d bytes", came.Size), "nothing"))
		}
	}
}

func checkScriptResultFile(c *checker) {
	for _, name := range fileUpgrades {
		u := c.upgrade(name)
		sql := c.inArchive(u, u.fetched(c), "dump.sql")
		if name == ".sql" && !bytes.Equal(sql, u.files[0].Data) {
			c.wrong("rsync of the upgrade of a plain dump", "dump.sql as it was sent", raw.Snippet(sql))
		}
		if !bytes.Contains(sql, []byte("CREATE TABLE")) {
			c.wrong("rsync of the upgrade of "+u.dest, "dump.sql with SQL that creates tables", raw.Snippet(sql))
		}
	}
}

func checkScriptDownloadInside(c *checker) {
	u := c.upgrade(theDirectory)
	for _, path := range []string{"/etc/passwd", "/data/../etc/passwd", "../etc/passwd", "/"} {
		r := u.again(c, func(t transfer, conn *raw.Conn) got {
			return c.receive(conn, downloadCommand(path), rsync.Download{Most: 1})
		})
		if r.good() && len(r.List) > 0 {
			c.wrong("rsync of "+path, "a refusal", names(r.List))
		}
	}
}
