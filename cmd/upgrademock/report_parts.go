package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/shard"
)

// part is what the report in a file says of itself.
type part struct {
	file    string
	shard   shard.Shard // zero: it is no part
	version string
	of      []string // the names of all that was divided
}

// note writes down what a report is about, and refuses one that is no part of the same run.
func (m *merger) note(file, text, version string, of, names []string) error {
	p := part{file: file, version: version, of: of}
	if text != "" {
		var err error
		if p.shard, err = shard.Parse(text, os.Getenv); err != nil {
			return fmt.Errorf("%s: shard: %w", file, err)
		}
	}
	for _, other := range m.parts {
		if err := other.differs(p); err != nil {
			return err
		}
	}
	m.parts = append(m.parts, p)
	for _, name := range names {
		if other, found := m.files[name]; found && !isAboutRun(name) {
			return fmt.Errorf("%s is in %s and in %s: these are no parts of one run", name, other, file)
		}
		m.files[name] = file
	}
	return nil
}

// isAboutRun reports whether a result is about the run itself, as each report may have it.
func isAboutRun(name string) bool { return strings.HasPrefix(name, "suite/") }

// differs is why two reports are not of one run; nil if they may be.
func (p part) differs(other part) error {
	switch {
	case p.file == other.file:
		return fmt.Errorf("%s is there twice", p.file)
	case p.version != other.version:
		return fmt.Errorf("%s is of upgrademock %s, %s of %s: these are no parts of one run", p.file, p.version, other.file,
			other.version)
	case p.shard.Count != other.shard.Count:
		return fmt.Errorf("%s is %s, and %s %s: these are no parts of one run", p.file, describe(p.shard), other.file,
			describe(other.shard))
	case p.shard != shard.Shard{} && p.shard == other.shard:
		return fmt.Errorf("%s and %s are both shard %s: one of them is too many", p.file, other.file, p.shard)
	}
	for _, name := range p.of {
		if !slices.Contains(other.of, name) {
			return fmt.Errorf("%s is of a run with %s, %s of one without: these are no parts of one run", p.file, name,
				other.file)
		}
	}
	if len(p.of) < len(other.of) {
		return other.differs(p)
	}
	return nil
}

func describe(s shard.Shard) string {
	if s == (shard.Shard{}) {
		return "the report of a whole run"
	}
	return "shard " + s.String()
}

// complete is an error if shards of the run are missing.
func (m *merger) complete() error {
	if len(m.parts) == 0 {
		return nil
	}
	count := m.parts[0].shard.Count
	var missing []string
	for i := 1; i <= count; i++ {
		if len(missing) == 10 {
			missing = append(missing, "…")
			break
		}
		s := shard.Shard{Index: i, Count: count}
		if !slices.ContainsFunc(m.parts, func(p part) bool { return p.shard == s }) {
			missing = append(missing, s.String())
		}
	}
	if missing != nil {
		return fmt.Errorf("the report of shard %s is missing", strings.Join(missing, ", "))
	}
	return nil
}

// order is the order of what was divided; empty for reports of whole runs, which stay as they are.
func (m *merger) order() []string { return m.parts[0].of }

// sortBy sorts a list by the places of its names; what has none comes behind the others.
func sortBy[T any](list []T, names []string, name func(T) string) {
	places := make(map[string]int)
	for i, n := range names {
		places[n] = i - len(names)
	}
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(places[name(a)], places[name(b)]) })
}
