package retrace

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// MaxBody is how many bytes of a body an Exchange needs: more than any answer of the platform but a dump.
const MaxBody = 64 << 10

// The ways in which an exchange breaks off.
const (
	BrokenReset   = "reset"   // the connection was reset
	BrokenClosed  = "closed"  // it was closed in the middle of the answer, or before it
	BrokenTimeout = "timeout" // the client did not wait longer
	BrokenUnknown = "unknown" // it is not known how
)

// An Exchange is an HTTP call and its answer, as something between a client and the platform saw it.
type Exchange struct {
	At     time.Time     // when the call began; zero: not known
	Took   time.Duration // until the answer was there; 0: not known
	Method string
	URL    string // absolute, or from the path on

	Type  string            // the call's Content-Type
	Form  []byte            // the beginning of its body, at most MaxBody bytes
	Extra map[string]string // its parameters, where something else has read them already, which Form goes before
	Range string            // its header Range
	Sent  int64             // bytes of its body that were sent; -1: not known
	Short bool              // they were not all of it

	Status  int // 0: there was no answer
	Header  http.Header
	Body    []byte // the beginning of the answer's body, decoded, at most MaxBody bytes
	Size    int64  // bytes of the body that came, as they came; -1: not known
	Partial bool   // Body is not all of it
	Missing bool   // nothing is known of the body
	Broken  string // how it broke off; "": it did not
	Why     string // the recording's own words for that
}

// Exchange takes an HTTP exchange. It reports whether that is a call of the platform; others are passed over.
// Exchanges may come in any order, if their times are known, and no more than a few thousand are ahead of their time.
func (c *Collector) Exchange(e *Exchange) bool {
	at := Locate(e)
	if at.On == "" || e.Method == http.MethodOptions {
		return false
	}
	s := seen{at: e.At, http: true, on: at.On, api: at.API, request: at.Request}
	if s.api == scenario.APIScript {
		s.token, s.transfer = at.Key, at.Params["transfer_type"]
	}
	if creates(s.on) {
		s.contract, s.params = at.Params["contract"], at.Params
	}
	c.read(&s, e, at.Key)
	s.took = e.Took
	c.order.untimed = c.order.untimed || e.At.IsZero()
	if s.order = e.At; e.At.IsZero() { // it belongs behind the one before it
		s.order = c.order.last
	}
	c.order.last = s.order
	c.queue = append(c.queue, s)
	if c.order.bytes += s.size(); len(c.queue) >= maxQueue || c.order.bytes > maxQueueBytes {
		c.take(len(c.queue) / 2)
	}
	return true
}

// A Place is where an exchange belongs.
type Place struct {
	On, API string            // as in scenarios; On is empty for a call that is none of the platform's
	Request string            // its id, as far as the call names it
	Key     string            // the key or token that it has
	Params  map[string]string // its parameters, without SSH keys
}

// Locate finds out where an exchange belongs.
func Locate(e *Exchange) Place {
	u, err := url.Parse(e.URL)
	if err != nil || u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http" {
		return Place{}
	}
	var p Place
	p.On, p.API, p.Request, p.Key = locate(u.Path)
	p.Params = parameters(e, u.Query(), p.API)
	delete(p.Params, "ssh_key")
	delete(p.Params, "ssh_keys")
	p.Request = cmp.Or(p.Request, p.Params["request"])
	p.Key = cmp.Or(p.Key, p.Params["key"], p.Params["token"])
	return p
}

func creates(on string) bool {
	return on == scenario.OnCreate || on == scenario.OnUpgrade || on == scenario.OnScriptCreate
}

// scriptCalls are the calls of the script API by their path below /upgrade/request/.
var scriptCalls = map[string]string{
	"create": scenario.OnScriptCreate, "transfer/start": scenario.OnScriptTransferStart,
	"transfer/stop": scenario.OnScriptTransferStop, "process": scenario.OnScriptProcess,
	"status": scenario.OnScriptStatus, "logs": scenario.OnScriptLogs, "wipe": scenario.OnScriptWipe,
}

// databaseCalls are the methods of the database API.
var databaseCalls = []string{scenario.OnCreate, scenario.OnUpload, scenario.OnRequestSFTPAccess, scenario.OnProcess,
	scenario.OnStatus, scenario.OnSkipTest, scenario.OnUpgrade}

// fileURL is a URL of a status answer: region, id, key, path.
var fileURL = regexp.MustCompile(`/database/[^/]+/([0-9]+)/([^/]+)/(.+)$`)

// locate finds the place that a path belongs to, wherever a proxy has put it; on is empty for none. Of the URLs of a
// status answer it returns the id and the key.
func locate(urlPath string) (on, api, id, key string) {
	urlPath = path.Clean("/" + urlPath)
	if _, method, ok := strings.Cut(urlPath, "/database/v1/"); ok && slices.Contains(databaseCalls, method) {
		return method, scenario.APIDatabase, "", ""
	}
	if _, name, ok := strings.Cut(urlPath, "/upgrade/request/"); ok {
		return scriptCalls[name], scenario.APIScript, "", ""
	}
	if m := fileURL.FindStringSubmatch(urlPath); m != nil && m[3] != "status" {
		return scenario.OnDownload, scenario.APIDatabase, m[1], m[2]
	}
	return "", "", "", ""
}

// parameters reads those of a call: of the query string, of a form (row 1.1), or of a JSON-RPC call (row S1.4).
func parameters(e *Exchange, query url.Values, api string) map[string]string {
	params := map[string]string{}
	put := func(values map[string][]string) {
		for name, list := range values {
			if len(list) > 0 {
				params[name] = list[0]
			}
		}
	}
	put(query)
	for name, value := range e.Extra {
		params[name] = value
	}
	media, attributes, _ := mime.ParseMediaType(e.Type)
	switch {
	case api == scenario.APIScript:
		var call struct{ Params map[string]any }
		if json.Unmarshal(e.Form, &call) == nil {
			for name, value := range call.Params {
				if text, ok := value.(string); ok {
					params[name] = text
				}
			}
		}
	case media == "multipart/form-data":
		form := multipart.NewReader(bytes.NewReader(e.Form), attributes["boundary"])
		for range 50 {
			part, err := form.NextPart()
			if err != nil {
				break
			}
			value, _ := io.ReadAll(io.LimitReader(part, 200))
			if part.FormName() != "" && part.FileName() == "" {
				params[part.FormName()] = string(value)
			}
		}
	case media == "application/x-www-form-urlencoded", media == "" && len(e.Form) < 4<<10:
		if values, err := url.ParseQuery(string(e.Form)); err == nil {
			put(values)
		}
	}
	return params
}

// read takes from the answer what went wrong, or what it says.
func (c *Collector) read(s *seen, e *Exchange, secret string) {
	object := s.outcome(e)
	if s.fault != nil && hideIn(s.fault, secret) {
		s.note = join(s.note, "KEY stands for the request's key or token, which is left out")
	}
	s.note = hide(s.note, secret)
	if s.on == scenario.OnScriptLogs && s.fault == nil && !e.Missing && len(e.Body) > 0 {
		s.log, s.logAt = hide(strings.ToValidUTF8(string(e.Body), "\uFFFD"), secret), logOffset(e)
		return
	}
	if object == nil {
		return
	}
	if s.api == scenario.APIScript {
		s.readResult(object)
		s.hideSet(secret)
		return
	}
	request, _ := object["request"].(map[string]any)
	if creates(s.on) && request != nil {
		s.made = number(request["id"])
	}
	s.state, _ = request["state"].(string)
	if s.on == scenario.OnStatus && request != nil {
		s.set = settable(request, map[string]kind{"customer_message": isText, "estimated_time": isText, "filestore": isBool})
		s.unknownKeys(request, append(scenario.StatusKeys(s.api), "id", "key", "migrated_sql_url"))
		s.hideSet(secret)
	}
}

// hideSet hides a key in the texts that a step sets.
func (s *seen) hideSet(key string) {
	for name, value := range s.set {
		if text, ok := value.(string); ok {
			s.set[name] = hide(text, key)
		}
	}
}

// readResult reads an answer of the script API.
func (s *seen) readResult(result map[string]any) {
	switch s.on {
	case scenario.OnScriptCreate:
		s.made = number(result["request_id"])
		if token, _ := result["token"].(string); token != "" {
			s.token = token
		}
	case scenario.OnScriptStatus:
		s.state, _ = result["status"].(string)
		s.set = settable(result, map[string]kind{"reason": isText, "archived": isBool})
		s.unknownKeys(result, append(scenario.StatusKeys(s.api), "status", "host_uri", "request_id", "token"))
	case scenario.OnScriptTransferStart:
		if hosts, ok := result["known_hosts"]; ok && hosts == nil {
			s.noHosts = true
		}
		if name, ok := result["dump_name"].(string); ok && !usualDump(name) {
			s.dumpName = name
		}
	case scenario.OnScriptProcess:
		compatible, ok := result["is_pg_version_compatible"].(bool)
		s.tooOld = ok && !compatible
	}
}

// unknownKeys remarks on keys that the emulator does not answer.
func (s *seen) unknownKeys(object map[string]any, known []string) {
	var more []string
	for key := range object {
		if !slices.Contains(known, key) {
			more = append(more, key)
		}
	}
	if slices.Sort(more); len(more) > 0 {
		s.note = "the status answers have keys that the emulator's have not: " + strings.Join(more[:min(10, len(more))], ", ")
	}
}

type kind func(any) bool

func isText(v any) bool { _, ok := v.(string); return ok }
func isBool(v any) bool { _, ok := v.(bool); return ok }

// maxSet is how long a text may be that a step sets.
const maxSet = 1 << 10

// settable takes the keys that become those of a step: a key that says nothing is the same as one that is not there.
func settable(object map[string]any, keys map[string]kind) map[string]any {
	set := map[string]any{}
	for key, is := range keys {
		if v := object[key]; is(v) && v != "" && v != false {
			if text, ok := v.(string); ok && len(text) > maxSet {
				v = strings.ToValidUTF8(text[:maxSet], "") + "…"
			}
			set[key] = v
		} else {
			set[key] = nil
		}
	}
	return set
}

// number is an id as its digits; an id that is a short text is taken as it is.
func number(v any) string {
	switch v := v.(type) {
	case json.Number:
		return v.String()
	case string:
		if len(v) <= 40 {
			return v
		}
	}
	return ""
}

// logOffset is the byte of the log at which a part of it begins.
func logOffset(e *Exchange) int64 {
	begin := strings.TrimPrefix(e.Header.Get("Content-Range"), "bytes ")
	if begin == "" && e.Status == http.StatusPartialContent {
		begin = strings.TrimPrefix(e.Range, "bytes=")
	}
	digits, _, _ := strings.Cut(begin, "-")
	at, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil {
		return 0
	}
	return at
}
