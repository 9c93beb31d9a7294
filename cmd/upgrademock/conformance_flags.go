package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/internal/shard"
)

// read turns the flags into options; every error is a wrong command line.
func (f *conformanceFlags) read() (err error) {
	if f.opts.Level, err = conformance.ParseLevel(f.level); err != nil {
		return err
	}
	if f.opts.API, err = conformance.ParseAPI(f.api); err != nil {
		return fmt.Errorf("--api %q: want database, script or all", f.api)
	}
	if f.opts.Run, err = idPattern("run", f.run); err != nil {
		return err
	}
	if f.opts.Skip, err = idPattern("skip", f.skip); err != nil {
		return err
	}
	if f.base != "" {
		file, err := os.Open(f.base)
		if err != nil {
			return fmt.Errorf("--baseline %s: %w", f.base, reasonOf(err))
		}
		defer file.Close()
		if f.opts.Baseline, err = conformance.ReadBaseline(file); err != nil {
			return fmt.Errorf("--baseline %s: %w", f.base, err)
		}
	}
	if f.caFile != "" {
		pem, err := safefile.ReadNamed(f.caFile, 16<<20)
		if err != nil {
			return fmt.Errorf("--ca-file %s: %w", f.caFile, reasonOf(err))
		}
		f.opts.RootCAs = x509.NewCertPool()
		if !f.opts.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--ca-file %s: no certificate in it", f.caFile)
		}
	}
	if f.dump != "" {
		if f.opts.Dump, err = safefile.ReadNamed(f.dump, 1<<30); err != nil {
			return fmt.Errorf("--dump %s: %w", f.dump, reasonOf(err))
		}
		if len(f.opts.Dump) == 0 {
			return fmt.Errorf("--dump %s: the file is empty", f.dump)
		}
	}
	if f.resume != "" {
		data, err := safefile.ReadNamed(f.resume, 1<<20)
		if err != nil {
			return fmt.Errorf("--resume-from %s: %w", f.resume, reasonOf(err))
		}
		if err := json.Unmarshal(data, &f.opts.Resume); err != nil || f.opts.Resume == nil || f.opts.Resume.Key == "" {
			return fmt.Errorf("--resume-from %s: not a file that a run has left", f.resume)
		}
		if f.target.URL == "" {
			f.target.URL = f.opts.Resume.URL
		}
		if f.target.Contract == "" {
			f.target.Contract = f.opts.Resume.Param("contract")
		}
		if f.save == "" {
			f.save = f.resume
		}
	}
	for flag, file := range map[string]string{"save": f.save, "record": f.record} {
		if err := checkOutput(flag, file); err != nil {
			return err
		}
	}
	switch f.colour {
	case "auto", "always", "never":
	default:
		return fmt.Errorf("--color %q: want auto, always or never", f.colour)
	}
	return nil
}

// idPattern reads the regular expression of a flag; nil if there is none.
func idPattern(flag, text string) (*regexp.Regexp, error) {
	if text == "" {
		return nil, nil
	}
	re, err := regexp.Compile(text)
	if cause, ok := errors.AsType[*syntax.Error](err); ok {
		return nil, fmt.Errorf("--%s %q: this is no regular expression (%s); wanted one such as '^sftp/'",
			flag, text, cause.Code)
	}
	return re, err
}

// check looks at what a run needs beyond flags that can be read.
func (f *conformanceFlags) check() error {
	u, err := conformance.BaseURL(f.target.URL)
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	if f.target.PublicURL != "" {
		if _, err := conformance.BaseURL(f.target.PublicURL); err != nil {
			return fmt.Errorf("--public-url: %w", err)
		}
	}
	if f.target.SFTPAddr != "" {
		if _, port, err := net.SplitHostPort(f.target.SFTPAddr); err != nil || !isPort(port) {
			return fmt.Errorf("--sftp-addr %q: want HOST:PORT, as 127.0.0.1:2200", f.target.SFTPAddr)
		}
	}
	for name, d := range map[string]time.Duration{"timeout": f.opts.Timeout, "call-timeout": f.opts.CallTimeout,
		"pause": f.opts.Pause} {
		if d < 0 {
			return fmt.Errorf("--%s %v: want a time that is not negative, as 30s", name, d)
		}
	}
	if f.opts.Parallel < 0 {
		return fmt.Errorf("--parallel %d: want a number that is not negative", f.opts.Parallel)
	}
	if f.target.Contract == "" {
		return errors.New("--contract is needed: a reference that the server knows, such as M123456-abcdef")
	}
	if !f.opts.Production && !conformance.Loopback(u) {
		return fmt.Errorf("%s is not on this machine: if it is yours to ask, --production asks it as a shared "+
			"platform must be asked: slowly, and with one request", u.Host)
	}
	if f.opts.Production && f.opts.Level == conformance.LevelAssumed {
		return errors.New("--level assumed is not for production: what is only assumed can't be held against it")
	}
	if err := f.selects(); err != nil {
		return err
	}
	if f.opts.Production && f.target.Email == "" && f.opts.API != conformance.APIScript &&
		(f.opts.Resume == nil || f.opts.Resume.API != conformance.APIScript) {
		return errors.New("--production needs --email, or --api script: by the other API the platform writes to it")
	}
	if f.opts.Production && f.save == "" {
		f.save = "upgrademock-conformance.json"
	}
	return nil
}

// isPort reports whether text is the number of a TCP port.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// selected are the checks that the flags leave, at a level.
func (f *conformanceFlags) selected(level conformance.Level) []conformance.Info {
	return slices.DeleteFunc(conformance.Checks(), func(c conformance.Info) bool {
		return !level.Covers(c.Evidence) || !f.opts.API.Covers(c.API) ||
			f.opts.Run != nil && !f.opts.Run.MatchString(c.ID) ||
			f.opts.Skip != nil && f.opts.Skip.MatchString(c.ID) ||
			f.opts.Production && !c.Gentle
	})
}

// share leaves of the checks only those of the flag shard.
func (f *conformanceFlags) share(selected []conformance.Info) (err error) {
	if f.shard == "" {
		return nil
	}
	if f.part, err = shard.Parse(f.shard, os.Getenv); err != nil {
		return fmt.Errorf("--shard: %w", err)
	}
	var ids []string
	for _, check := range selected {
		f.of = append(f.of, check.ID)
	}
	for _, check := range shard.Pick(f.part, selected, func(c conformance.Info) string { return c.ID }, cost) {
		ids = append(ids, regexp.QuoteMeta(check.ID))
	}
	f.nothing = len(ids) == 0
	f.opts.Run, err = regexp.Compile("^(?:" + strings.Join(ids, "|") + ")$")
	return err
}

// cost is what a check takes in proportion to others: a call, a login, an upload, the time until an upgrade has ended.
func cost(c conformance.Info) time.Duration {
	sum := time.Duration(1)
	for _, need := range strings.Split(c.Needs, ",") {
		sum += map[string]time.Duration{"writes": 1, "sftp": 2, "rsync": 4, "process": 4, "waits": 10}[need]
	}
	return sum
}

// selects is the error of flags that leave no check to make.
func (f *conformanceFlags) selects() error {
	if selected := f.selected(f.opts.Level); len(selected) > 0 {
		return f.share(selected)
	}
	var flags []string
	for _, flag := range [][2]string{{"--api", f.api}, {"--run", f.run}, {"--skip", f.skip}} {
		if flag[1] != "" {
			flags = append(flags, fmt.Sprintf("%s %q", flag[0], flag[1]))
		}
	}
	if assumed := f.selected(conformance.LevelAssumed); len(assumed) > 0 && !f.opts.Production {
		return fmt.Errorf("%s: no check at --level %s is left; --level assumed has %d, as %s",
			strings.Join(flags, " "), f.opts.Level, len(assumed), assumed[0].ID)
	}
	return fmt.Errorf("%s: no check is left; conformance --list shows their ids", strings.Join(flags, " "))
}
