package scenario

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// The values of Expect's closed lists.
const (
	ExitSuccess = "success"
	ExitFailure = "failure"
	ExitHonest  = "honest"
	OutUpgraded = "upgraded"
	OutAbsent   = "absent"

	ParamsAsTold   = "as told"
	DumpIntact     = "intact"
	RequestsKnown  = "known"
	RetryAfterKept = "kept"
	HidesKey       = "key"

	FilestoreMerged = "merged"
)

// Expect is what a good client does. What is empty is not judged.
type Expect struct {
	// Exit is success (status 0), failure (any other), or honest: success if the upgraded dump is in the output
	// file, and failure if it is not.
	Exit string `json:"exit,omitempty"`
	// Calls bounds how often each event (one of the On constants) happened, including those that a fault answered.
	Calls map[string]Bound `json:"calls,omitempty"`
	// Order lists events that happened in this order. What changes nothing on the platform, such as a
	// status, may have happened before, too.
	Order []string `json:"order,omitempty"`
	// Interval bounds the time between every two successive events of a kind with nothing between them, until the
	// request is done.
	Interval map[string]Interval `json:"interval,omitempty"`
	// RetryAfter is `kept`: a client that was told to retry after some time waits for so long.
	RetryAfter string `json:"retry_after,omitempty"`
	// GivesUp is an event that a client does not cause for ever: it ends within Within, or at least its attempts come
	// further and further apart. If it is set, Exit is not judged for a client that had to be ended.
	GivesUp string `json:"gives_up,omitempty"`
	// Resumed says that the broken transfer was continued, not begun again.
	Resumed bool `json:"resumed,omitempty"`
	// Params is `as told`: create got the values that the client was told to give.
	Params string `json:"params,omitempty"`
	// Dump is `intact`: what is processed is the file that the client was told to send, byte for byte, or packed.
	Dump string `json:"dump,omitempty"`
	// Requests is `known`: every call names a request, and its key, as create answered them.
	Requests string `json:"requests,omitempty"`
	// Within is the time in which the client has ended; zero: not judged.
	Within time.Duration `json:"-"`
	// Out is upgraded or absent: what stands in the client's output file at the end.
	Out string `json:"out,omitempty"`
	// Filestore is `merged`: that of the restored database has the files of the old one, and those of the result over
	// them.
	Filestore string `json:"filestore,omitempty"`
	// Shows is what reached the user, all of it: status keys' texts, and literals after `text:`.
	Shows Texts `json:"shows,omitempty"`
	// Hides is `key`: the request's key is nowhere in what the client printed, and in no header of its calls.
	Hides string `json:"hides,omitempty"`
}

// Text is something that a client prints: the text of the status key Key, or Literal. Exactly one of them is set.
type Text struct {
	Key     string
	Literal string
}

const literalPrefix = "text:"

func parseText(text string) (Text, error) {
	if literal, ok := strings.CutPrefix(text, literalPrefix); ok {
		if literal == "" {
			return Text{}, wrong("the text after `text:` is empty")
		}
		return Text{Literal: literal}, nil
	}
	return Text{Key: text}, nil
}

// String returns the form that scripts have.
func (t Text) String() string {
	if t.Literal != "" {
		return literalPrefix + t.Literal
	}
	return t.Key
}

// MarshalText returns what String returns.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Texts are several things that a client prints.
type Texts []Text

// MarshalJSON writes one text as such, and several as a list.
func (t Texts) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]Text(t))
}

// Op compares what happened with what was wanted: =, >=, <=, >, <. Empty is =.
type Op string

var ops = []Op{">=", "<=", "==", ">", "<", "="} // the longer ones first, for reading

func (o Op) holds(compared int) bool {
	switch o {
	case ">=":
		return compared >= 0
	case "<=":
		return compared <= 0
	case ">":
		return compared > 0
	case "<":
		return compared < 0
	}
	return compared == 0
}

// cutOp splits a comparison such as `>=3`.
func cutOp(text string) (Op, string) {
	for _, op := range ops {
		if rest, ok := strings.CutPrefix(text, string(op)); ok {
			if op == "==" {
				op = "="
			}
			return op, strings.TrimSpace(rest)
		}
	}
	return "=", text
}

// Bound is a bound on a number of events: how it compares (Op) with N.
type Bound struct {
	Op Op
	N  int
}

func parseBound(text string) (Bound, error) {
	op, rest := cutOp(text)
	n, err := strconv.Atoi(rest)
	if err != nil {
		return Bound{}, wrong("wanted a number of calls such as `1`, `>=3` or `<=2`, found %s", quote(text))
	}
	return Bound{op, n}, nil
}

// Holds reports whether n is within the bound.
func (b Bound) Holds(n int) bool { return b.Op.holds(cmp.Compare(n, b.N)) }

// String returns the form that scripts have: `1`, `>=3`.
func (b Bound) String() string {
	if b.Op == "=" || b.Op == "" {
		return strconv.Itoa(b.N)
	}
	return string(b.Op) + strconv.Itoa(b.N)
}

// MarshalJSON writes an exact number as one, and the others as text.
func (b Bound) MarshalJSON() ([]byte, error) {
	if b.Op == "=" || b.Op == "" {
		return json.Marshal(b.N)
	}
	return json.Marshal(b.String())
}

func (b Bound) check() error {
	switch {
	case b.N < 0:
		return wrong("a number of calls is not negative, found %s", quote(b.String()))
	case b.N == 0 && b.Op == "<":
		return wrong("nothing is fewer than no calls: `0` says that there are none")
	}
	return checkOp(b.Op)
}

func checkOp(op Op) error {
	for _, known := range ops {
		if op == known || op == "" {
			return nil
		}
	}
	return wrong("unknown comparison %s, expected `=`, `>=`, `<=`, `>` or `<`", quote(string(op)))
}

// Interval is a bound on the time between two events: how it compares (Op) with D.
type Interval struct {
	Op Op
	D  time.Duration
	// Average bounds the average of all such times, of six calls and more, and not each of them.
	Average bool
}

const onAverage = " on average"

func parseInterval(text string) (Interval, error) {
	bound, average := strings.CutSuffix(text, onAverage)
	op, rest := cutOp(bound)
	d, err := parseDuration(rest)
	switch {
	case err != nil:
		return Interval{}, wrong("wanted a bound on a time such as `>=1s`, `<=5m` or `>=1s on average`, "+
			"found %s", quote(text))
	case op == "=":
		return Interval{}, didYouMean(">="+rest, "nothing takes exactly a time: wanted `>=` or `<=` before it, "+
			"found %s", quote(text))
	}
	return Interval{op, d, average}, nil
}

// Holds reports whether d is within the bound.
func (i Interval) Holds(d time.Duration) bool { return i.Op.holds(cmp.Compare(d, i.D)) }

// String returns the form that scripts have: `>=1s`, `>=1s on average`.
func (i Interval) String() string {
	text := string(i.Op) + i.D.String()
	if i.Average {
		text += onAverage
	}
	return text
}

// MarshalText returns what String returns.
func (i Interval) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

func (i Interval) check() error {
	switch {
	case i.D <= 0:
		return wrong("a time between calls is longer than zero, found %s", quote(i.String()))
	case i.Op == "" || i.Op == "=" || i.Op == "==":
		return wrong("nothing takes exactly a time: wanted `>=` or `<=` before %s", quote(i.D.String()))
	}
	return checkOp(i.Op)
}

// MarshalJSON writes the language's form.
func (e Expect) MarshalJSON() ([]byte, error) {
	type plain Expect
	return json.Marshal(struct {
		plain
		Within string `json:"within,omitempty"`
	}{plain(e), formatDuration(e.Within)})
}
