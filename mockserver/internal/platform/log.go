package platform

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// maxLog bounds the log that a script has in files, in bytes of each.
const maxLog = 16 << 20

// Log returns the upgrade's log as it is now, and how many bytes it has (rows S8.7 and S8.9). It depends on nothing but
// the script, the states so far and the clock, and only ever grows. It is empty before the upgrade has begun. An error
// means that the request was forgotten, which is [io/fs.ErrNotExist], or that a file of its scenario cannot be read.
func (r *Request) Log() (io.ReaderAt, int64, error) {
	text, err := r.log()
	if err != nil {
		return nil, 0, err
	}
	return strings.NewReader(text), int64(len(text)), nil
}

func (r *Request) log() (string, error) {
	r.p.mu.Lock()
	err := r.thereLocked()
	states, now, script := r.rec.Reached, r.p.opts.Now(), r.rec.Script
	r.p.mu.Unlock()
	if err != nil {
		return "", err
	}
	if hasLog(script) {
		return scriptedLog(script, states)
	}
	w := logWriter{id: r.rec.ID, target: strings.TrimSpace(r.rec.Target), script: script}
	return w.write(states, now), nil
}

func hasLog(script *scenario.Scenario) bool {
	for _, s := range script.Steps {
		if s.Log != nil {
			return true
		}
	}
	return false
}

// scriptedLog is the log that the script's steps have: each adds its part when it begins.
func scriptedLog(script *scenario.Scenario, states []reached) (string, error) {
	var log strings.Builder
	for _, s := range states {
		if s.Step < 0 || s.Step >= len(script.Steps) || script.Steps[s.Step].Log == nil {
			continue
		}
		part := script.Steps[s.Step].Log
		log.WriteString(part.Text)
		if part.File == "" {
			continue
		}
		if err := copyFile(&log, part.File); err != nil {
			return "", fmt.Errorf("platform: the log of step %d of the scenario: %w", s.Step+1, err)
		}
	}
	return log.String(), nil
}

func copyFile(w io.Writer, path string) error {
	f, err := safefile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(w, io.LimitReader(f, maxLog+1))
	if err == nil && n > maxLog {
		err = fmt.Errorf("%s has more than %d bytes; name a smaller file", path, maxLog)
	}
	return err
}

// logWriter writes the log of an upgrade whose script has none: one that reads like an Odoo server's.
type logWriter struct {
	id     int64
	target string
	script *scenario.Scenario

	log strings.Builder
}

// linePause is how long after each other the lines of a step come that lasts until something happens.
const linePause = 700 * time.Millisecond

// write returns the log after these states, at the instant now. The lines of a step are spread over its time; what has
// not come when the step ends comes then.
func (w *logWriter) write(states []reached, now time.Time) string {
	for i, s := range states {
		lines := w.lines(i == 0, s)
		pause := linePause
		if d := w.duration(s); d > 0 && len(lines) > 0 {
			pause = d / time.Duration(len(lines))
		}
		for n, line := range lines {
			at := s.At.Add(time.Duration(n) * pause)
			switch over := i+1 < len(states); {
			case ended(s.State):
				at = s.At
			case over && at.After(states[i+1].At):
				at = states[i+1].At
			case !over && at.After(now):
				return w.log.String()
			}
			w.line(at, line)
		}
	}
	return w.log.String()
}

// duration is how long a state lasts by its script; 0 if nobody knows.
func (w *logWriter) duration(s reached) time.Duration {
	if s.Step < 0 || s.Step >= len(w.script.Steps) {
		return 0
	}
	return w.script.Steps[s.Step].For.Duration
}

// line writes a line as Odoo's servers do: time, process, level, database, logger and message.
func (w *logWriter) line(at time.Time, l logLine) {
	database := fmt.Sprintf("db_%d", w.id)
	if l.early {
		database = "?"
	}
	message := strings.NewReplacer("{target}", w.target, "{db}", database).Replace(l.message)
	fmt.Fprintf(&w.log, "%s,%03d %d %s %s %s: %s\n", at.UTC().Format(time.DateTime), at.Nanosecond()/1e6, 10+w.id%90,
		l.level, database, l.logger, message)
}
