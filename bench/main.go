//go:build linux

// Command bench measures the emulator against the servers whose work it does (OpenSSH's sshd, nginx) and against the
// smallest Go handlers, side by side in one run, with the programs that people use: sftp, curl, wrk. It prints one
// table; machines differ and are noisy, so what counts is the ratios.
//
//	go run ./bench                     everything, at 1 GiB: some minutes
//	go run ./bench -size 64 -only sftp a part of it, smaller
//
// It needs Linux and Debian's packages openssh-client, openssh-server, rsync, nginx-light, curl and wrk. Everything
// listens on loopback and is stopped and removed at the end. The exit status is 1 when something could not be measured,
// and with -strict when a target was missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

func main() {
	size := flag.Int64("size", 1024, "`MiB` that each transfer moves")
	rounds := flag.Int("rounds", 3, "how `often` each pair is measured, taking turns; the median counts")
	files := flag.Int("files", 100_000, "`number` of small files that rsync moves; 0 for none")
	only := flag.String("only", "", "measure only what this regular `expression` matches")
	dir := flag.String("dir", "", "`directory` for the files (default: the system's temporary one)")
	strict := flag.Bool("strict", false, "exit with status 1 when a target was missed")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	missed, err := run(ctx, os.Stdout, os.Stderr, settings{
		size: *size << 20, rounds: max(1, *rounds), files: max(0, *files), only: *only, dir: *dir,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if missed > 0 && *strict {
		os.Exit(1)
	}
}

type settings struct {
	size   int64 // bytes
	rounds int
	files  int
	only   string
	dir    string
}

// bench is one run.
type bench struct {
	settings
	ctx               context.Context
	binary            string // the emulator
	smallest          string // the smallest Go server
	key               string // private key of the SFTP user; its public half is beside it
	publicKey         []byte
	certFile, keyFile string // of the peers' HTTPS
	source            string // the file that is uploaded
	only              *regexp.Regexp
	log               io.Writer
}

// measurements make the rows, in the order of the table.
var measurements = []struct {
	name string
	run  func(*bench) ([]row, error)
}{
	{"start", (*bench).start},
	{"polls", (*bench).polls},
	{"held", (*bench).held},
	{"pages", (*bench).pages},
	{"sftp", (*bench).sftp},
	{"sftp-many", (*bench).sftpMany},
	{"rsync", (*bench).rsync},
	{"upload", (*bench).uploads},
	{"upload-memory", (*bench).uploadMemory},
	{"job", (*bench).job},
	{"certify", (*bench).certify},
}

func run(ctx context.Context, out, log io.Writer, s settings) (missed int, err error) {
	b := &bench{settings: s, ctx: ctx, log: log}
	if b.only, err = regexp.Compile(s.only); err != nil {
		return 0, fmt.Errorf("-only: %w", err)
	}
	if b.dir, err = os.MkdirTemp(s.dir, "upgrademock-bench-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(b.dir)
	if err := b.prepare(); err != nil {
		return 0, err
	}
	var rows []row
	var errs []error
	for _, m := range measurements {
		if !b.only.MatchString(m.name) || ctx.Err() != nil {
			continue
		}
		fmt.Fprintf(log, "measuring %s …\n", m.name)
		began := time.Now()
		got, err := m.run(b)
		rows = append(rows, got...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
		}
		fmt.Fprintf(log, "measured %s in %v\n", m.name, time.Since(began).Round(time.Second))
	}
	fmt.Fprintf(out, "%s, %d CPUs; transfers of %s; the median of %d rounds, taking turns\n\n",
		runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), mib(s.size), s.rounds)
	missed = printTable(out, rows)
	if errs = append(errs, ctx.Err()); errors.Join(errs...) != nil {
		return missed, errors.Join(errs...)
	}
	return missed, nil
}

// prepare makes what every measurement needs.
func (b *bench) prepare() (err error) {
	if b.binary, err = rig.Build(b.ctx, b.dir, "cmd/upgrademock"); err != nil {
		return err
	}
	if b.smallest, err = rig.Build(b.ctx, b.dir, "bench/smallest"); err != nil {
		return err
	}
	b.key = filepath.Join(b.dir, "id_ed25519")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", b.key).CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-keygen: %w\n%s", err, out)
	}
	if b.publicKey, err = os.ReadFile(b.key + ".pub"); err != nil {
		return err
	}
	if b.certFile, b.keyFile, err = writeCertificate(b.dir); err != nil {
		return err
	}
	b.source = filepath.Join(b.dir, "source.dump")
	return writeRandom(b.source, b.size)
}

// writeRandom makes a file that nothing can compress.
func writeRandom(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{}), size)
	return errors.Join(err, f.Close())
}

// perGiB is the cpuUnit of what rate measures.
const perGiB = "s/GiB"

// rate measures how fast work moves its bytes, in MB/s, and what that costs the server, in seconds of processor time
// for each GiB.
func rate(p *rig.Process, bytes int64, work func() error) (sample, error) {
	s, err := duration(p, work)
	s.value = float64(bytes) / 1e6 / s.value
	s.cpu /= float64(bytes) / (1 << 30)
	return s, err
}

// duration measures how long work takes, and what processor time it costs the server, both in seconds.
func duration(p *rig.Process, work func() error) (sample, error) {
	p.ResetPeak()
	before, began := p.CPU(), time.Now()
	err := work()
	s := sample{value: time.Since(began).Seconds()}
	s.cpu, s.peak = (p.CPU() - before).Seconds(), p.Peak()
	return s, err
}

// turns measures ours and the peer's in turns, beginning each round with the other one, and puts the medians into the
// row.
func (b *bench) turns(r row, ours, peer func() (sample, error)) (row, error) {
	var our, their []sample
	for i := range b.rounds {
		both := []struct {
			measure func() (sample, error)
			to      *[]sample
		}{{ours, &our}, {peer, &their}}
		if i%2 == 1 {
			both[0], both[1] = both[1], both[0]
		}
		for _, one := range both {
			if err := b.ctx.Err(); err != nil {
				return r, err
			}
			s, err := one.measure()
			if err != nil {
				return r, fmt.Errorf("%s: %w", r.name, err)
			}
			*one.to = append(*one.to, s)
		}
	}
	m := median(their)
	r.ours, r.peer = median(our), &m
	return r, nil
}

// command runs a program and returns what it wrote to standard output; what it wrote to standard error is in the error.
func (b *bench) command(name string, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", name, err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// emulator starts a fresh emulator with files of its own.
func (b *bench) emulator(flags ...string) (*rig.Emulator, error) {
	dir, err := os.MkdirTemp(b.dir, "emulator-")
	if err != nil {
		return nil, err
	}
	return rig.StartEmulator(b.binary, dir, flags...)
}
