package certify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// judge makes the result of the server's verdicts, which it completes by what only we know.
func (r *run) judge(verdicts []mockserver.Verdict) {
	for _, v := range verdicts {
		if v.Verdict == mockserver.Unjudged {
			v = r.complete(v)
		}
		if v.Verdict == mockserver.Fail {
			r.result.Failed = append(r.result.Failed, Failure{Expect: v.Expect, Wanted: v.Wanted, Saw: v.Saw, Hint: v.Hint, nearest: v.Nearest})
		}
	}
	if r.late && r.script.Expect.Within == 0 {
		r.result.Failed = append(r.result.Failed, Failure{
			Expect: "within", Wanted: "an end", Saw: fmt.Sprintf("it was still running after %v, and was ended", Limit), Hint: "a good client ends",
		})
	}
	r.result.Verdict = Pass
	if len(r.result.Failed) > 0 {
		r.result.Verdict = Fail
	}
}

// complete judges what the server cannot.
func (r *run) complete(v mockserver.Verdict) mockserver.Verdict {
	expect := r.script.Expect
	good, saw, hint := false, "", ""
	switch v.Expect {
	case "exit":
		return Exit(v, expect.Exit, r.ended)
	case "within":
		good, saw = !r.late, fmt.Sprintf("it ended after %s", took(r.ended.Took))
		if r.late {
			saw = fmt.Sprintf("it was still running after %v, and was ended", expect.Within)
		}
		hint = "a good client sets a limit to every wait for an answer, and gives up what cannot succeed"
	case "out":
		good, saw, hint = r.judgeOut(expect.Out)
	case "shows":
		good, saw, hint = r.judgeShows(expect.Shows)
	case "hides":
		good, saw, hint = r.judgeHides()
	default:
		return v
	}
	return decided(v, good, saw, hint)
}

func decided(v mockserver.Verdict, good bool, saw, hint string) mockserver.Verdict {
	v.Verdict, v.Saw = mockserver.Pass, saw
	if !good {
		v.Verdict, v.Hint = mockserver.Fail, hint
	}
	return v
}

// Exit judges an exit status by `expect: {exit: …}`.
func Exit(v mockserver.Verdict, want string, ended child.Result) mockserver.Verdict {
	saw := fmt.Sprintf("exit status %d", ended.Status)
	if ended.Signal != 0 {
		saw = fmt.Sprintf("it was ended by signal %d (%v)", int(ended.Signal), ended.Signal)
	}
	if want == scenario.ExitSuccess {
		return decided(v, ended.Status == 0, saw, "a good client goes on through this, and ends with status 0")
	}
	// A client that was killed did not tell anybody anything.
	return decided(v, ended.Status != 0 && ended.Signal == 0, saw, "a good client tells by its exit status that there is no upgraded dump")
}

// judgeOut looks at the file that the client was to write.
func (r *run) judgeOut(want string) (good bool, saw, hint string) {
	got, err := os.ReadFile(r.out)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return false, err.Error(), "a good client writes the upgraded dump to a file that can be read"
	}
	if want == scenario.OutAbsent {
		return gone, fmt.Sprintf("a file of %d bytes", len(got)), "a good client leaves no file where others look for an upgraded dump when there is none"
	}
	const get = "a good client downloads upgraded_dump_url, or the file over SFTP, makes sure that it is whole, and writes it to UPGRADEMOCK_OUT"
	if gone {
		return false, "no file", get
	}
	var why string
	for _, key := range []string{"upgraded_dump_url", "upgraded_sql_url"} {
		upgraded, err := r.fetch(key)
		if err != nil {
			why = fmt.Sprintf("a file of %d bytes, though %v", len(got), err)
			continue
		}
		if bytes.Equal(got, upgraded) {
			return true, "the upgraded dump", ""
		}
		if why == "" {
			why = difference(got, upgraded)
		}
	}
	return false, why, get
}

func difference(got, want []byte) string {
	switch same := commonPrefix(got, want); {
	case len(got) == 0:
		return "an empty file"
	case same == len(got):
		return fmt.Sprintf("only the first %d of %d bytes", len(got), len(want))
	case same == len(want):
		return fmt.Sprintf("the upgraded dump, and %d bytes too many", len(got)-len(want))
	default:
		return fmt.Sprintf("%d bytes that differ from the upgraded dump's %d from offset %d on", len(got), len(want), same)
	}
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// fetch gets what a URL of the client's request hands out. A fault of the scenario that the client never met may strike us.
func (r *run) fetch(key string) ([]byte, error) {
	requests := r.stage.Server.Requests()
	if len(requests) == 0 {
		return nil, errors.New("there is no request")
	}
	address, _ := requests[len(requests)-1].Status[key].(string)
	var last error
	for range 5 {
		data, err := get(address)
		if err == nil {
			return data, nil
		}
		last = err
	}
	return nil, last
}

func get(address string) ([]byte, error) {
	// Not the environment's proxy, nor a connection that lingers.
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Get(address)
	if err != nil {
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) { // its text has the key
			err = wrapped.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("the emulator has no upgraded dump")
	}
	return io.ReadAll(resp.Body)
}

// judgeShows looks for a text in what the client printed.
func (r *run) judgeShows(want scenario.Text) (good bool, saw, hint string) {
	text := want.Literal
	if want.Key != "" {
		requests := r.stage.Server.Requests()
		if len(requests) == 0 {
			return false, "there is no request", "a good client creates one"
		}
		text = fmt.Sprint(requests[len(requests)-1].Status[want.Key])
	}
	hint = fmt.Sprintf("a good client passes %q on to its user", text)
	for _, printed := range []string{r.stdout, r.stderr} {
		if contains(printed, text) {
			return true, "it was printed", ""
		}
	}
	return false, fmt.Sprintf("%q is nowhere in %d bytes of standard output and %d of standard error", text, len(r.stdout), len(r.stderr)), hint
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

// judgeHides looks for the requests' keys in what the client printed, as they are, without their padding, and URL-encoded.
func (r *run) judgeHides() (good bool, saw, hint string) {
	for _, request := range r.stage.Server.Requests() {
		key := strings.TrimRight(request.Key, "=")
		for name, printed := range map[string]string{"standard output": r.stdout, "standard error": r.stderr} {
			if line := lineWith(printed, key); line > 0 {
				return false, fmt.Sprintf("the key of request %d is in line %d of %s", request.ID, line, name),
					"a good client keeps the key, and the URLs that hold it, out of what it prints: whoever has it can fetch the database"
			}
		}
	}
	return true, "it was not printed", ""
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
