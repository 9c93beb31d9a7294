package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// shardUsage is the help of the flag shard.
const shardUsage = "one `part` of the work, such as 2/5; auto takes it from CI_NODE_INDEX and CI_NODE_TOTAL, auto/5 " +
	"its number from JOB_COMPLETION_INDEX, too"

// A reportFile is where a flag wants a report. It is opened before the work, so that a name that cannot be written
// costs no time. Nil is no file.
type reportFile struct {
	flag string
	*os.File
}

// openReport opens the file that a flag names, nil for "". An error is a wrong command line.
func openReport(flag, name string) (*reportFile, error) {
	if err := checkOutput(flag, name); err != nil || name == "" {
		return nil, err
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w; name a file that can be written", flag, name, reasonOf(err))
	}
	return &reportFile{flag, file}, nil
}

// write writes the report, and closes the file.
func (f *reportFile) write(report func(io.Writer) error) error {
	if f == nil {
		return nil
	}
	if err := errors.Join(report(f.File), f.File.Close()); err != nil {
		return fmt.Errorf("--%s: %w", f.flag, err)
	}
	return nil
}

// Close closes the file, if it is still open.
func (f *reportFile) Close() {
	if f != nil {
		f.File.Close()
	}
}
