package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/upgrademock/upgrademock/internal/disguise"
)

// recordingVersion changes when older recordings can't be judged any more.
const recordingVersion = 1

// heading is a recording's first line.
type heading struct {
	Version int      `json:"upgrademock_recording"`
	Target  Target   `json:"target"`
	API     API      `json:"api,omitempty"`
	Level   Level    `json:"level"`
	Seed    uint64   `json:"seed"`
	Wait    string   `json:"wait"`
	Shared  bool     `json:"production"`
	Checks  []string `json:"checks"` // that ran
}

// A step is one exchange with the server: every other line of a recording.
type step struct {
	Name string          `json:"lane"` // of the check or lifecycle it belongs to
	Kind string          `json:"kind"`
	What string          `json:"what"`
	Out  json.RawMessage `json:"out,omitempty"`
	Err  string          `json:"err,omitempty"`
}

// A transcript is the sequence of exchanges of one check or lifecycle: live, or from a recording. It is used by one
// goroutine at a time.
type transcript struct {
	name  string
	live  bool
	steps []step // recorded, or still to be replayed
	keep  bool   // record them
}

// Exchange does one thing with the server: do, which stores in *out what came of it. In a replay it takes that from
// the recording. Everything that a check learns of a server goes through here.
func (c *checker) Exchange(kind, what string, out any, do func() error) error {
	t := c.transcript
	if !t.live {
		if len(t.steps) == 0 || t.steps[0].Kind != kind {
			c.errorf("the recording has no %s here (%s): the run was stopped, or another version of the suite made it",
				kind, what)
		}
		st := t.steps[0]
		t.steps = t.steps[1:]
		if err := json.Unmarshal(st.Out, out); err != nil {
			c.errorf("the recording can't be read: %v", err)
		}
		if st.Err != "" {
			return errors.New(st.Err)
		}
		return nil
	}
	err := do()
	if t.keep {
		st := step{Name: t.name, Kind: kind, What: what}
		st.Out, _ = json.Marshal(out)
		if err != nil {
			st.Err = err.Error()
		}
		t.steps = append(t.steps, st)
	}
	return err
}

// recorder writes a recording: the transcript of each check when it ends.
type recorder struct {
	mu   sync.Mutex
	w    io.Writer
	hide *disguise.Disguise
	err  error
}

func newRecorder(w io.Writer, h heading) *recorder {
	r := &recorder{w: w, hide: disguise.New()}
	line, err := json.Marshal(h)
	r.put(line, err)
	return r
}

func (r *recorder) put(line []byte, err error) {
	if r.err == nil {
		r.err = err
	}
	if r.err == nil {
		_, r.err = r.w.Write(append(line, '\n'))
	}
}

// save writes a transcript, with each key replaced by its disguise everywhere.
func (r *recorder) save(l *transcript, keys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hide := r.hide.Replacer(keys)
	for _, st := range l.steps {
		line, err := json.Marshal(st)
		r.put([]byte(hide.Replace(string(line))), err)
	}
	l.steps = nil
}

// Replay judges a recording again, offline. Of the options only Level, Run, Baseline, FailFast and Observe count;
// a nil opts is the same as the zero Options, whose Level is the recorded run's. Checks that the recorded run did
// not make are skipped. The error is that of [Run], or says that the recording cannot be read; then there is no
// report.
func Replay(ctx context.Context, recording io.Reader, opts *Options) (*Report, error) {
	in := bufio.NewReader(recording)
	var h heading
	dec := json.NewDecoder(in)
	if err := dec.Decode(&h); err != nil || h.Version == 0 {
		return nil, errors.New("conformance: not a recording of this suite: its first line is no heading")
	}
	if h.Version != recordingVersion {
		return nil, fmt.Errorf("conformance: the recording has version %d, this suite reads version %d",
			h.Version, recordingVersion)
	}
	recorded := map[string][]step{}
	for {
		var st step
		if err := dec.Decode(&st); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("conformance: the recording is broken off or changed: %w", err)
		}
		recorded[st.Name] = append(recorded[st.Name], st)
	}
	o := Options{API: h.API, Level: h.Level, Seed: h.Seed}
	if opts != nil {
		o.Run, o.Baseline, o.FailFast, o.Observe = opts.Run, opts.Baseline, opts.FailFast, opts.Observe
		if opts.Level != "" {
			o.Level = opts.Level
		}
	}
	s, err := newReplay(h, o, recorded)
	if err != nil {
		return nil, err
	}
	return s.judge(ctx)
}
