package conformance_test

import (
	"archive/zip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
)

// fetches counts the downloads of results that never have the same times.
var fetches atomic.Int32

type refCommand = refserver.Command

// after is what happens behind a run that went well; it returns the exit status.
func after(f func(c *refCommand) int) func(c *refCommand, next func() int) int {
	return func(c *refCommand, next func() int) int {
		if status := next(); status != 0 {
			return status
		}
		return f(c)
	}
}

// behind is a server in whose files something happens behind each upload.
func behind(row string, f func(c *refCommand)) wrongScript {
	return wrongScript{row: row, run: after(func(c *refCommand) int {
		if c.Upload {
			f(c)
		}
		return 0
	})}
}

// fetching is a server in whose files, or in whose arguments, something happens before each download.
func fetching(row string, f func(c *refCommand)) wrongScript {
	return wrongScript{row: row, run: func(c *refCommand, next func() int) int {
		if !c.Upload {
			f(c)
		}
		return next()
	}}
}

// notRun is a server that refuses a command whose arguments match.
func notRun(row, pattern string) wrongScript {
	form := regexp.MustCompile(pattern)
	return wrongScript{row: row, run: func(c *refCommand, next func() int) int {
		if form.MatchString(strings.Join(c.Args, " ")) {
			fmt.Fprintln(c.Channel.Stderr(), "rsync: not here")
			return 1
		}
		return next()
	}}
}

// runWith is a server whose rsync has another option for uploads.
func runWith(row, option string) wrongScript {
	return wrongScript{row: row, run: func(c *refCommand, next func() int) int {
		if c.Upload {
			c.Args = slices.Insert(c.Args, 1, option)
		}
		return next()
	}}
}

// files are the regular files below the directory.
func files(dir string) map[string][]byte {
	found := map[string][]byte{}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			found[path], _ = os.ReadFile(path)
		}
		return nil
	})
	return found
}

// wrongRsyncs break how rsync is served: section S5.
func wrongRsyncs() map[string]wrongScript {
	return map[string]wrongScript{
		"no owners and groups": notRun("S5.1", ` -logDtpr`),
		"stale files stay": {row: "S5.2", run: func(c *refCommand, next func() int) int {
			before, times := files(c.Dir), map[string]time.Time{}
			for path := range before {
				if info, err := os.Stat(path); err == nil {
					times[path] = info.ModTime()
				}
			}
			status := next()
			for path, content := range before {
				if _, err := os.Lstat(path); err != nil {
					os.WriteFile(path, content, 0o644)
					os.Chtimes(path, time.Time{}, times[path])
				}
			}
			return status
		}},
		"nothing but archives": notRun("S5.3", ` -ltre`),
		"nothing is deleted":   notRun("S5.4", `--delete-after`),
		"only known letters":   notRun("S5.4", `e\.[a-zA-Z]*[vuI]`),
		"the directory has to be there": {row: "S5.6", run: func(c *refCommand, next func() int) int {
			if _, err := os.Stat(filepath.Join(c.Dir, c.Args[len(c.Args)-1])); c.Upload && err != nil {
				fmt.Fprintln(c.Channel.Stderr(), "rsync: no such directory")
				return 3
			}
			return next()
		}},
		"a directory within the directory": {row: "S5.6", run: func(c *refCommand, next func() int) int {
			if last := &c.Args[len(c.Args)-1]; c.Upload && *last == "origin.dump" {
				*last = "origin.dump/origin.dump"
				os.Mkdir(filepath.Join(c.Dir, "origin.dump"), 0o755)
			}
			return next()
		}},
		"no .zip":    notRun("S5.7", `origin\.zip$`),
		"no .sql":    notRun("S5.7", `origin\.sql$`),
		"no .sql.gz": notRun("S5.7", `origin\.sql\.gz$`),
		"a file under the client's name": {row: "S5.7", run: func(c *refCommand, next func() int) int {
			if name := c.Args[len(c.Args)-1]; c.Upload && strings.HasSuffix(name, ".zip") {
				os.Mkdir(filepath.Join(c.Dir, name), 0o755) // into which rsync puts it, then
			}
			return next()
		}},
		"no archives of pg_dump": {row: "S5.7", run: after(func(c *refCommand) int {
			if info, err := os.Stat(filepath.Join(c.Dir, "origin.dump")); err == nil && c.Upload && !info.IsDir() {
				fmt.Fprintln(c.Channel.Stderr(), "rsync: that should be a directory")
				return 1
			}
			return 0
		})},
		"no directory of old scripts": notRun("S5.8", ` origin/?$`),
		"only what is asked for first": onlyAssumed(fetching("S5.10", func(c *refCommand) {
			i := slices.Index(c.Args, ".")
			c.Args = c.Args[:min(i+2, len(c.Args))]
		})),
		"only what is asked for last": fetching("S5.10", func(c *refCommand) {
			i := slices.Index(c.Args, ".")
			c.Args = append(c.Args[:i+1], c.Args[len(c.Args)-1])
		}),
		"all or nothing": notRun("S5.11", `--ignore-missing-args`),
		"what is absent is missing": fetching("S5.11", func(c *refCommand) {
			c.Args = slices.DeleteFunc(c.Args, func(arg string) bool { return arg == "--ignore-missing-args" })
		}),
		"files are not kept":       onlyAssumed(broken("S5.13", "files not kept after a break")),
		"everything is sent again": runWith("S5.13", "-I"),
		"times are not kept": behind("S5.13", func(c *refCommand) {
			for path := range files(c.Dir) {
				os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour))
			}
		}),
		"results of now": fetching("S5.13", func(c *refCommand) {
			for path := range files(c.Dir) {
				os.Chtimes(path, time.Time{}, time.Now().Add(time.Duration(fetches.Add(1))*time.Minute))
			}
		}),
		"whole files": runWith("S5.14", "-W"),
		"files of other content": behind("S5.14", func(c *refCommand) {
			for path, content := range files(c.Dir) {
				if len(content) > 0 {
					content[len(content)-1] ^= 1
				}
				os.WriteFile(path, content, 0o644)
			}
		}),
		"a protocol of long ago": {row: "S5.15", run: func(c *refCommand, _ func() int) int {
			c.Channel.Write([]byte{19, 0, 0, 0})
			io.CopyN(io.Discard, c.Channel, 4)
			return 2
		}},
		"a protocol of tomorrow": {row: "S5.15", run: func(c *refCommand, next func() int) int {
			var theirs [4]byte
			io.ReadFull(c.Channel, theirs[:])
			fmt.Fprintf(c.Channel.Stderr(), "rsync: version %d is too old\n", theirs[0])
			return 2
		}},
		"ports before paths":     broken("S5.16", "ports before paths not understood"),
		"runs of 256 KiB":        {row: "S5.17", run: longRuns},
		"no protected arguments": broken("S5.18", "-s not understood"),
		"no -v":                  onlyAssumed(notRun("S5.19", `^--server (--\S+ )*-[a-zA-Z]*v[a-zA-Z]*e?`)),
		"no statistics":          onlyAssumed(notRun("S5.19", `--stats`)),
	}
}

// wrongResults break what is taken, and what comes back: section S10.
func wrongResults() map[string]wrongScript {
	renamed := func(row, from, to string) wrongScript {
		return fetching(row, func(c *refCommand) {
			os.Rename(filepath.Join(c.Dir, from), filepath.Join(c.Dir, to))
		})
	}
	without := func(row, name string) wrongScript {
		return fetching(row, func(c *refCommand) { os.RemoveAll(filepath.Join(c.Dir, name)) })
	}
	// named is a server whose dump has another name, which it says.
	named := func(row, from, to string) wrongScript {
		w := renamed(row, from, to)
		w.edit = onResult("transfer/start", func(m map[string]any) {
			if m["dump_name"] == from {
				m["dump_name"] = to
			}
		})
		return w
	}
	rezipped := func(row string, entries ...string) wrongScript {
		return fetching(row, func(c *refCommand) {
			if path := filepath.Join(c.Dir, "upgraded.zip"); files(c.Dir)[path] != nil {
				zipTo(path, entries...)
			}
		})
	}
	taken := func(name string) wrongScript {
		return behind("S10.1", func(c *refCommand) {
			os.Remove(filepath.Join(c.Dir, name)) // which process does not find, then
		})
	}
	return map[string]wrongScript{
		"takes no SQL":            taken("origin.sql"),
		"takes no zip":            taken("origin.zip"),
		"takes no SQL of gzip":    taken("origin.sql.gz"),
		"takes no custom archive": taken("origin.dump"),
		"takes no directory":      taken("origin.dump/toc.dat"),
		"more than was asked for": fetching("S10.2", func(c *refCommand) {
			os.WriteFile(filepath.Join(c.Dir, "more.txt"), []byte("more"), 0o644)
			c.Args = append(c.Args, "more.txt")
		}),
		"no log with the results":                 onlyAssumed(without("S10.2", "upgrade.log")),
		"no report":                               onlyAssumed(without("S10.2", "upgrade-report.html")),
		"the log by another name":                 onlyAssumed(renamed("S10.2", "upgrade.log", "log.txt")),
		"an archive for a directory":              named("S10.3", "upgraded.dump", "upgraded.zip"),
		"a directory by another name":             named("S10.3", "upgraded.dump", "dump"),
		"a directory without a table of contents": without("S10.3", "upgraded.dump/toc.dat"),
		"a file for a directory": fetching("S10.3", func(c *refCommand) {
			path := filepath.Join(c.Dir, "upgraded.dump")
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				os.RemoveAll(path)
				os.WriteFile(path, []byte("PGDMP"), 0o644)
			}
		}),
		"a zip by another name":         onlyAssumed(named("S10.4", "upgraded.zip", "upgrade.zip")),
		"a zip without dump.sql":        rezipped("S10.4", "filestore/"),
		"a zip of the dump alone in it": rezipped("S10.4", "upgraded/dump.sql", "upgraded/filestore/"),
		"a zip without filestore":       onlyAssumed(rezipped("S10.4", "dump.sql")),
		"a zip that is none": fetching("S10.4", func(c *refCommand) {
			if path := filepath.Join(c.Dir, "upgraded.zip"); files(c.Dir)[path] != nil {
				os.WriteFile(path, []byte("-- SQL\n"), 0o644)
			}
		}),
		"a filestore beside the zip": onlyAssumed(fetching("S10.5", func(c *refCommand) {
			if files(c.Dir)[filepath.Join(c.Dir, "upgraded.zip")] != nil {
				os.MkdirAll(filepath.Join(c.Dir, "filestore", "ab"), 0o755)
				os.WriteFile(filepath.Join(c.Dir, "filestore", "ab", "abc"), []byte("x"), 0o644)
			}
		})),
		"another dump": onlyAssumed(fetching("S10.7", func(c *refCommand) {
			for path, content := range files(c.Dir) {
				if strings.HasSuffix(path, ".dat") || strings.HasSuffix(path, ".gz") {
					os.WriteFile(path, append(content, '\n'), 0o644)
				}
			}
		})),
	}
}

// zipTo writes an archive with entries of these names.
func zipTo(path string, entries ...string) {
	out, err := os.Create(path)
	if err != nil {
		return
	}
	defer out.Close()
	z := zip.NewWriter(out)
	defer z.Close()
	for _, name := range entries {
		if w, err := z.Create(name); err == nil && !strings.HasSuffix(name, "/") {
			io.WriteString(w, "-- PostgreSQL database dump\n")
		}
	}
}
