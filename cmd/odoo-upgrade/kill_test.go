package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// TestRun_killed kills "run" at moments spread over its whole way, and runs it again until it ends by itself: one request must
// have been created, the upgraded dump must be right, and over SFTP next to nothing may have been sent twice.
//
// ODOO_UPGRADE_KILLS=100 and ODOO_UPGRADE_DUMP_MIB=64 make it the long test; the moments come from ODOO_UPGRADE_SEED.
func TestRun_killed(t *testing.T) {
	t.Parallel()
	kills := fromEnv(t, "ODOO_UPGRADE_KILLS", 3)
	mib := fromEnv(t, "ODOO_UPGRADE_DUMP_MIB", 4)
	seed := fromEnv(t, "ODOO_UPGRADE_SEED", 1)
	t.Logf("seed %d: ODOO_UPGRADE_SEED=%d repeats it", seed, seed)
	srv := mockservertest.New(t, &mockserver.Options{JournalSize: 1 << 20})
	for _, via := range []string{"https", "sftp"} {
		t.Run(via, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(seed), uint64(len(via))))
			dir := t.TempDir()
			dump := noise(t, dir, "db.dump", mib<<20+5)
			began := time.Now()
			if code, out := child(t, srv, via, dump, filepath.Join(dir, "whole"), "M123456-"+via, 0); code != 0 {
				t.Fatalf("not even undisturbed does it work: %d, %s", code, out)
			}
			whole := time.Since(began)
			for i := range kills {
				after := time.Duration(random.Int64N(int64(whole)))
				contract := fmt.Sprintf("M%d-%s", i, via)
				out := filepath.Join(dir, fmt.Sprintf("out%d", i))
				_, first := child(t, srv, via, dump, out, contract, after)
				code, second := child(t, srv, via, dump, out, contract, 0)
				if strings.Contains(second, "a decision is needed") {
					// The one moment that no client can bridge: see the journey package. It must be as rare as it is short.
					t.Logf("killed after %s, in the moment of create: %s", after, second)
					continue
				}
				if code != 0 || !sameFiles(t, dump, out) {
					t.Errorf("killed after %s: exit code %d\n%s---\n%s", after, code, first, second)
				}
				examine(t, srv, contract, via, after)
			}
		})
	}
}

func fromEnv(t *testing.T, name string, def int) int {
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// child runs "run" in a process of its own, and kills it after a while unless that is zero.
func child(t *testing.T, srv *mockserver.Server, via, dump, out, contract string, kill time.Duration) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if kill > 0 {
		defer time.AfterFunc(kill, cancel).Stop()
	}
	cmd := exec.CommandContext(ctx, os.Args[0], "run", "--url", srv.HTTPSURL(), "--ca-file", srv.CAFile(), "--known-hosts", srv.KnownHostsFile(),
		"--contract", contract, "--email", "a@b.cd", "--target", "8.0", "--aim", "test", "--dump", dump, "--out", out, "--via", via, "--interval", "100ms")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	if kill == 0 && ctx.Err() == nil && err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), both.String()
}

// examine reads the emulator's journal of one contract.
func examine(t *testing.T, srv *mockserver.Server, contract, via string, after time.Duration) {
	t.Helper()
	const window = 2 << 20
	var creates, uploads int
	var sent, top, request int64
	for _, e := range srv.Events(mockserver.Filter{Contract: contract, On: "create"}) {
		creates++
		request = e.Request
	}
	for _, e := range srv.Events(mockserver.Filter{Request: request}) {
		switch e.On {
		case "upload":
			if len(e.Failures) == 0 && e.Checksum != "" {
				uploads++
			}
		case "sftp.put":
			uploads++
		case "sftp.close", "sftp.abort":
			for _, r := range e.Written {
				sent += r.To - r.From
				top = max(top, r.To)
			}
		}
	}
	if creates != 1 {
		t.Errorf("killed after %s: %d requests were created", after, creates)
	}
	if uploads != 1 {
		t.Errorf("killed after %s: the whole dump arrived %d times", after, uploads)
	}
	if twice := sent - top; twice > window {
		t.Errorf("killed after %s: %d bytes were sent twice over %s, the window is %d", after, twice, via, window)
	}
}
