//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

// job is one dump's way there and back.
type job struct {
	*soak
	random *rand.Rand
	dir    string // of this client alone
	size   int64
	r      rig.Request
}

const (
	smallest = 1 << 10
	largest  = 8 << 20
	patience = 2 * time.Minute // for one program
)

// run does the job by one of the two APIs.
func (j *job) run(ctx context.Context) error {
	j.size = smallest + j.random.Int64N(largest-smallest)
	if j.random.IntN(3) == 0 {
		return j.runScript(ctx)
	}
	return j.runDatabase(ctx)
}

// runDatabase is a job by /database/v1: the dump goes up, and comes back, over HTTP or SFTP.
func (j *job) runDatabase(ctx context.Context) error {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(j.dir)
	sent, got := filepath.Join(j.dir, "sent"), filepath.Join(j.dir, "got")
	if err := j.writeRandom(sent, j.size); err != nil {
		return err
	}
	var err error
	if j.r, err = j.e.Share(ctx, j.publicKey); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return j.upload(ctx, sent) },
		func() error { return j.e.Call(ctx, "process", j.r.Query(), "", nil, nil) },
		func() error { return j.poll(ctx) },
		func() error { return j.download(ctx, got) },
		func() error { return same(sent, got) },
		func() error { return j.forget(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("request %d, %d bytes: %w", j.r.ID, j.size, err)
		}
	}
	j.jobs.Add(1)
	j.bytes.Add(2 * j.size)
	return nil
}

// upload sends the dump one way or the other, and does not give up when the client is killed.
func (j *job) upload(ctx context.Context, file string) error {
	if j.random.IntN(2) == 0 {
		base := j.e.URL
		if j.random.IntN(2) == 0 {
			base = j.e.HTTPSURL
		}
		// curl begins again.
		return j.untilDone(ctx, func(int, string) ([]string, error) {
			return []string{"curl", "-sS", "--fail", "--noproxy", "*", "--cacert", j.e.CAFile, "-T", file,
				base + "/database/v1/upload?" + j.r.Query()}, nil
		})
	}
	return j.sftp(ctx, "put", "put -a", file+" "+rig.Filename)
}

// download fetches the upgraded dump one way or the other.
func (j *job) download(ctx context.Context, file string) error {
	if j.random.IntN(2) == 0 {
		url := fmt.Sprintf("%s/database/eu1/%d/%s/upgraded/archive", j.e.URL, j.r.ID, j.r.Key)
		return j.untilDone(ctx, func(_ int, said string) ([]string, error) {
			args := []string{"curl", "-sS", "--fail", "--noproxy", "*", "-o", file, url}
			if !allThere.MatchString(said) {
				args = append(args, "-C", "-")
			}
			return args, nil
		})
	}
	form := strings.NewReader("ssh_keys=" + strings.NewReplacer("+", "%2B", " ", "+", "\n", "%0A").Replace(
		string(j.publicKey)))
	if err := j.e.Call(ctx, "request_sftp_access", j.r.Query(), "application/x-www-form-urlencoded", form,
		nil); err != nil {
		return err
	}
	return j.sftp(ctx, "get", "get -a", "upgraded_"+rig.Filename+" "+file)
}

// allThere is what sftp and curl say, and fail, where the client that was killed had moved every byte and not ended
// yet.
var allThere = regexp.MustCompile(`same size or larger|returned error: 416`)

// sftp moves a file, and continues where an earlier client was killed.
func (j *job) sftp(ctx context.Context, first, again, files string) error {
	batch := filepath.Join(j.dir, "batch")
	return j.untilDone(ctx, func(attempt int, said string) ([]string, error) {
		command := again
		if attempt == 0 || allThere.MatchString(said) {
			command = first
		}
		if err := os.WriteFile(batch, []byte(command+" "+files+"\n"), 0o600); err != nil {
			return nil, err
		}
		return []string{"sftp", "-q", "-b", batch, "-F", "none", "-i", j.key, "-P", strconv.Itoa(j.e.SFTPPort), "-o",
			"StrictHostKeyChecking=yes",
			"-o", "UserKnownHostsFile=" + j.e.KnownHosts, "-o", "LogLevel=ERROR", j.r.User() + "@" + j.e.SFTPHost}, nil
	})
}

// untilDone runs a program, kills it now and then at an instant nobody knows, and then runs it again until it ends by
// itself, which it must do well. The program may depend on the attempt, and on what the one before said.
func (j *job) untilDone(ctx context.Context, program func(attempt int, said string) ([]string, error)) error {
	said := ""
	for attempt := 0; ; attempt++ {
		ctx, cancel := context.WithTimeout(ctx, patience)
		args, err := program(attempt, said)
		if err != nil {
			cancel()
			return err
		}
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			cancel()
			return err
		}
		var killer *time.Timer
		if j.random.IntN(4) == 0 {
			killer = time.AfterFunc(time.Duration(j.random.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
		}
		err = cmd.Wait()
		cancel()
		said = out.String()
		killed := killer != nil && !killer.Stop() && err != nil && cmd.ProcessState.ExitCode() == -1
		switch {
		case killed:
			j.kills.Add(1)
		case attempt > 0 && allThere.MatchString(said):
		case err != nil:
			return fmt.Errorf("%s: %w\n%s", args[0], err, said)
		case strings.Contains(said, `"reason"`):
			return fmt.Errorf("%s: %s", args[0], said)
		default:
			return nil
		}
	}
}

// poll waits for the end of the upgrade, which by default takes a few polls.
func (j *job) poll(ctx context.Context) error {
	for range 10 {
		var answer struct{ Request struct{ State string } }
		if err := j.e.Call(ctx, "status", j.r.Query(), "", nil, &answer); err != nil {
			return err
		}
		if answer.Request.State == "done" {
			return nil
		}
	}
	return errors.New("not done after ten polls")
}

// same compares two files.
func same(sent, got string) error {
	a, err := os.ReadFile(sent)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(got)
	if err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		return fmt.Errorf("%d bytes came back that are not the %d that were sent", len(b), len(a))
	}
	return nil
}

// forget has the emulator forget the request, so that the disk does not fill.
func (j *job) forget(ctx context.Context) error {
	return control(ctx, j.e, http.MethodPost, "reset?request="+strconv.FormatInt(j.r.ID, 10), io.Discard)
}
