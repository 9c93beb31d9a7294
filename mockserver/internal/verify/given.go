package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/likeness"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// givenParams are the parameters of create that a client is given, in the order of the documentation.
var givenParams = []string{"contract", "email", "target", "aim", "filename", "timezone"}

// createParams are those that the create of an event has.
func createParams(e *journal.Event) []string {
	if e.On == scenario.OnScriptCreate {
		return []string{"contract", "target", "aim"}
	}
	return givenParams
}

// params compares what create got with what the client was given.
func (j *judge) params() {
	const expect, wanted = "params", "create gets what the client was told"
	if j.Run == nil || len(j.Run.Params) == 0 {
		j.unjudged(expect, wanted)
		return
	}
	for i := range j.Creates {
		e := &j.Creates[i]
		var differ []string
		for _, name := range createParams(e) {
			want := j.Run.Params[name]
			got, given := e.Params[name]
			switch {
			case want == "" || j.asGiven(name, want, got):
			case name == "filename" && !given && e.On == scenario.OnUpgrade: // it is optional there
			case !given:
				differ = append(differ, fmt.Sprintf("no %s in place of %q", name, want))
			default:
				differ = append(differ, fmt.Sprintf("%s %q in place of %q", name, got, want))
			}
		}
		if differ != nil {
			j.decide(expect, wanted, false, fmt.Sprintf("%s got %s", describe(e), strings.Join(differ, ", ")),
				"a good client passes each value on as it was given", e)
			return
		}
	}
	saw := "create got what the client was told"
	if len(j.Creates) == 0 {
		saw = "no create"
	}
	j.decide(expect, wanted, true, saw, "", nil)
}

// packedExtensions are what the name of a file that was packed may have more.
var packedExtensions = []string{".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".tar", ".tgz", ".tar.gz"}

// asGiven reports whether a value is what the client was given. Blanks around it mean nothing, the journal may
// have cut it, and the name of a file may be that of the dump, or say that it was packed.
func (j *judge) asGiven(name, want, got string) bool {
	want, got = strings.TrimSpace(want), strings.TrimSpace(got)
	if cut, ok := strings.CutSuffix(got, "…"); ok && strings.HasPrefix(want, cut) && len(cut) > 100 {
		return true
	}
	if name == "target" && (got == want+".0" || "v"+got == want || "v"+got == want+".0") { // row S14.9
		return true
	}
	if name != "filename" || want == got {
		return want == got
	}
	names := []string{want}
	if j.Run.Dump != "" {
		names = append(names, filepath.Base(j.Run.Dump))
	}
	return slices.ContainsFunc(names, func(name string) bool {
		more, ok := strings.CutPrefix(got, name)
		return ok && (more == "" || slices.Contains(packedExtensions, more))
	})
}

// dump compares what is processed with the file that the client was told to send.
func (j *judge) dump() {
	const expect, wanted = "dump", "the file that the client was told to send, as it is or packed, when process " +
		"is called"
	hint := j.choose("a good client sends the bytes of the file as the body itself (curl --data-binary @FILE, or -T "+
		"FILE), in binary, and from its "+
		"beginning each time that it begins again",
		"a good client sends the file or the directory as it is, and calls script.process when rsync has ended well")
	if j.Run == nil || j.Run.Dump == "" {
		j.unjudged(expect, wanted)
		return
	}
	saw := "nothing was processed"
	for _, r := range j.Requests {
		if !r.Processed {
			continue
		}
		same, err := j.sent(&r)
		if err != nil {
			j.unjudged(expect, wanted)
			return
		}
		saw = same.Text
		if !same.Same {
			j.decide(expect, wanted, false, saw, hint, j.uploadOf(r.ID))
			return
		}
	}
	j.decide(expect, wanted, true, saw, "", nil)
}

// uploadOf is the last event in which the request's dump was sent; nil if it is not remembered.
func (j *judge) uploadOf(id int64) *journal.Event {
	for i := len(j.events) - 1; i >= 0; i-- {
		switch e := &j.events[i]; e.On {
		case scenario.OnUpload, scenario.OnUpgrade, scenario.OnSFTPPut, scenario.OnRsyncUpload:
			if e.Request == id {
				return e
			}
		}
	}
	return nil
}

// compared compares the local file with a file of the platform: the local one is what arrived if local is true,
// and what was wanted otherwise.
func compared(path string, open func() (*Content, error), local bool, name string) (likeness.Likeness, error) {
	f, err := os.Open(path)
	if err != nil {
		return likeness.Likeness{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return likeness.Likeness{}, err
	}
	content, err := open()
	if err != nil {
		return likeness.Likeness{}, err
	}
	defer content.Close()
	here := likeness.File{ReaderAt: f, Size: info.Size()}
	if local {
		return likeness.Compare(here, content.File, name)
	}
	return likeness.Compare(content.File, here, name)
}

// requests looks for calls that were made without a request to make them for.
func (j *judge) requests() {
	const expect = "requests"
	wanted := j.choose("each call names a request, and its key, as create answered them",
		"each call has a token that create answered")
	var refused *journal.Event
	for i := range j.Creates {
		if e := &j.Creates[i]; len(e.Failures) > 0 || e.Status >= 400 {
			refused = e
		}
	}
	if len(j.Strays) == 0 {
		j.decide(expect, wanted, true, "no call named another request", "", nil)
		return
	}
	e := &j.Strays[0]
	saw := fmt.Sprintf("%s with request %q", e.On, e.Params["request"])
	switch {
	case strings.HasPrefix(e.On, "script."):
		saw = fmt.Sprintf("%s with token %q", e.On, e.Params["token"])
	case e.Path != "" && e.On == scenario.OnDownload:
		saw = fmt.Sprintf("%s of %s", e.On, e.Path)
	case e.Params["request"] == "":
		saw = e.On + " without a request"
	}
	if e.Why != "" {
		saw += ": " + e.Why
	}
	hint := j.choose("a good client takes id and key from create's answer, and uses both as they are",
		"a good client takes the token from create's answer, and forgets one that the platform does not know")
	if refused != nil && refused.Seq < e.Seq {
		saw += "; before it, " + describe(refused)
		hint = "a good client stops when create is refused: there is no request to go on with"
	}
	j.decide(expect, wanted, false, fmt.Sprintf("%s (%d such calls)", saw, len(j.Strays)), hint, e)
}
