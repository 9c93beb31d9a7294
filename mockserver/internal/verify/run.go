package verify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/likeness"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Run is what only the one who ran the client knows. An expectation about what is zero here is not judged, but
// for those about the client's end.
type Run struct {
	// Status is the exit status as a shell has it, and Signal the signal that ended the client; 0: it ended by
	// itself.
	Status int
	Signal syscall.Signal
	// Took is how long the client ran, and TimedOut whether it had to be ended for that.
	Took     time.Duration
	TimedOut bool
	// Printed is what the client printed, by the name of the stream, such as "standard output".
	Printed map[string]string
	// Out is the path of the file that the client was to write; over the script API also of a directory that is the
	// upgraded dump, or holds it under its name.
	Out string
	// Params are the parameters that it was to give to create, and Dump is the path of the file that it was to send, or
	// of the directory over the script API.
	Params map[string]string
	Dump   string
	// Database, if not nil, is what became of the database that it was to upgrade in place of Dump.
	Database *Database
}

// Database is what became of the database that a client was to upgrade.
type Database struct {
	Name    string // of the database to make of the upgraded dump
	Exists  bool   // it is there, and not empty
	Differs string // how it, or the database that was upgraded, differs from what it should be; "": not at all
	// OldFiles and NewFiles are the directories of their filestores.
	OldFiles, NewFiles string
}

// exit judges how the client ended. A client that was killed has not reported anything.
func (j *judge) exit(want string) {
	if want == "" {
		return
	}
	run := j.Run
	switch {
	case run == nil || want == scenario.ExitHonest && run.Out == "":
		j.unjudged("exit", want)
		return
	case run.TimedOut && j.script.Expect.GivesUp != "":
		return // it was not its own end
	case want == scenario.ExitHonest:
		j.honest()
		return
	}
	saw := fmt.Sprintf("exit status %d", run.Status)
	if run.Signal != 0 {
		saw = fmt.Sprintf("it was ended by signal %d (%v)", int(run.Signal), run.Signal)
	}
	good, hint := run.Status == 0, "a good client goes on through this, and ends with status 0"+
		j.choose("", ": it runs the upgrade script again as long as that has a token, and answers its question")
	if want == scenario.ExitFailure {
		good = run.Status != 0
		hint = "a good client tells by its exit status that there is no upgraded dump" + j.scriptsStatus()
	}
	j.add("exit", want, good && run.Signal == 0, saw, hint, -1)
}

// honest judges whether the exit status says what became of the upgrade.
func (j *judge) honest() {
	const wanted = "success if the upgraded dump is in the output file, and failure if it is not"
	run := j.Run
	_, err := os.Stat(run.Out)
	good, file := j.upgraded(errors.Is(err, fs.ErrNotExist))
	saw := fmt.Sprintf("exit status %d and %s", run.Status, file)
	if run.Signal != 0 {
		saw = fmt.Sprintf("it was ended by signal %d (%v)", int(run.Signal), run.Signal)
	}
	j.add("exit", wanted, run.Signal == 0 && good == (run.Status == 0), saw,
		"a good client tells by its exit status whether there is an upgraded dump"+j.scriptsStatus(), -1)
}

// scriptsStatus is what else there is to say about exit statuses (rows S13.1, S13.2).
func (j *judge) scriptsStatus() string {
	return j.choose("", ": that of the upgrade script is 0 also after a failure, so look for the upgraded dump, or "+
		"ask script.status")
}

// within judges whether the client ended in time.
func (j *judge) within(want time.Duration) {
	run := j.Run
	switch {
	case want == 0 && (run == nil || !run.TimedOut), run != nil && run.TimedOut && j.script.Expect.GivesUp != "":
		return
	case run == nil:
		j.unjudged("within", want.String())
		return
	}
	wanted, saw := want.String(), fmt.Sprintf("it ended after %s", round(run.Took))
	if run.TimedOut {
		saw = fmt.Sprintf("it was still running after %s, and was ended", cmp.Or(want, round(run.Took)))
	}
	if want == 0 {
		wanted = "an end"
	}
	hint := "a good client sets a limit to every wait for an answer, and gives up what cannot succeed"
	if j.script.Run.Stdin == scenario.StdinSilent {
		hint = "a good client answers the upgrade script's questions by itself (echo y |), and leaves it no standard input " +
			"of its own"
	}
	j.add("within", wanted, !run.TimedOut && run.Took <= want, saw, hint, len(j.events)-1)
}

// out looks at the file that the client was to write.
func (j *judge) out(want string) {
	if want == "" {
		return
	}
	if j.Run == nil || j.Run.Out == "" {
		j.unjudged("out", want)
		return
	}
	if db := j.Run.Database; db != nil && want == scenario.OutAbsent && (db.Exists || db.Differs != "") {
		_, saw := db.upgraded()
		j.add("out", want, false, saw, "a good client makes no database when there is nothing to restore, and leaves the "+
			"old one alone", -1)
		return
	}
	info, err := os.Stat(j.Run.Out)
	gone := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !gone:
		j.add("out", want, false, err.Error(), "a good client writes the upgraded dump to a file that can be read", -1)
	case want == scenario.OutAbsent && gone:
		j.add("out", want, true, "no file", "", -1)
	case want == scenario.OutAbsent:
		saw := fmt.Sprintf("a file of %d bytes%s", info.Size(), looksLike(j.Run.Out))
		good := false
		if info.IsDir() {
			good, saw = noDumpIn(j.Run.Out)
		}
		j.add("out", want, good, saw,
			"a good client leaves no file where others look for an upgraded dump when there is none", -1)
	default:
		good, saw := j.upgraded(gone)
		if j.Run.Database != nil {
			j.add("out", want, good, saw, "a good client restores what came back as UPGRADEMOCK_NEW_DATABASE (-r), and "+
				"leaves the old database alone", -1)
			return
		}
		j.add("out", want, good, saw, "a good client "+j.choose("downloads upgraded_dump_url, or the file over SFTP, makes "+
			"sure that it is whole, and writes it to ", "fetches the file or directory that script.transfer_start calls "+
			"dump_name, makes sure that rsync has ended well, and puts it to ")+"UPGRADEMOCK_OUT", -1)
	}
}

// upgraded compares the client's file with the upgraded dump.
func (j *judge) upgraded(gone bool) (good bool, saw string) {
	if db := j.Run.Database; db != nil && (db.Exists || db.Differs != "" || j.script.Run.Database) {
		return db.upgraded()
	}
	if gone {
		return false, "no file"
	}
	if len(j.Requests) == 0 {
		return false, "a file, though there is no request"
	}
	const name = "the upgraded dump"
	r := j.Requests[len(j.Requests)-1]
	if r.Results != nil {
		return fetched(j.Run.Out, &r, name)
	}
	archive, err := compared(j.Run.Out, r.Upgraded, true, name)
	if err != nil {
		return false, "a file, though there is no upgraded dump"
	}
	if archive.Exact() {
		return true, name
	}
	if sql, err := compared(j.Run.Out, r.UpgradedSQL, true, name); err == nil && sql.Exact() {
		return true, name + " as SQL"
	}
	return false, archive.Text
}

// noDumpIn reports whether a directory for what comes back has nothing in it that could be taken for the dump.
func noDumpIn(dir string) (good bool, saw string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err.Error()
	}
	for _, e := range entries {
		switch e.Name() {
		case "filestore", "upgrade-report.html", "upgrade.log": // row S10.2
		default:
			return false, "a directory with " + e.Name() + " in it"
		}
	}
	return true, "a directory without a dump"
}

// looksLike names a file that is an answer of the platform and not a dump.
func looksLike(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	if kind := likeness.Kind(likeness.File{ReaderAt: f, Size: info.Size()}); kind != "" {
		return ", " + kind
	}
	return ""
}

// shows looks for texts in what the client printed.
func (j *judge) shows(want scenario.Texts) {
	for _, text := range want {
		j.show(text)
	}
}

func (j *judge) show(want scenario.Text) {
	if j.Run == nil || j.Run.Printed == nil {
		j.unjudged("shows", want.String())
		return
	}
	text := want.Literal
	if want.Key != "" {
		if len(j.Requests) == 0 {
			j.add("shows", want.String(), false, "there is no request", "a good client creates one", -1)
			return
		}
		value := j.Requests[len(j.Requests)-1].Status[want.Key]
		if value == nil {
			j.add("shows", want.String(), false, "the request has no "+want.Key, "a good client gets as far as that", -1)
			return
		}
		text = fmt.Sprint(value)
	}
	var sizes []string
	for _, stream := range slices.Sorted(maps.Keys(j.Run.Printed)) {
		if contains(j.Run.Printed[stream], text) {
			j.add("shows", want.String(), true, "it was printed", "", -1)
			return
		}
		sizes = append(sizes, fmt.Sprintf("%d bytes of %s", len(j.Run.Printed[stream]), stream))
	}
	j.add("shows", want.String(), false, fmt.Sprintf("%q is nowhere in %s", text, strings.Join(sizes, " and ")),
		fmt.Sprintf("a good client passes %q on to its user", text), -1)
}

// contains also finds the text broken into lines, or escaped as in JSON.
func contains(printed, text string) bool {
	oneLine := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if strings.Contains(oneLine(printed), oneLine(text)) {
		return true
	}
	escaped, err := json.Marshal(text)
	return err == nil && strings.Contains(oneLine(printed), strings.Trim(string(escaped), `"`))
}

// hides looks for the requests' keys or tokens in what the client printed, as they are, without their padding, and
// URL-encoded, and in the headers of its calls.
func (j *judge) hides() {
	const expect, wanted = "hides", scenario.HidesKey
	secret := j.choose("key", "token")
	for i := range j.events {
		if e := &j.events[i]; e.KeyIn != "" {
			j.add(expect, wanted, false, fmt.Sprintf("the %s of request %d is in the header %s of %s", secret, e.Request,
				e.KeyIn, describe(e)),
				"a good client sends the "+secret+" as a parameter only: headers are written to the logs of every "+
					"server on the way", i)
			return
		}
	}
	if j.Run == nil || j.Run.Printed == nil {
		j.unjudged(expect, wanted)
		return
	}
	for _, r := range j.Requests {
		key := strings.TrimRight(r.Key, "=")
		for name, printed := range j.Run.Printed {
			if line := lineWith(printed, key); line > 0 {
				j.add(expect, wanted, false, fmt.Sprintf("the %s of request %d is in line %d of %s", secret, r.ID, line,
					name),
					"a good client keeps the "+secret+", and the URLs that hold it, out of what it prints: whoever has "+
						"it can fetch the database", -1)
				return
			}
		}
	}
	j.add(expect, wanted, true, "it was not printed", "", -1)
}

// lineWith is the number of the first line with the text, 0 if there is none.
func lineWith(printed, text string) int {
	for i, line := range strings.Split(printed, "\n") {
		if strings.Contains(line, text) || strings.Contains(unescaped(line), text) {
			return i + 1
		}
	}
	return 0
}

// unescaped is the line with its %XX replaced, as far as they are well-formed.
func unescaped(line string) string {
	parts := strings.Split(line, "%")
	for i, part := range parts[1:] {
		if len(part) >= 2 {
			if char, err := url.PathUnescape("%" + part[:2]); err == nil {
				parts[i+1] = char + part[2:]
				continue
			}
		}
		parts[i+1] = "%" + part
	}
	return strings.Join(parts, "")
}
