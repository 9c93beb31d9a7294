package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/upgrademock/upgrademock/internal/capsule"
)

// taskFlags are the flags that say what a program has to do.
type taskFlags struct {
	dump, out string
	params    []string
}

func (f *taskFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.dump, "dump", "", "the dump `file` that COMMAND is to send (default: UPGRADEMOCK_DUMP)")
	flags.StringVar(&f.out, "out", "", "the `file` that COMMAND is to write (default: UPGRADEMOCK_OUT)")
	flags.StringArrayVar(&f.params, "param", nil,
		"`NAME=VALUE` that COMMAND is to give to create, such as aim=test, repeatable (default: UPGRADEMOCK_AIM and so on)")
}

// A task is what a program has to do. Empty fields are not known.
type task struct {
	dump, out string
	params    map[string]string
}

// taskParams are the parameters that have a variable.
var taskParams = []string{"contract", "email", "target", "aim", "filename", "timezone"}

func variable(name string) string { return "UPGRADEMOCK_" + strings.ToUpper(name) }

// task reads the flags, and the environment where they say nothing. Every error is a wrong command line.
func (f *taskFlags) task() (*task, error) {
	t := &task{dump: os.Getenv(variable("dump")), out: os.Getenv(variable("out")), params: make(map[string]string)}
	for _, name := range taskParams {
		if value := os.Getenv(variable(name)); value != "" {
			t.params[name] = value
		}
	}
	for _, param := range f.params {
		name, value, ok := strings.Cut(param, "=")
		if !ok || !slices.Contains(taskParams, name) {
			return nil, fmt.Errorf("--param %s: wanted NAME=VALUE with one of the names %s", param,
				strings.Join(taskParams, ", "))
		}
		t.params[name] = value
	}
	for _, path := range []struct {
		given string
		into  *string
	}{{f.dump, &t.dump}, {f.out, &t.out}} {
		if path.given == "" {
			continue
		}
		absolute, err := filepath.Abs(path.given)
		if err != nil {
			return nil, err
		}
		*path.into = absolute
	}
	if f.dump != "" {
		if _, ok := dumpAt(t.dump); !ok {
			return nil, fmt.Errorf("--dump %s: wanted a file, or a dump in directory format", f.dump)
		}
	}
	return t, nil
}

// dumpAt reports whether a client can be told to send what is at path: a file, or a directory that pg_dump made. It
// returns the bytes of the file, or of the directory's table of contents.
func dumpAt(path string) (size int64, ok bool) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		info, err = os.Stat(filepath.Join(path, "toc.dat"))
	}
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	return info.Size(), true
}

// environ returns the variables in which the program finds its task.
func (t *task) environ() (set []string) {
	add := func(name, value string) {
		if value != "" {
			set = append(set, variable(name)+"="+value)
		}
	}
	add("dump", t.dump)
	add("out", t.out)
	for _, name := range taskParams {
		add(name, t.params[name])
	}
	return set
}

// fill takes from a capsule what is not known of the task. The file to write, and a dump that is not here, are below
// the directory dir.
func (t *task) fill(ctx context.Context, c *capsule.Client, dir string, stderr io.Writer) error {
	if c == nil {
		return nil
	}
	for _, name := range taskParams {
		if value := c.Params[name]; t.params[name] == "" && !strings.Contains(value, "\x00") {
			t.params[name] = value
		}
	}
	if t.out == "" && c.Out != "" {
		t.out = filepath.Join(dir, filepath.Base(c.Out))
	}
	if t.dump != "" || c.Dump == nil {
		return nil
	}
	if c.Dump.Is(ctx, c.Dump.Path) {
		here, err := filepath.Abs(c.Dump.Path)
		t.dump = here
		return err
	}
	made, err := c.Dump.Unpack(dir)
	t.dump = made
	say(stderr, "replay: the dump %s is not here, or another one is: the program gets made-up bytes of its size, and "+
		"with --dump FILE it gets FILE", c.Dump.Path)
	return err
}
