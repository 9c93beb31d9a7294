package narrate

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8/decor"

	"github.com/upgrademock/upgrademock/internal/tty"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The colours, readable on dark and on light ground.
const (
	dim, bold = "2", "1"
	red       = "31"
	green     = "32"
	yellow    = "33"
	blue      = "94"
	cyan      = "36"
	struck    = "1;33" // a fault
)

// colourOf is the colour of a state.
func colourOf(state string) string {
	switch state {
	case "done", "delivered":
		return green
	case "processing", "progress", "testing", "running":
		return blue
	case "pending", "waiting", "queued":
		return yellow
	case "draft", "new":
		return ""
	case "failed", "invalid", "cancelled", "error":
		return red
	}
	return bold
}

// sessions remembers when transfers began, for their speed.
type sessions struct {
	virtual bool                 // the clock stands, and no speed can be told
	began   map[string]time.Time // by the session, and the file in it
}

// line describes an event; nil is one that is not shown, since the next ones say as much.
func (s *sessions) line(e *journal.Event, next *mockserver.Next) []tty.Part {
	var line []tty.Part
	protocol, kind, session := strings.Cut(e.On, ".")
	switch {
	case e.On == journal.OnState:
		return stateLine(e, next)
	case session && (protocol == "sftp" || protocol == "rsync"):
		line = s.sessionLine(e, protocol, kind)
	default:
		line = s.callLine(e)
	}
	if line == nil {
		return nil
	}
	if e.Fault != "" {
		return append(line, tty.Part{Colour: struck, Text: "  ⚡ " + faultName(e)})
	}
	if e.Why != "" {
		line = append(line, tty.Part{Colour: dim, Text: "  " + e.Why})
	}
	return line
}

func stateLine(e *journal.Event, next *mockserver.Next) []tty.Part {
	line := []tty.Part{{Text: "state "}, {Colour: dim, Text: e.From + " → "},
		{Colour: cmp.Or(colourOf(e.To), bold), Text: e.To}}
	var then string
	switch f := next.For; {
	case next.State == "":
		return line
	case f.Released:
		then = "held until it is released, then " + next.State
	case f.Polls > 0:
		then = fmt.Sprintf("next: %s after %s", next.State, f)
	case next.Due != nil:
		then = fmt.Sprintf("next: %s in %s, at %s", next.State, span(f.Duration), next.Due.UTC().Format(time.TimeOnly))
	}
	return append(line, tty.Part{Colour: dim, Text: "  " + then})
}

// callLine describes a call over HTTP, and a note about the data directory.
func (s *sessions) callLine(e *journal.Event) []tty.Part {
	switch e.On {
	case journal.OnUnknown:
		return []tty.Part{{Text: e.Method + " " + e.Path}, arrow, {Colour: red, Text: fmt.Sprint(e.Status)}}
	case journal.OnData:
		return []tty.Part{{Text: "data"}}
	}
	line := []tty.Part{{Text: e.On}}
	about := func(format string, args ...any) {
		line = append(line, tty.Part{Text: " " + fmt.Sprintf(format, args...)})
	}
	switch e.On {
	case scenario.OnScriptTransferStart:
		about("%s", e.Params["transfer_type"])
	case scenario.OnDownload:
		about("%s", path.Base(e.Path))
	}
	line = append(line, arrow)
	switch {
	case e.Status == 0:
		line = append(line, tty.Part{Colour: red, Text: "broken off"})
	case len(e.Failures) > 0:
		line = append(line, tty.Part{Colour: red, Text: strings.Join(e.Failures, ", ")})
	case e.Status >= 400:
		line = append(line, tty.Part{Colour: red, Text: fmt.Sprint(e.Status)})
	case e.On == scenario.OnUpload || e.On == scenario.OnUpgrade:
		line = append(line, tty.Part{Text: moved(e.Received, e.Duration)})
	case e.On == scenario.OnDownload:
		line = append(line, tty.Part{Text: moved(e.Sent, e.Duration)})
	case e.State != "":
		line = append(line, tty.Part{Colour: colourOf(e.State), Text: e.State})
	default:
		line = append(line, tty.Part{Text: fmt.Sprint(e.Status)})
	}
	switch e.On {
	case scenario.OnCreate, scenario.OnScriptCreate, scenario.OnUpgrade:
		about(" %s %s %s", e.Contract, e.Params["target"], e.Params["aim"])
		if len(e.Failures) == 0 && e.Fault == "" && e.Scenario != "" {
			line = append(line, tty.Part{Colour: dim, Text: "  scenario " + e.Scenario})
		}
	}
	return line
}

var arrow = tty.Part{Colour: dim, Text: " → "}

// sessionLine describes an event of a session of SFTP or rsync.
func (s *sessions) sessionLine(e *journal.Event, protocol, kind string) []tty.Part {
	line := []tty.Part{{Text: e.On}}
	session := fmt.Sprint(protocol, e.Session)
	file := fmt.Sprint(session, ".", e.Handle)
	result := func(colour, format string, args ...any) []tty.Part {
		return append(line, arrow, tty.Part{Colour: colour, Text: fmt.Sprintf(format, args...)})
	}
	switch kind {
	case "login":
		s.begin(session, e.At)
		if e.Fault != "" {
			return result(red, "refused")
		}
		return append(result(green, "%s", e.User), tty.Part{Colour: dim, Text: "  " + e.Client})
	case "open":
		s.begin(file, e.At)
	case "put", "get":
		line[0].Text += " " + path.Base(e.Path)
		n := sum(e.Written)
		if kind == "get" {
			n = sum(e.Read)
		}
		text := moved(n, s.since(file, e.At))
		if n != e.Size {
			text += ", of " + size(e.Size)
		}
		return result("", "%s", text)
	case "upload", "download":
		return s.rsyncLine(e, line, session)
	case "abort":
		line[0].Text += " " + path.Base(e.Path)
		return result(red, "broken off, %s there", size(e.Size))
	case "refused":
		return result(red, "%s", cmp.Or(e.User, "nobody"))
	case "denied":
		return result(red, "%s", strings.TrimSpace(e.Op+" "+e.Path))
	case "fault":
		return append(line, tty.Part{Text: " " + e.Op})
	case "close":
		if e.Why != "" {
			return result(red, "%s", path.Base(e.Path))
		}
	case "disconnect":
		delete(s.began, session)
		if e.Fault != "" || e.User == "" && e.Why != "" {
			return result(red, "gone")
		}
	}
	return nil
}

func (s *sessions) rsyncLine(e *journal.Event, line []tty.Part, session string) []tty.Part {
	n := max(e.Received, e.Sent)
	text := moved(n, s.since(session, e.At))
	if e.Rsync != nil {
		files := fmt.Sprintf(" %d files", e.Rsync.Count)
		if e.Rsync.Count == 1 {
			files = " 1 file"
		}
		line[0].Text += files
		if e.Rsync.Skipped > 0 {
			text += fmt.Sprintf(", %d there already", e.Rsync.Skipped)
		}
		if e.Rsync.Exit != 0 {
			end := fmt.Sprintf("exit %d", e.Rsync.Exit)
			if e.Rsync.Exit == journal.NoExit {
				end = "broken off"
			}
			return append(line, arrow, tty.Part{Colour: red, Text: end}, tty.Part{Text: ", " + text})
		}
	}
	return append(line, arrow, tty.Part{Text: text})
}

// maxSessions is how many transfers are remembered.
const maxSessions = 10_000

func (s *sessions) begin(what string, at time.Time) {
	if len(s.began) < maxSessions {
		s.began[what] = at
	}
}

// since is how long a transfer took, and forgets when it began; 0 is not known.
func (s *sessions) since(what string, at time.Time) time.Duration {
	began, ok := s.began[what]
	delete(s.began, what)
	if !ok || s.virtual {
		return 0
	}
	return at.Sub(began)
}

// faultName is the scenario that struck, and how, where the answer does not show it.
func faultName(e *journal.Event) string {
	place, does, _ := strings.Cut(e.Fault, ": ")
	name := cmp.Or(e.Scenario, "a scenario")
	if !strings.HasPrefix(place, "faults[") {
		name = place
	}
	if does = strings.TrimSpace(strings.TrimPrefix(does, e.On)); does != "" && does != "http" && does != "failure" {
		name += ": " + does
	}
	return name
}

// controlLine describes a call of the control API.
func controlLine(c *mockserver.ControlCall) []tty.Part {
	line := []tty.Part{{Colour: bold, Text: "control"}, {Text: " " + c.Method + " " + c.Path}}
	if c.Body != "" {
		line = append(line, tty.Part{Text: " " + c.Body})
	}
	if c.Problem != "" {
		line = append(line, arrow, tty.Part{Colour: red, Text: strings.TrimPrefix(c.Problem, "mockserver: ")})
	}
	return line
}

func sum(ranges []journal.Range) (n int64) {
	for _, r := range ranges {
		n += r.To - r.From
	}
	return n
}

// moved is how much, and how fast, if the time is known.
func moved(n int64, took time.Duration) string {
	if took <= 0 || n == 0 {
		return size(n)
	}
	return fmt.Sprintf("%s, %s/s", size(n), size(int64(float64(n)/took.Seconds())))
}

func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("% .1f", decor.SizeB1024(n))
}

// span is a time without parts that are zero: 8h, 1m30s.
func span(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
