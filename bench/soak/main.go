//go:build linux

// Command soak runs the emulator under mixed load and looks at what is left of it afterwards: whole jobs over HTTP with
// curl, over SFTP with sftp, and by the script API with rsync, of which some clients are killed in the middle of a
// transfer and continued by another. Every dump that comes back is compared with the one that was sent.
//
//	go run ./bench/soak               one minute
//	go run ./bench/soak -time 10m -clients 8
//
// At the end, when every request has been forgotten, the emulator must be as it was: as many handles closed as opened,
// the same number of goroutines, file descriptors and files, and no more memory than after its first jobs. The exit
// status is 1 when it is not, or when a job failed.
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
	"sync"
	"sync/atomic"
	"time"

	"github.com/upgrademock/upgrademock/bench/internal/rig"
)

// longest is how long a soak may take.
const longest = 10 * time.Minute

func main() {
	span := flag.Duration("time", time.Minute, "how `long` to keep up the load, ten minutes at most")
	clients := flag.Int("clients", 4, "how `many` jobs run at once")
	seed := flag.Uint64("seed", rand.Uint64(), "`number` that the sizes and the kills are made of")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, min(*span, longest), *clients, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// soak is one run.
type soak struct {
	e         *rig.Emulator
	dir       string
	key       string
	publicKey []byte
	jobs      atomic.Int64
	kills     atomic.Int64
	bytes     atomic.Int64
}

func run(ctx context.Context, out io.Writer, span time.Duration, clients int, seed uint64) error {
	dir, err := os.MkdirTemp("", "upgrademock-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &soak{dir: dir, key: filepath.Join(dir, "id_ed25519")}
	if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
		s.key).CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-keygen: %w\n%s", err, out)
	}
	if s.publicKey, err = os.ReadFile(s.key + ".pub"); err != nil {
		return err
	}
	binary, err := rig.Build(ctx, dir, "cmd/upgrademock")
	if err != nil {
		return err
	}
	files := filepath.Join(dir, "emulator")
	if err := os.Mkdir(files, 0o700); err != nil {
		return err
	}
	// A short journal is full soon, and then the emulator has all the memory that it needs.
	if s.e, err = rig.StartEmulator(binary, files, "--journal-size", "500"); err != nil {
		return err
	}
	defer s.e.Kill()
	fmt.Fprintf(out, "seed %d, %d clients, %v\n", seed, clients, span)

	// The first jobs are a tenth of the time: they make what is made once.
	if err := s.load(ctx, span/10, clients, seed); err != nil {
		return err
	}
	before, err := s.look(ctx, files)
	if err != nil {
		return err
	}
	if err := s.load(ctx, span-span/10, clients, seed+1); err != nil {
		return err
	}
	var after state
	// connections may still be ending
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if after, err = s.look(ctx, files); err != nil {
			return err
		}
		if err = after.compare(before); err == nil || time.Now().After(deadline) {
			break
		}
	}
	fmt.Fprintf(out, "%d jobs, %d clients killed, %.1f GiB there and back\nbefore  %v\nafter   %v\n", s.jobs.Load(),
		s.kills.Load(), float64(s.bytes.Load())/(1<<30), before, after)
	return errors.Join(err, s.e.Stop())
}

// load runs jobs until the time is over or one fails.
func (s *soak) load(ctx context.Context, span time.Duration, clients int, seed uint64) error {
	// What has begun is finished: the time ends the beginning of jobs.
	began := time.Now()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := 0; time.Since(began) < span && ctx.Err() == nil; n++ {
				j := job{soak: s, random: random, dir: filepath.Join(s.dir, fmt.Sprintf("client-%d", i))}
				if err := j.run(ctx); err != nil {
					fail(fmt.Errorf("client %d, job %d: %w", i, n, err))
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
