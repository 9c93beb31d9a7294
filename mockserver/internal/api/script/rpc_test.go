package script

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"testing"
	"unicode/utf8"
)

// FuzzRPC reads bodies, and holds what a call is taken for against the standard library's generic reader.
func FuzzRPC(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc": "2.0", "method": "not_used", "id": "not_used", "params": {"token": "x"}}`, `{"params": {"token": null}}`,
		`{"id": 5e3, "params": {"token": "a", "token": 5}, "params": {"token": "\ud800"}}`, `null`, `[]`, ``, "\ufeff{}",
		`{"id": {}, "params": {}}`, `{"jsonrpc": 2, "params": {}}`, `{"params": {"token": ["x"], "env_vars": ["A=1", null]}}`,
		"{\"params\": {\"\xff\": 1}}", `{"params": {"env_vars": "x", "TOKEN": "y"}} `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		call, err := parseRPC(body)
		if wrong, ok := err.(badCall); err != nil && (!ok || !utf8.ValidString(wrong.text) || len(wrong.text) > 300) {
			t.Fatalf("the error is %#v", err)
		}
		if call.id != nil && !json.Valid(call.id) {
			t.Fatalf("the id %q cannot be echoed", call.id)
		}
		var members map[string]any
		readable := utf8.Valid(body) && json.Unmarshal(body, &members) == nil && members != nil
		params, isObject := members["params"].(map[string]any)
		if err == nil && !(readable && isObject) {
			t.Fatalf("%q was taken for a call", body)
		}
		if err != nil {
			return
		}
		token, err := call.text("token")
		want, isText := params["token"].(string)
		if there := params["token"] != nil; token != want || (err == nil) != (isText || !there) {
			t.Fatalf("token %q, %v; want %v", token, err, params["token"])
		}
		list, err := call.list("env_vars")
		var texts []string
		values, isList := params["env_vars"].([]any)
		for _, v := range values {
			text, ok := v.(string)
			isList = isList && ok
			texts = append(texts, text)
		}
		switch {
		case isList && (err != nil || len(list) != len(texts) || len(list) > 0 && !reflect.DeepEqual(list, texts)):
			t.Fatalf("env_vars %q, %v; want %q", list, err, texts)
		case !isList && params["env_vars"] != nil && err == nil:
			t.Fatalf("%v was taken for a list of strings", params["env_vars"])
		}
		for _, p := range call.shown() {
			if _, there := params[p.Name]; !there && utf8.ValidString(p.Name) {
				t.Fatalf("the journal shows %q, which is no parameter", p.Name)
			}
		}
	})
}

// A body is read no further than its bound.
func TestReadRPC_isBounded(t *testing.T) {
	t.Parallel()
	body := &counted{}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://h", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if _, err := readRPC(r); err == nil || body.n > 2*maxBody {
		t.Errorf("%v after %d bytes", err, body.n)
	}
}

// counted is zeros without end.
type counted struct{ n int }

func (c *counted) Read(p []byte) (int, error) {
	c.n += len(p)
	clear(p)
	return len(p), nil
}

var _ io.Reader = (*counted)(nil)

var oneRange = regexp.MustCompile(
	`^[ \t\r\n]*[bB][yY][tT][eE][sS][ \t\r\n]*=[ \t\r\n]*([0-9]*)[ \t\r\n]*-[ \t\r\n]*([0-9]*)[ \t\r\n]*$`,
)

// FuzzRange holds ranges against RFC 9110 section 14.1.2, computed without bounds.
func FuzzRange(f *testing.F) {
	for _, seed := range []string{
		"bytes=0-", "bytes=5-9", "bytes=-3", "bytes=-", "bytes=9-5", "Bytes = 1 - 2", "bytes=0-0,2-3", "lines=0-", "",
		"bytes=99999999999999999999-", "bytes=-99999999999999999999",
		"bytes=9223372036854775807-9223372036854775807", "bytes=1-\x00",
	} {
		f.Add(seed, uint32(10))
		f.Add(seed, uint32(0))
	}
	f.Fuzz(func(t *testing.T, header string, length uint32) {
		size := int64(length)
		p, ok := rangeOf(header, size)
		m := oneRange.FindStringSubmatch(header)
		if !ok {
			p = part{0, size}
		}
		if p.from < 0 || p.from > p.to || p.to > size {
			t.Fatalf("%q of %d bytes: %+v", header, size, p)
		}
		whole := part{0, size}
		want, valid := whole, false
		if m != nil && m[1]+m[2] != "" {
			first, hasFirst := new(big.Int).SetString(m[1], 10)
			last, hasLast := new(big.Int).SetString(m[2], 10)
			end := big.NewInt(size)
			switch {
			case !hasFirst:
				valid = true
				want = part{max(0, clamp(new(big.Int).Sub(end, last))), size}
			case hasLast && clamp(last) < clamp(first): // sizes end where int64 does
			default:
				valid = true
				want = part{min(clamp(first), size), size}
				if hasLast {
					want.to = max(want.from, min(clamp(last.Add(last, big.NewInt(1))), size))
				}
			}
		}
		if ok != valid || p != want {
			t.Fatalf("%q of %d bytes: %+v, %v; want %+v, %v", header, size, p, ok, want, valid)
		}
	})
}

func clamp(n *big.Int) int64 {
	if !n.IsInt64() {
		if n.Sign() < 0 {
			return math.MinInt64
		}
		return math.MaxInt64
	}
	return n.Int64()
}

// What is handed out in place of the script is a string literal of Python, in ASCII, whatever the option is called.
func TestInstead(t *testing.T) {
	t.Parallel()
	text := fmt.Sprintf(instead, strconv.QuoteToASCII("ü\n\"\\"))
	if !bytes.Contains([]byte(text), []byte(`sys.stderr.write("\u00fc\n\"\\")`)) {
		t.Error(text)
	}
}
