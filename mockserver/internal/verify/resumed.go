package verify

import (
	"fmt"
	"slices"

	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// resumed looks for a transfer that broke, and how the next one on the same file began.
func (j *judge) resumed() {
	const wanted = "the broken transfer is continued, not begun again"
	if j.overScript() {
		j.resumedRsync(wanted)
		return
	}
	broken := slices.IndexFunc(j.events, func(e journal.Event) bool {
		return e.On == "sftp.abort" && (len(e.Written) > 0 || len(e.Read) > 0)
	})
	if broken < 0 {
		j.resumedDownload(wanted)
		return
	}
	e := &j.events[broken]
	part := func(e *journal.Event) []journal.Range {
		if len(j.events[broken].Written) > 0 {
			return e.Written
		}
		return e.Read
	}
	// What was there without a hole, counting from where that transfer began.
	kept := part(e)[0].To
	for i := broken + 1; i < len(j.events); i++ {
		next := &j.events[i]
		if next.Request != e.Request || (next.On != "sftp.close" && next.On != "sftp.abort") || len(part(next)) == 0 {
			continue
		}
		from := part(next)[0].From
		switch {
		case from > kept && len(e.Written) > 0:
			j.add("resumed", wanted, false, fmt.Sprintf("%d bytes were there, and the next transfer began at "+
				"offset %d: a hole of %d bytes", kept, from, from-kept),
				"a good client asks for the size of the file and continues there", i)
		case from == 0 && kept > 0:
			j.add("resumed", wanted, false, fmt.Sprintf("%d bytes were there, and the next transfer began at "+
				"offset 0: everything was sent again", kept),
				"a good client asks for the size of the file and continues there (put -a, get -a)", i)
		default:
			j.add("resumed", wanted, true, fmt.Sprintf("%d bytes were there, and the next transfer began at "+
				"offset %d", kept, from), "", -1)
		}
		return
	}
	j.add("resumed", wanted, false, fmt.Sprintf("the transfer broke after %d bytes, and no other followed", kept),
		"a good client connects again and continues", broken)
}

func (j *judge) resumedDownload(wanted string) {
	for _, i := range j.byName[scenario.OnDownload] {
		if j.events[i].Status == 206 {
			j.add("resumed", wanted, true, describe(&j.events[i])+" asked for the rest only", "", -1)
			return
		}
	}
	j.add("resumed", wanted, false, "no transfer was continued",
		"a good client continues a broken transfer where it broke: by size over SFTP, with Range "+
			"over HTTP", len(j.events)-1)
}

// resumedRsync looks for a session of rsync that broke, and for what the next one of the same request had to send. What
// had arrived whole needs not be sent again; the file that was under way always is (row S5.13).
func (j *judge) resumedRsync(wanted string) {
	const hint = "a good client goes on with the request that it has, by its token: script.status, then another " +
		"script.transfer_start, and rsync in the same directory as before"
	broken := slices.IndexFunc(j.events, func(e journal.Event) bool { return e.Rsync != nil && e.Rsync.Exit != 0 })
	if broken < 0 {
		j.add("resumed", wanted, false, "no transfer broke", hint, len(j.events)-1)
		return
	}
	e := &j.events[broken]
	whole := fmt.Sprintf("%d files had arrived whole", e.Rsync.Count)
	if e.Rsync.Count == 1 {
		whole = "1 file had arrived whole"
	}
	for i := broken + 1; i < len(j.events); i++ {
		next := &j.events[i]
		if next.On != e.On || next.Request != e.Request || next.Rsync == nil {
			continue
		}
		r := next.Rsync
		saw := fmt.Sprintf("%s, and the next transfer skipped %d of %d, and saved %d bytes", whole, r.Skipped, r.Count,
			r.Saved)
		if e.Rsync.Count > 0 && r.Skipped == 0 && r.Saved == 0 {
			j.add("resumed", wanted, false, saw+": everything was sent again",
				"a good client leaves the files, and their times, as they are, so that rsync finds them unchanged", i)
			return
		}
		j.add("resumed", wanted, true, saw, "", -1)
		return
	}
	saw := fmt.Sprintf("%s when the transfer broke, and no other followed", whole)
	for i := broken + 1; i < len(j.events); i++ {
		if again := &j.events[i]; again.On == scenario.OnScriptCreate {
			j.add("resumed", wanted, false, saw+", but another request: "+describe(again), hint, i)
			return
		}
	}
	j.add("resumed", wanted, false, saw, hint, broken)
}
