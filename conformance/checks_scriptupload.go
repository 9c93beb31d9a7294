package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
	"github.com/upgrademock/upgrademock/conformance/internal/rsync"
)

func scriptUploadChecks() []check {
	const up = needsWrites | needsRsync
	const processed = up | needsProcess
	checks := []check{
		{id: "script/upload-directory", rows: rows("S4.5", "S5.3", "S5.6", "S5.15", "S10.1"),
			evidence: EvidenceObserved, needs: up,
			gentle: true,
			says:   "rsync, called as V11 calls it, uploads the directory that pg_dump made to /data/origin.dump.",
			run:    func(c *checker) { checkScriptUploadOf(c, theDirectory) }},
	}
	for _, ext := range fileUpgrades {
		checks = append(checks, check{id: "script/upload-" + strings.ReplaceAll(ext[1:], ".", "-"),
			rows: rows("S5.7", "S10.1"), evidence: EvidenceObserved, needs: processed,
			says: "rsync uploads a file given by hand to /data/origin" + ext + ", whatever its own name is, and " +
				"process takes it.",
			run: func(c *checker) { checkScriptUploadOf(c, ext) }})
	}
	return append(checks,
		check{id: "script/upload-v8", rows: rows("S5.1", "S5.4", "S5.5", "S16.6", "S16.8"), evidence: EvidenceObserved,
			needs: processed,
			says:  "rsync, called as V1 to V8 call it, uploads a directory, and process takes it.",
			run:   func(c *checker) { checkScriptUploadAs(c, formV8) }},
		check{id: "script/upload-v10", rows: rows("S5.2", "S5.4", "S16.6"), evidence: EvidenceObserved, needs: processed,
			says: "… as V9 and V10 call it, with --delete-after.",
			run:  func(c *checker) { checkScriptUploadAs(c, formV10) }},
		check{id: "script/upload-v11", rows: rows("S5.3", "S5.4", "S16.6"), evidence: EvidenceObserved, needs: processed,
			says: "… as V11 calls it, without owner, group and modes.",
			run:  func(c *checker) { checkScriptUploadAs(c, formV11) }},
		check{id: "script/upload-protected", rows: rows("S5.18"), evidence: EvidenceObserved, needs: processed,
			says: "… and with -s, where the arguments come on the channel.",
			run:  func(c *checker) { checkScriptUploadAs(c, formProtected) }},
		check{id: "script/upload-origin", rows: rows("S5.8"), evidence: EvidenceObserved, needs: processed,
			says: "A directory given by hand to V1 to V7 goes to /data/origin, and process takes it.",
			run:  checkScriptUploadOrigin},
		check{id: "script/upload-port-path", rows: rows("S5.16"), evidence: EvidenceObserved, needs: processed,
			says: "Where the assigned host has a port, rsync asks for PORT:/data/…, and means /data/….",
			run:  checkScriptUploadPortPath},
		check{id: "script/upload-version", rows: rows("S5.15"), evidence: EvidenceObserved, needs: up, gentle: true,
			says: "The server speaks version 27 of rsync's protocol or a later one, with a client that speaks 27.",
			run:  checkScriptUploadVersion},
		check{id: "script/upload-again", rows: rows("S5.13"), evidence: EvidenceObserved, needs: up,
			says: "Of files that are there with the same size and time, none is asked for again.",
			run:  checkScriptUploadAgain},
		check{id: "script/upload-delta", rows: rows("S5.14"), evidence: EvidenceObserved, needs: up,
			says: "A file that is there with another time is taken as differences against it, and becomes the new one.",
			run:  checkScriptUploadDelta},
		check{id: "script/upload-break", rows: rows("S3.9", "S5.12", "S5.13"), evidence: EvidenceObserved,
			needs: processed,
			says:  "Behind an upload that broke off, another transfer takes what is missing, and process takes the dump.",
			run:   checkScriptUploadBreak},
		check{id: "script/upload-resume", rows: rows("S3.11", "S5.13"), evidence: EvidenceAssumed, needs: up,
			says: "Behind an upload that broke off, the files that arrived whole are kept, and the one in flight is " +
				"asked for again.",
			run: checkScriptUploadResume},
		check{id: "script/delete-after", rows: rows("S5.2"), evidence: EvidenceObserved, needs: up,
			says: "With --delete-after, what an earlier upload left and this one does not have is deleted; without, it " +
				"stays.",
			run: checkScriptDeleteAfter},
		check{id: "script/upload-options", rows: rows("S5.19"), evidence: EvidenceAssumed, needs: up,
			says: "The options -v, --stats and --log-format, which people add by hand, are let through.",
			run:  checkScriptUploadOptions},
		check{id: "script/upload-options-refused", rows: rows("S5.19"), evidence: EvidenceAssumed, needs: up,
			says: "Other options are refused, with a line that names them.",
			run:  checkScriptUploadOptionsRefused},
		check{id: "script/upload-inside", rows: rows("S4.2", "S4.8"), evidence: EvidenceAssumed, needs: up,
			says: "Names that lead out of /data are refused, on the command line and in the list of files.",
			run:  checkScriptUploadInside},
	)
}

func checkScriptUploadOf(c *checker, name string) {
	u := c.upgrade(name)
	st := c.guard(func() { u.uploaded(c) })
	switch {
	case st.verdict == blocked && st.by == u.by:
		c.wrong(fmt.Sprintf("rsync to /data/%s, as %s", u.dest, u.form.letters), "the files to be taken", st.message)
	case st.verdict != Pass:
		panic(st)
	}
	if u.up.Outcome.Status > 0 { // that one is sent at all is judged by script/exit-status
		c.wrong("rsync to /data/"+u.dest, "the exit status 0", u.up.String())
	}
	missing := len(u.up.Asked)
	for _, f := range u.files {
		if !f.Dir {
			missing--
		}
	}
	if missing != 0 {
		c.wrong("rsync of a dump to a new request", "every file asked for once", fmt.Sprint(u.up.Asked))
	}
	if name != theDirectory {
		if st := c.guard(func() { u.begun(c) }); st.verdict == blocked && st.by == "script/process-answer" {
			c.wrong("process behind rsync of "+u.files[0].Name+" to /data/"+u.dest, "success", st.message)
		} else if st.verdict != Pass {
			panic(st)
		}
	}
}

// place starts an upload of a job, and makes it. The connection is closed.
func (c *checker) place(t transfer, form uploadForm, path string, files []rsync.File, options ...string) sent {
	conn := c.openTransfer(t)
	defer conn.Drop()
	command, up := form.command(path, files, options...)
	return c.send(conn, command, up)
}

// mustPlace is place for an upload that has to go well.
func (c *checker) mustPlace(t transfer, form uploadForm, path string, files []rsync.File, options ...string) sent {
	out := c.place(t, form, path, files, options...)
	if !out.Whole || out.Outcome.Status > 0 {
		c.wrong(fmt.Sprintf("rsync %s to %s", form.letters, path), "the files to be taken, and the exit status 0",
			out.String())
	}
	return out
}

// placeAgain is mustPlace behind another upload to the same place. A server may take one run of rsync in a transfer:
// then it is made in another one, and the transfer says so.
func (c *checker) placeAgain(t *transfer, form uploadForm, path string, files []rsync.File) sent {
	conn := c.enterTransfer(*t, scriptUser, raw.WithKey(t.job.key), "the request's key")
	if conn.Login.OK {
		command, up := form.command(path, files)
		out := c.send(conn, command, up)
		conn.Drop()
		if out.Whole && out.Outcome.Status <= 0 {
			return out
		}
	}
	*t = c.start(t.job)
	t.another = true
	return c.mustPlace(*t, form, path, files)
}

// keptNothing ends the check if what is missing may be so because the transfer is another one than that in which it
// came: that files are kept so long is assumed.
func (c *checker) keptNothing(t transfer) {
	if t.another {
		c.skipf("the server takes one run of rsync in a transfer, and does not keep files until the next one")
	}
}

// taken ends the check unless process takes what was uploaded.
func (c *checker) taken(j job, behind string) {
	c.stop(j)
	if r := c.rpc("process", j.auth()); !r.fine() {
		c.wrong(behind+" and process", "success", r.Summary())
	}
}

func checkScriptUploadAs(c *checker, form uploadForm) {
	t := c.start(c.newJob())
	c.mustPlace(t, form, plainPath("origin.dump"), directoryDump())
	c.taken(t.job, "rsync "+form.letters+" of a directory")
}

func checkScriptUploadOrigin(c *checker) {
	t := c.start(c.newJob())
	c.mustPlace(t, formV8, plainPath("origin"), directoryDump())
	c.taken(t.job, "rsync of a directory to /data/origin")
}

func checkScriptUploadPortPath(c *checker) {
	j := c.newJob()
	path := j.path("origin.dump")
	if path == plainPath("origin.dump") {
		c.skipf("the assigned host has no port")
	}
	c.mustPlace(c.start(j), formV10, path, directoryDump())
	c.taken(j, "rsync of a directory to "+path)
}

func checkScriptUploadVersion(c *checker) {
	u := c.upgrade(theDirectory)
	st := c.guard(func() { u.uploaded(c) })
	if u.up.Version == 0 && st.verdict != Pass {
		panic(st)
	}
	if u.up.Version < 27 || u.up.Version > 99 {
		c.wrong("version 27 of rsync's protocol", "a version from 27 on", fmt.Sprint(u.up.Version))
	}
}

func checkScriptUploadAgain(c *checker) {
	t := c.start(c.newJob())
	c.mustPlace(t, formV11, plainPath("origin.dump"), directoryDump())
	if out := c.placeAgain(&t, formV11, plainPath("origin.dump"), directoryDump()); len(out.Asked) > 0 {
		c.keptNothing(t)
		c.wrong("rsync of the same files twice", "none asked for the second time", fmt.Sprint(out.Asked))
	}
}

func checkScriptUploadDelta(c *checker) {
	t := c.start(c.newJob())
	files := c.largeDirectory()
	c.mustPlace(t, formV11, plainPath("origin.dump"), files)
	last := len(files) - 1
	files[last].ModTime++
	changed := slices.Clone(files[last].Data)
	copy(changed[70_000:], "other bytes in the middle")
	files[last].Data = append(changed, "and more behind"...)
	out := c.placeAgain(&t, formV11, plainPath("origin.dump"), files)
	if fmt.Sprint(out.Asked) != "["+files[last].Name+"]" {
		c.keptNothing(t)
		c.wrong("rsync of files of which one has changed", "that one asked for", fmt.Sprint(out.Asked))
	}
	if out.Matched == 0 {
		c.wrong("rsync of a file that is there, with another time and size", "checksums of the one that is there",
			"none that fit it")
	}
	if out := c.placeAgain(&t, formV11, plainPath("origin.dump"), files); len(out.Asked) > 0 {
		c.keptNothing(t)
		c.wrong("rsync of the same files again", "none asked for", fmt.Sprint(out.Asked))
	}
}

// broken makes an upload of a directory that breaks off in the middle of a file, and returns the names of those that
// had gone whole.
func (c *checker) broken(t transfer, files []rsync.File) (whole []string, in string) {
	var names []string
	for _, f := range files {
		if !f.Dir {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	in = "9999.dat"
	conn := c.openTransfer(t)
	defer conn.Drop()
	command, up := formV11.command(plainPath("origin.dump"), files)
	up.Break, up.BreakAt = in, 60_000
	out := c.send(conn, command, up)
	if !out.Broke {
		c.blocked("script/upload-v11", "the upload that was to break off: %s", out)
	}
	return slices.DeleteFunc(out.Asked, func(n string) bool { return n == in }), in
}

func checkScriptUploadBreak(c *checker) {
	j := c.newJob()
	files := c.largeDirectory()
	c.broken(c.start(j), files)
	out := c.mustPlace(c.start(j), formV11, plainPath("origin.dump"), files)
	if !slices.Contains(out.Asked, "9999.dat") {
		c.wrong("rsync behind one that broke off in 9999.dat", "that file asked for", fmt.Sprint(out.Asked))
	}
	c.taken(j, "rsync that broke off, and another")
}

func checkScriptUploadResume(c *checker) {
	j := c.newJob()
	files := c.largeDirectory()
	whole, in := c.broken(c.start(j), files)
	if len(whole) == 0 {
		c.skipf("the server asked for the file in which the upload broke off before all others")
	}
	out := c.mustPlace(c.start(j), formV11, plainPath("origin.dump"), files)
	if !slices.Contains(out.Asked, in) || slices.ContainsFunc(out.Asked, func(name string) bool {
		return slices.Contains(whole, name)
	}) {
		c.wrong("rsync behind one that broke off in "+in+", with "+strings.Join(whole, ", ")+" sent before",
			"only what was missing asked for", fmt.Sprint(out.Asked))
	}
}

func checkScriptDeleteAfter(c *checker) {
	t := c.start(c.newJob())
	files := c.largeDirectory()
	without := files[:len(files)-1]
	extra := files[len(files)-1].Name
	place := func(form uploadForm, files []rsync.File) bool {
		return slices.Contains(c.placeAgain(&t, form, plainPath("origin.dump"), files).Asked, extra)
	}
	place(formV8, files)
	place(formV8, without)
	if place(formV8, files) {
		c.keptNothing(t)
		c.wrong("rsync without --delete-after of all files but one that is there", "that file to stay",
			"it was asked for again")
	}
	place(formV10, without)
	if !place(formV8, files) {
		c.wrong("rsync with --delete-after of all files but one that is there", "that file to be deleted", "it stayed")
	}
}

func checkScriptUploadOptions(c *checker) {
	t := c.start(c.newJob())
	verbose := formV11
	verbose.letters = "-vltre.iLsfxCIvu"
	for _, options := range [][]string{nil, {"--stats"}, {"--log-format=%i"}} {
		c.mustPlace(t, verbose, plainPath("origin.dump"), directoryDump(), options...)
	}
}

func checkScriptUploadOptionsRefused(c *checker) {
	t := c.start(c.newJob())
	for _, option := range []string{"--partial", "--inplace", "--append", "--bwlimit=100"} {
		out := c.place(t, formV11, plainPath("origin.dump"), directoryDump(), option)
		name, _, _ := strings.Cut(option, "=")
		if out.Whole || out.Outcome.Status == 0 || !strings.Contains(out.Output, strings.TrimLeft(name, "-")) {
			c.wrong("rsync with "+option, "a refusal with a line that names the option", out.String())
		}
	}
}

func checkScriptUploadInside(c *checker) {
	t := c.start(c.newJob())
	const out = "upgrademock-conformance.txt"
	for _, path := range []string{"/tmp/" + out, "/data/../" + out, "../" + out, "/"} {
		if r := c.place(t, formV11, path, oneFile("x", []byte("x"))); r.good() {
			c.wrong("rsync to "+path, "a refusal", r.String())
		}
	}
	for _, name := range []string{"../" + out, "/tmp/" + out, "sub/../../" + out} {
		files := []rsync.File{{Name: ".", Dir: true, ModTime: sentTime}, {Name: name, Data: []byte("x"),
			ModTime: sentTime}}
		if r := c.place(t, formV11, plainPath("origin.dump"), files); r.good() && len(r.Asked) > 0 {
			c.wrong("rsync of a file called "+name, "a refusal", r.String())
		}
	}
}
