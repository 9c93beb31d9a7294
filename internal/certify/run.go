package certify

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/postgres"
	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Placeholders are the words that are replaced in the client's command, and the variable that has the same value.
var Placeholders = []struct{ Word, Variable, Meaning string }{
	{"{dump}", "UPGRADEMOCK_DUMP", "the file to send"},
	{"{out}", "UPGRADEMOCK_OUT", "where the upgraded dump must be written"},
	{"{contract}", "UPGRADEMOCK_CONTRACT", "create's contract"},
	{"{email}", "UPGRADEMOCK_EMAIL", "create's email"},
	{"{target}", "UPGRADEMOCK_TARGET", "create's target"},
	{"{aim}", "UPGRADEMOCK_AIM", "create's aim"},
	{"{filename}", "UPGRADEMOCK_FILENAME", "create's filename"},
	{"{database}", "UPGRADEMOCK_DATABASE", "the database to upgrade, where PGHOST leads; or empty"},
	{"{new_database}", "UPGRADEMOCK_NEW_DATABASE", "the database to make of the upgraded dump"},
	{"{ssh_key}", "UPGRADEMOCK_SSH_KEY", "file of a fresh SSH private key"},
	{"{ssh_pub}", "UPGRADEMOCK_SSH_PUB", "file of its public half"},
	{"{scenario}", "UPGRADEMOCK_SCENARIO", "the scenario's name"},
	{"{via}", "UPGRADEMOCK_VIA", "https or sftp: how to send the dump"},
	{"{url}", "UPGRADE_URL", "the emulator's address"},
	{"{ca_file}", "UPGRADEMOCK_CA_FILE", "the authority to trust"},
	{"{known_hosts}", "UPGRADEMOCK_KNOWN_HOSTS", "a known_hosts file for the SFTP server"},
	{"{cwd}", "UPGRADEMOCK_CWD", "the directory in which certify was called"},
}

// run is one run of the client.
type run struct {
	opts   *Options
	script *scenario.Scenario
	dir    string // of the run; the client's is below it
	here   string
	result *Result

	server *postgres.Server // nil: the client upgrades a dump
	name   string           // of the database to upgrade

	testbed *testbed.Testbed
	params  map[string]string // the parameters of create
	dump    string            // what the client is told to send
	db      *database         // what it is told to upgrade in place of that; or nil
	out     string
	stdout  string // what the client printed
	stderr  string
	ended   child.Result
	late    bool // it had to be ended
}

// run runs the client, and judges it. The error is what kept it from being judged.
func (r *run) run(ctx context.Context) (err error) {
	work := filepath.Join(r.dir, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	if r.opts.Keep == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	}
	if err := r.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.testbed.Close()) }()
	if err := r.execute(ctx, work); err != nil {
		return err
	}
	r.result.Exit, r.result.Seconds = r.ended.Status, math.Round(r.ended.Took.Seconds()*1000)/1000
	r.result.Journal = r.testbed.Server.Events(journal.Filter{})
	r.result.remarks, r.result.skips = r.testbed.Remarks(), r.testbed.Server.Skipped()
	if reason := r.opts.Via.choseOther(r.script, r.result.Journal); reason != "" {
		r.result.skip = reason
		return nil
	}
	known := &mockserver.Run{
		Status: r.ended.Status, Signal: r.ended.Signal, Took: r.ended.Took, TimedOut: r.late,
		Printed: map[string]string{"standard output": r.stdout, "standard error": r.stderr},
		Out:     r.out, Params: r.params, Dump: r.opts.Dump,
	}
	switch sent := sentDump(r.result.Journal, r.opts.Dump); {
	case r.script.Run.Database && sent:
		r.result.skip = "it is about a database, and this client chose to send the dump"
		return nil
	case r.db != nil && !sent:
		known.Dump = ""
		if known.Database, err = r.db.result(ctx, r.script); err != nil {
			return err
		}
	}
	r.judge(known)
	return nil
}

// judge makes the result of what the client did.
func (r *run) judge(known *mockserver.Run) {
	verdicts := r.testbed.Server.Judge(journal.Filter{}, known)
	r.result.Verdict = Pass
	var shown []string
	for _, v := range verdicts {
		if v.Verdict == mockserver.Fail {
			r.result.Verdict = Fail
			f := Failure{Expect: v.Expect, Wanted: v.Wanted, Saw: v.Saw, Hint: v.Hint,
				Lines: around(v.Nearest, r.result.Journal)}
			if slices.Equal(f.Lines, shown) {
				f.Lines = nil
			} else {
				shown = f.Lines
			}
			r.result.Failed = append(r.result.Failed, f)
		}
	}
}

// start starts the test bed.
func (r *run) start() (err error) {
	opts := r.opts.Testbed
	server := mockserver.Options{}
	if opts.Server != nil {
		server = *opts.Server
	}
	server.Scenarios = []*scenario.Scenario{r.script}
	server.JournalWriter = nil
	if server.Skip {
		server.Clock = new(mockserver.ManualClock) // each run has its own
	}
	if r.opts.Keep != "" {
		server.DataDir = filepath.Join(r.dir, "data")
	}
	opts.Server = &server
	r.testbed, err = testbed.Start(opts)
	return err
}

// overScript reports whether the scenario is one of the script API.
func (r *run) overScript() bool { return r.script.When["api"] == scenario.APIScript }

// values are the variables that only certify sets.
func (r *run) values() (_ map[string]string, err error) {
	key, pub := filepath.Join(r.dir, "ssh_key"), filepath.Join(r.dir, "ssh_key.pub")
	if err := makeKeyPair(key, pub); err != nil {
		return nil, fmt.Errorf("make an SSH key: %w", err)
	}
	r.dump = r.opts.Dump
	if r.overScript() { // the upgrade script puts what comes back beside the dump
		if r.dump, err = copyDump(r.opts.Dump, filepath.Join(r.dir, "dump")); err != nil {
			return nil, fmt.Errorf("copy the dump: %w", err)
		}
	}
	r.out = filepath.Join(r.dir, "upgraded_"+filepath.Base(r.params["filename"]))
	values := map[string]string{
		"UPGRADEMOCK_DUMP":     r.dump,
		"UPGRADEMOCK_OUT":      r.out,
		"UPGRADEMOCK_SSH_KEY":  key,
		"UPGRADEMOCK_SSH_PUB":  pub,
		"UPGRADEMOCK_SCENARIO": r.script.Name,
		"UPGRADEMOCK_VIA":      string(r.opts.Via.chosenFor(r.script)),
		"UPGRADEMOCK_CWD":      r.here,

		"UPGRADEMOCK_DATABASE": "", "UPGRADEMOCK_NEW_DATABASE": "",
	}
	if r.db != nil {
		values["UPGRADEMOCK_DATABASE"], values["UPGRADEMOCK_NEW_DATABASE"] = r.db.old, r.db.made
	}
	for _, p := range Placeholders {
		name := strings.ToLower(strings.TrimPrefix(p.Variable, "UPGRADEMOCK_"))
		if value, given := r.params[name]; given {
			values[p.Variable] = value
		}
	}
	return values, nil
}

func makeKeyPair(keyFile, pubFile string) error {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := gossh.MarshalPrivateKey(key, "upgrademock certify")
	if err != nil {
		return err
	}
	sshPub, err := gossh.NewPublicKey(pub)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(keyFile, pem.EncodeToMemory(block), 0o600),
		os.WriteFile(pubFile, gossh.MarshalAuthorizedKey(sshPub), 0o644))
}

func lookup(env []string, name string) string {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// tail is the end of what the client printed.
func (r *run) tail() string {
	const lines = 12
	printed := strings.TrimRight(r.stdout+r.stderr, "\n")
	all := strings.Split(printed, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// took is a time for people.
func took(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
