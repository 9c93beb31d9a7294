package transfer_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/transfer"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// broken is a directory whose upload takes several sessions.
func broken() tree {
	return tree{
		"3301.dat": noise(1, 400_000), "3302.dat": noise(2, 400_000), "3303.dat": noise(3, 400_000),
		"toc.dat": noise(4, 3000),
	}
}

// stale are files of an earlier upload.
var stale = tree{"2201.dat": "old", "sub/2202.dat": "older", "sub/2203.dat": "older still"}

// TestRsync_cut breaks the upload twice at an exact byte. The files that arrived whole are not sent again, those of an
// earlier upload are there until the end, and then are gone.
func TestRsync_cut(t *testing.T) {
	t.Parallel()
	for _, fault := range []scenario.Fault{
		{Disconnect: true, After: 600_000}, {Reset: true, After: 600_000}, {Disconnect: true, File: "3302.*"},
	} {
		fault.On, fault.Skip, fault.Times = scenario.OnRsyncUpload, 1, 2
		t.Run(fault.Action()+" "+fault.File, func(t *testing.T) {
			t.Parallel()
			eachPair(t, func(t *testing.T, p pair) {
				b := newBed(t, withThe(p.engine), with(fault))
				key := newIdentity(t)
				r := b.request(key)
				port := b.start(r, platform.Uploading)
				c := p.client(t, key, port)
				stale.write(t, filepath.Join(c.files, "first"))
				if o := c.upload("V11", "first/", "origin.dump"); o.err != nil {
					t.Fatal(o)
				}
				files := broken()
				files.write(t, filepath.Join(c.files, "origin.dump"))
				for n, want := range []struct {
					exit, count int
					received    int64
				}{{0, 3, stale.size()}, {-1, 1, 600_000}, {-1, 2, 600_000}, {0, 4, 403_000}} {
					if n > 0 {
						o := c.upload("V11", "origin.dump/", "origin.dump")
						if (o.err == nil) != (want.exit == 0) {
							t.Fatalf("session %d: %v", n, o)
						}
					}
					if fault.File != "" && n > 0 {
						want.received = []int64{0, 400_000, 0, 803_000}[n]
						want.count = []int{0, 1, 1, 4}[n]
					}
					e := b.sessionOf(t, r, n+1)
					got := e.Rsync
					if got.Exit != want.exit || got.Count != want.count || e.Received != want.received {
						t.Errorf("session %d: exit %d, %d files, %d bytes; want %+v: %+v", n, got.Exit, got.Count, e.Received,
							want, e)
					}
					if broke := want.exit != 0; (e.Fired != nil) != broke || (e.Why != "") != broke {
						t.Errorf("session %d: fault %q fired at %+v, why %q", n, e.Fault, e.Fired, e.Why)
					}
					if n == 1 || n == 2 {
						for name := range stale {
							if received(t, r)["origin.dump/"+name] == "" {
								t.Errorf("session %d: %s is gone before the end", n, name)
							}
						}
						c = p.client(t, key, b.start(r, platform.Uploading)) // as the script does
						files.write(t, filepath.Join(c.files, "origin.dump"))
					}
				}
				wantTree(t, "what arrived", files.below("origin.dump"), received(t, r))
			})
		})
	}
}

// TestRsync_killed kills the client's rsync, and its ssh, in the middle of a file.
func TestRsync_killed(t *testing.T) {
	t.Parallel()
	for _, victim := range []string{"rsync", "ssh"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			eachPair(t, func(t *testing.T, p pair) {
				const at = 500_000 // bytes after which the client dies
				reached, dead := make(chan struct{}), make(chan struct{})
				var once sync.Once
				b := newBed(t, withThe(serving(func(
					ctx context.Context, s rsync.Stream, c *rsync.Command, j *rsync.Job,
				) (uint8, error) {
					data, total := j.Data, 0
					j.Data = func(name string, offset int64, n int) (int, error) {
						if total += n; total > at {
							once.Do(func() { close(reached) })
							<-dead
						}
						return data(name, offset, n)
					}
					return p.engine.Serve(ctx, s, c, j)
				})))
				key := newIdentity(t)
				r := b.request(key)
				c := p.client(t, key, b.start(r, platform.Uploading))
				files := tree{"3301.dat": noise(1, 400_000), "3302.dat": noise(2, 8_000_000), "toc.dat": noise(4, 3000)}
				files.write(t, filepath.Join(c.files, "origin.dump"))
				pids := filepath.Join(c.dir, "pid")
				wrapper := filepath.Join(c.dir, "ssh")
				script := "#!/bin/sh\necho $$ >" + pids + "\nexec " + c.ssh + " \"$@\"\n"
				if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
				args := append(uploading["V9–V10"](wrapper), "origin.dump/", c.host+":/data/origin.dump")
				cmd, _ := c.command(t.Context(), c.program, args...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				<-reached
				if victim == "rsync" {
					cmd.Process.Kill()
				} else {
					kill(t, pids)
				}
				close(dead)
				if err := cmd.Wait(); err == nil { // ssh outlives rsync until the server has ended
					t.Error("the client has ended well")
				}
				e := b.sessionOf(t, r, 1)
				if e.Rsync.Exit == 0 && e.Why == "" || e.Rsync.Count != 1 {
					t.Errorf("the session that broke: %+v, %+v", e, e.Rsync)
				}
				if got := received(t, r)["origin.dump/3301.dat"]; got != files["3301.dat"] {
					t.Error("the file that had arrived whole is gone")
				}
				if o := c.upload("V9–V10", "origin.dump/", "origin.dump"); o.err != nil {
					t.Fatal(o)
				}
				e = b.sessionOf(t, r, 2)
				if e.Rsync.Skipped != 1 || e.Received != 8_003_000 || e.Rsync.Saved != 400_000 {
					t.Errorf("the session that went on: %+v, %+v", e, e.Rsync)
				}
				wantTree(t, "what arrived", files.below("origin.dump"), received(t, r))
			})
		})
	}
}

// TestRsync_close ends the host while an upload is under way. Nothing of it is left (TestMain looks for goroutines).
func TestRsync_close(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p pair) {
		under, once := make(chan struct{}), new(sync.Once)
		slow := scenario.Fault{On: scenario.OnRsyncUpload, Rate: 256 << 10}
		b := newBed(t, with(slow), withThe(serving(func(
			ctx context.Context, s rsync.Stream, c *rsync.Command, j *rsync.Job,
		) (uint8, error) {
			data := j.Data
			j.Data = func(name string, offset int64, n int) (int, error) {
				once.Do(func() { close(under) })
				return data(name, offset, n)
			}
			return p.engine.Serve(ctx, s, c, j)
		})))
		key := newIdentity(t)
		r := b.request(key)
		c := p.client(t, key, b.start(r, platform.Uploading))
		tree{"toc.dat": strings.Repeat("x", 50_000_000)}.write(t, filepath.Join(c.files, "origin.dump"))
		ended := make(chan outcome)
		go func() { ended <- c.upload("V11", "origin.dump/", "origin.dump") }()
		<-under
		b.Close()
		e := b.journal.of(scenario.OnRsyncUpload)
		if len(e) != 1 || !strings.Contains(e[0].Why, transfer.ErrClosed.Error()) || e[0].Rsync.Exit != journal.NoExit {
			t.Errorf("the session's event: %+v", e)
		}
		if o := <-ended; o.err == nil {
			t.Errorf("the client: %v", o)
		}
	})
}

// TestRsync_cutDownload breaks the download at an exact byte.
func TestRsync_cutDownload(t *testing.T) {
	t.Parallel()
	files := broken().below("upgraded.dump").with(tree{"upgrade.log": noise(5, 50_000)})
	eachPair(t, func(t *testing.T, p pair) {
		fault := scenario.Fault{On: scenario.OnRsyncDownload, Disconnect: true, After: 600_000, Times: 1}
		b := newBed(t, withThe(handing(p.engine, files.fs())), with(fault))
		key := newIdentity(t)
		r := b.request(key)
		forced(t, r)
		c := p.client(t, key, b.start(r, platform.Downloading))
		if _, o := c.download("upgraded.dump"); o.err == nil {
			t.Error("the first download has ended well")
		}
		e := b.sessionOf(t, r, 1)
		if e.Sent != 600_000 || e.Rsync.Count != 2 || e.Rsync.Exit != journal.NoExit ||
			cmp.Diff(&journal.Fired{At: 600_000, Sent: 600_000}, e.Fired) != "" {
			t.Errorf("the first session: %+v, %+v, %+v", e, e.Rsync, e.Fired)
		}
		c = p.client(t, key, b.start(r, platform.Downloading))
		dir, o := c.download("upgraded.dump")
		if o.err != nil {
			t.Fatal(o)
		}
		wantTree(t, "what arrived", files, readTree(t, os.DirFS(dir)))
	})
}

// kill kills the process whose number stands in the file.
func kill(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}
