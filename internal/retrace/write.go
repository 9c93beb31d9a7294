package retrace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// file is a scenario that is being written, with its comments.
type file struct {
	bytes.Buffer
	err error
}

// write makes the scenario of a request.
func (c *Collector) write(r *request, opts Options) (*Script, error) {
	r.settle(nil)
	known := c.known(r.scenario)
	steps, faults := r.steps(opts, known), r.faults()
	steps = r.ending(steps)
	if r.created && !r.begun && len(steps) > 0 && !slices.ContainsFunc(beginning, func(on string) bool {
		return r.places[on] != nil
	}) {
		r.remark("process was not called: something else has put the request into a state. In a scenario, process does")
	}
	var f file
	f.head(r, opts)
	name := opts.Name
	if name == "" {
		name = "request-" + strings.Map(plainRune, r.name)
	}
	f.key("name", name)
	f.key("description", r.description(steps))
	f.key("when", map[string]string{"api": r.api})
	if len(steps) == 0 {
		f.comment("", "No state after process was seen: without `steps`, there are those of the emulator.")
	} else {
		f.WriteString("steps:\n")
		for _, s := range steps {
			f.item(s.Step, s.notes)
		}
	}
	if len(faults) > 0 {
		f.WriteString("faults:\n")
		for _, fault := range faults {
			f.item(fault.Fault, fault.notes)
		}
	}
	f.rest(r, known)
	if f.err != nil {
		return nil, fmt.Errorf("retrace: request %s: %w", r.name, f.err)
	}
	made, err := scenario.Parse(name+".yaml", f.Bytes())
	if err != nil {
		return nil, fmt.Errorf("retrace: request %s: what was seen cannot be put into a scenario: %w", r.name, err)
	}
	return &Script{Scenario: made, YAML: f.Bytes()}, nil
}

// beginning are the calls that begin an upgrade.
var beginning = []string{scenario.OnProcess, scenario.OnScriptProcess, scenario.OnUpgrade}

// Format writes a scenario as a file that begins with these comments.
func Format(s *scenario.Scenario, comments ...string) ([]byte, error) {
	var f file
	f.WriteString("# yaml-language-server: $schema=" + scenario.SchemaURL(version.Tag()) + "\n")
	for _, text := range comments {
		f.comment("", text)
	}
	root := f.node(s)
	for i, key := range root.keys {
		item := root.items[i]
		switch {
		case item.isList && (key == "steps" || key == "faults"):
			f.WriteString(key + ":\n")
			for _, entry := range item.items {
				f.entry(entry)
			}
		case item.keys != nil && key == "expect":
			f.WriteString(key + ":\n")
			f.lines(item, "  ", "  ")
		default:
			f.WriteString(key + ": " + item.flow() + "\n")
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	return f.Bytes(), nil
}

// head writes what the file begins with.
func (f *file) head(r *request, opts Options) {
	f.WriteString("# yaml-language-server: $schema=" + scenario.SchemaURL(version.Tag()) + "\n")
	what := "What happened to request " + r.name
	if !r.known() {
		what = "What happened to the calls of create"
	}
	if r.contract != "" {
		what += " of contract " + r.contract
	}
	what += fmt.Sprintf(" over the %s API", r.api)
	if opts.From != "" {
		what += ", as it stands in " + opts.From
	}
	what += ": " + count(r.calls, "call")
	if !r.first.IsZero() {
		what += fmt.Sprintf(" from %s to %s UTC", r.first.UTC().Format(time.DateTime), r.last.UTC().Format(time.DateTime))
	}
	if r.faulty > 0 {
		what += fmt.Sprintf(", of which %d went wrong", r.faulty)
	}
	f.comment("", what+".")
	f.comment("", "Comments say what was seen, and what is a guess.")
	for _, note := range r.notes {
		f.comment("", "Note: "+note+".")
	}
}

// known reports whether create has made a request, as far as is known.
func (r *request) known() bool { return r.name != r.contract && r.name != "create" }

// description is the scenario's sentence.
func (r *request) description(steps []step) string {
	var states []string
	for _, s := range steps {
		if n := len(states); n == 0 || states[n-1] != s.State {
			states = append(states, s.State)
		}
	}
	text := "Request " + r.name
	if !r.known() {
		text = "Create"
	}
	if !r.first.IsZero() {
		text += " as it went on " + r.first.UTC().Format(time.DateOnly)
	}
	const most = 12
	switch {
	case len(states) > most:
		text += fmt.Sprintf(": %s, and %d more states", strings.Join(states[:most], ", "), len(states)-most)
	case len(states) > 0:
		text += ": " + strings.Join(states, ", ")
	}
	if r.faulty > 0 {
		text += "; " + count(r.faulty, "call") + " went wrong"
	}
	return text + "."
}

// ending says of the last state what is known of it.
func (r *request) ending(steps []step) []step {
	if len(steps) == 0 {
		return steps
	}
	last := &steps[len(steps)-1]
	switch waits := []string{"pending", "processing", "progress", "testing"}; {
	case slices.Contains(waits, last.State):
		last.notes = append(last.notes, "nothing was seen after it: it stays so, unless another step stands behind it")
	case !scenario.KnownState(r.api, last.State):
		last.notes = append(last.notes, "nothing was seen after it: release the request by the control API to go on")
		last.For = scenario.For{Released: true}
		steps = append(steps, step{Step: scenario.Step{State: "done"}, notes: []string{"a guess: it was not seen"}})
	}
	return steps
}

// rest writes what comes back, and what the client is expected to do.
func (f *file) rest(r *request, known *scenario.Scenario) {
	upgraded, from := r.upgraded, ""
	if known != nil && upgraded == (scenario.Upgraded{}) {
		upgraded, from = known.Upgraded, known.Name
	}
	if upgraded != (scenario.Upgraded{}) {
		if from != "" {
			f.comment("", "That of the scenario "+from+".")
		}
		f.key("upgraded", upgraded)
	}
	if known != nil && known.Expect != nil {
		f.comment("", "That of the scenario "+known.Name+".")
		f.block("expect", known.Expect)
	}
}

// key writes a key of the scenario in one line.
func (f *file) key(name string, value any) {
	n := f.node(value)
	f.WriteString(name + ": " + n.flow() + "\n")
}

// block writes a key of the scenario with a line for each key of its object.
func (f *file) block(name string, value any) {
	f.WriteString(name + ":\n")
	f.lines(f.node(value), "  ", "  ")
}

// item writes an item of a list, behind what is to be said of it.
func (f *file) item(value any, notes []string) {
	for _, note := range notes {
		f.comment("  ", note)
	}
	f.entry(f.node(value))
}

// entry writes an item of a list: in one line if it fits.
func (f *file) entry(n *node) {
	if line := "  - " + n.flow() + "\n"; len(line) <= 110 {
		f.WriteString(line)
		return
	}
	f.lines(n, "  - ", "    ")
}

// lines writes an object with a line for each key, and again for the objects in it that are too long for one.
func (f *file) lines(n *node, first, indent string) {
	for i, key := range n.keys {
		if i > 0 {
			first = indent
		}
		item := n.items[i]
		flow := item.flow()
		switch {
		case item.keys != nil && len(first)+len(key)+len(flow) > 110:
			f.WriteString(first + key + ":\n")
			f.lines(item, indent+"  ", indent+"  ")
		case item.literal():
			f.WriteString(first + key + ": |")
			if !strings.HasSuffix(item.text, "\n") {
				f.WriteString("-")
			}
			for line := range strings.SplitSeq(strings.TrimSuffix(item.text, "\n"), "\n") {
				f.WriteString("\n")
				if line != "" {
					f.WriteString(indent + "  " + line)
				}
			}
			f.WriteString("\n")
		default:
			f.WriteString(first + key + ": " + flow + "\n")
		}
	}
}

// comment writes a sentence in lines that are not too long.
func (f *file) comment(indent, text string) {
	const width = 116
	line := indent + "#"
	for word := range strings.FieldsSeq(clean(text)) {
		if len(line)+1+len(word) > width && line != indent+"#" {
			f.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	f.WriteString(line + "\n")
}

// clean makes a text from elsewhere fit for a comment.
func clean(text string) string {
	const most = 400
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffd ||
			r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
}

// plainRune keeps what is fit for a name.
func plainRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
		return r
	}
	return '-'
}

// node makes a tree of a value's JSON.
func (f *file) node(value any) *node {
	text, err := json.Marshal(value)
	var n *node
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		n, err = readNode(dec)
	}
	if err != nil {
		f.err = err
		return &node{scalar: "null"}
	}
	return n
}
