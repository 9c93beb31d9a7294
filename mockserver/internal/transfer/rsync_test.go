package transfer_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/transfer"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// noise is content that no packing makes smaller, the same for the same seed.
func noise(seed uint64, size int) string {
	b := make([]byte, size)
	var key [32]byte
	key[0] = byte(seed)
	rand.NewChaCha8(key).Read(b)
	return string(b)
}

// archive is a database in the directory format, as far as its names go.
func archive() tree {
	return tree{
		"toc.dat": noise(1, 5000), "3301.dat.gz": noise(2, 300_000), "3302.dat.gz": noise(3, 70_000), "3303.dat.gz": "",
		"blobs/blob_1.dat": "x", "blobs/blobs.toc": "1 blob_1.dat\n", "name with a blank & more": "y",
	}
}

// TestRsync_upload sends a directory and a file in every way of the script.
func TestRsync_upload(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine rsync.Engine) {
		b := newBed(t, withThe(engine))
		for _, version := range versions() {
			for name, with := range map[string]struct {
				host string
				more []string
				env  string
			}{
				"plain":      {host: "odoo@127.0.0.1"},
				"host:port":  {host: "odoo@127.0.0.1:8443"},
				"localhost":  {host: "odoo@localhost"},
				"-s":         {host: "odoo@127.0.0.1", more: []string{"-s"}},
				"protected":  {host: "odoo@127.0.0.1:8443", env: "RSYNC_PROTECT_ARGS=1"},
				"with words": {host: "odoo@127.0.0.1", more: []string{"-v", "--stats"}},
			} {
				if testprog.Sample() && version != "V11" && name != "plain" {
					continue
				}
				t.Run(version+" "+name, func(t *testing.T) {
					t.Parallel()
					key := newIdentity(t)
					r := b.request(key)
					c := newClient(t, key, b.start(r, platform.Uploading))
					c.host = with.host
					if with.env != "" {
						c.env = append(c.env, with.env)
					}
					want := archive()
					want.write(t, filepath.Join(c.files, "origin.dump"))
					if o := c.upload(version, "origin.dump/", "origin.dump", with.more...); o.err != nil {
						t.Fatalf("the directory: %v", o)
					}
					wantTree(t, "what arrived of the directory", want.below("origin.dump"), received(t, r))
					e := b.sessionOf(t, r, 1)
					if e.Received != want.size() || e.Size != want.size() || e.Rsync.Count != len(want) ||
						e.Rsync.Skipped != 0 || e.Rsync.Exit != 0 || e.Why != "" {
						t.Errorf("the event: %+v, %+v", e, e.Rsync)
					}
					if o := c.upload(version, "origin.dump/", "origin.dump", with.more...); o.err != nil {
						t.Fatalf("the directory again: %v", o)
					}
					e = b.sessionOf(t, r, 2)
					if e.Received != 0 || e.Rsync.Skipped != len(want) || e.Rsync.Saved != want.size() {
						t.Errorf("the second time: %+v, %+v", e, e.Rsync)
					}

					zip := noise(9, 200_000)
					tree{"my.zip": zip}.write(t, c.files)
					if o := c.upload(version, "my.zip", "origin.zip", with.more...); o.err != nil {
						t.Fatalf("the file: %v", o)
					}
					if got := received(t, r)["origin.zip"]; got != zip {
						t.Errorf("%d bytes of the file arrived, want %d: %v", len(got), len(zip), names(received(t, r)))
					}
				})
			}
		}
	})
}

func names(tr tree) (list []string) {
	for name := range tr {
		list = append(list, name)
	}
	return list
}

// sessionOf returns the request's nth session of rsync.
func (b *bed) sessionOf(tb testing.TB, r *platform.Request, n int) journal.Event {
	tb.Helper()
	b.journal.awaitThat(tb, func(list []journal.Event) bool { return len(sessions(list, r.ID())) >= n })
	return sessions(b.journal.of(scenario.OnRsyncUpload, scenario.OnRsyncDownload), r.ID())[n-1]
}

func sessions(list []journal.Event, id int64) (found []journal.Event) {
	for _, e := range list {
		if e.Request == id && e.Rsync != nil {
			found = append(found, e)
		}
	}
	return found
}

// handing has downloads take these files in place of the platform's.
func handing(engine rsync.Engine, files fs.FS) serving {
	return func(ctx context.Context, s rsync.Stream, c *rsync.Command, j *rsync.Job) (uint8, error) {
		if c.Sender {
			j.Files = files
		}
		return engine.Serve(ctx, s, c, j)
	}
}

func (tr tree) fs() fstest.MapFS {
	files := fstest.MapFS{}
	for name, content := range tr {
		files[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	return files
}

// TestRsync_download fetches the four results, each of which may be absent.
func TestRsync_download(t *testing.T) {
	t.Parallel()
	dump := archive().below("upgraded.dump")
	report, log := tree{"upgrade-report.html": "<p>"}, tree{"upgrade.log": noise(5, 40_000)}
	filestore := tree{"filestore/ab/ab01": noise(6, 1000), "filestore/cd/cd02": ""}
	eachEngine(t, func(t *testing.T, engine rsync.Engine) {
		for name, files := range map[string]tree{
			"all":          dump.with(report).with(log).with(filestore),
			"no filestore": dump.with(report).with(log),
			"a zip":        {"upgraded.dump": noise(7, 100_000), "upgrade.log": "x"},
			"one":          log,
			"none":         {},
		} {
			for how, more := range map[string][]string{"plain": nil, "-s": {"-s"}} {
				t.Run(name+" "+how, func(t *testing.T) {
					t.Parallel()
					b := newBed(t, withThe(handing(engine, files.fs())))
					key := newIdentity(t)
					r := b.request(key)
					forced(t, r)
					c := newClient(t, key, b.start(r, platform.Downloading))
					if how == "plain" {
						c.host += ":8443"
					}
					dir, o := c.download("upgraded.dump", more...)
					if o.err != nil {
						t.Fatal(o)
					}
					wantTree(t, "what arrived", files, readTree(t, os.DirFS(dir)))
					e := b.sessionOf(t, r, 1)
					if e.On != scenario.OnRsyncDownload || e.Sent != files.size() || e.Received != 0 ||
						e.Rsync.Exit != 0 || e.Rsync.Count != len(files) || e.Why != "" {
						t.Errorf("the event: %+v, %+v", e, e.Rsync)
					}
				})
			}
		}
	})
}

// broken is a directory whose upload takes several sessions.
func broken() tree {
	return tree{
		"3301.dat": noise(1, 400_000), "3302.dat": noise(2, 400_000), "3303.dat": noise(3, 400_000), "toc.dat": noise(4, 3000),
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
			eachEngine(t, func(t *testing.T, engine rsync.Engine) {
				b := newBed(t, withThe(engine), with(fault))
				key := newIdentity(t)
				r := b.request(key)
				port := b.start(r, platform.Uploading)
				c := newClient(t, key, port)
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
						c = newClient(t, key, b.start(r, platform.Uploading)) // as the script does
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
			eachEngine(t, func(t *testing.T, engine rsync.Engine) {
				const at = 500_000 // bytes after which the client dies
				reached, dead := make(chan struct{}), make(chan struct{})
				var once sync.Once
				b := newBed(t, withThe(serving(func(ctx context.Context, s rsync.Stream, c *rsync.Command, j *rsync.Job) (uint8, error) {
					data, total := j.Data, 0
					j.Data = func(name string, offset int64, n int) (int, error) {
						if total += n; total > at {
							once.Do(func() { close(reached) })
							<-dead
						}
						return data(name, offset, n)
					}
					return engine.Serve(ctx, s, c, j)
				})))
				key := newIdentity(t)
				r := b.request(key)
				c := newClient(t, key, b.start(r, platform.Uploading))
				files := tree{"3301.dat": noise(1, 400_000), "3302.dat": noise(2, 8_000_000), "toc.dat": noise(4, 3000)}
				files.write(t, filepath.Join(c.files, "origin.dump"))
				pids := filepath.Join(c.dir, "pid")
				wrapper := filepath.Join(c.dir, "ssh")
				script := "#!/bin/sh\necho $$ >" + pids + "\nexec " + c.ssh + " \"$@\"\n"
				if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
				args := append(uploading["V9–V10"](wrapper), "origin.dump/", c.host+":/data/origin.dump")
				cmd, _ := c.command(t.Context(), testprog.Need(t, "rsync", "rsync"), args...)
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
	eachEngine(t, func(t *testing.T, engine rsync.Engine) {
		under, once := make(chan struct{}), new(sync.Once)
		slow := scenario.Fault{On: scenario.OnRsyncUpload, Rate: 256 << 10}
		b := newBed(t, with(slow), withThe(serving(func(ctx context.Context, s rsync.Stream, c *rsync.Command, j *rsync.Job) (uint8, error) {
			data := j.Data
			j.Data = func(name string, offset int64, n int) (int, error) {
				once.Do(func() { close(under) })
				return data(name, offset, n)
			}
			return engine.Serve(ctx, s, c, j)
		})))
		key := newIdentity(t)
		r := b.request(key)
		c := newClient(t, key, b.start(r, platform.Uploading))
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
	eachEngine(t, func(t *testing.T, engine rsync.Engine) {
		fault := scenario.Fault{On: scenario.OnRsyncDownload, Disconnect: true, After: 600_000, Times: 1}
		b := newBed(t, withThe(handing(engine, files.fs())), with(fault))
		key := newIdentity(t)
		r := b.request(key)
		forced(t, r)
		c := newClient(t, key, b.start(r, platform.Downloading))
		if _, o := c.download("upgraded.dump"); o.err == nil {
			t.Error("the first download has ended well")
		}
		e := b.sessionOf(t, r, 1)
		if e.Sent != 600_000 || e.Rsync.Count != 2 || e.Rsync.Exit != journal.NoExit ||
			cmp.Diff(&journal.Fired{At: 600_000, Sent: 600_000}, e.Fired) != "" {
			t.Errorf("the first session: %+v, %+v, %+v", e, e.Rsync, e.Fired)
		}
		c = newClient(t, key, b.start(r, platform.Downloading))
		dir, o := c.download("upgraded.dump")
		if o.err != nil {
			t.Fatal(o)
		}
		wantTree(t, "what arrived", files, readTree(t, os.DirFS(dir)))
	})
}

// TestRsync_longName sends a file whose path has nearly 4 KB.
func TestRsync_longName(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine rsync.Engine) {
		b := newBed(t, withThe(engine))
		key := newIdentity(t)
		r := b.request(key)
		c := newClient(t, key, b.start(r, platform.Uploading))
		name := strings.Repeat(strings.Repeat("n", 200)+"/", 18) + strings.Repeat("m", 200)
		files := tree{name: "deep", "toc.dat": "x"}
		files.write(t, filepath.Join(c.files, "origin.dump"))
		if o := c.upload("V11", "origin.dump/", "origin.dump"); o.err != nil {
			t.Fatal(o)
		}
		wantTree(t, "what arrived", files.below("origin.dump"), received(t, r))
	})
}

// TestRsync_differences sends a file again that has grown: only what is new goes over the wire.
func TestRsync_differences(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine rsync.Engine) {
		b := newBed(t, withThe(engine))
		key := newIdentity(t)
		r := b.request(key)
		c := newClient(t, key, b.start(r, platform.Uploading))
		for n, size := range []int{300_000, 350_000} {
			files := tree{"toc.dat": noise(1, size)}
			files.write(t, filepath.Join(c.files, "origin.dump"))
			if o := c.upload("V11", "origin.dump/", "origin.dump"); o.err != nil {
				t.Fatal(o)
			}
			wantTree(t, "what arrived", files.below("origin.dump"), received(t, r))
			e := b.sessionOf(t, r, n+1)
			if n == 1 && (e.Received < 50_000 || e.Received > 60_000 || e.Rsync.Saved != e.Size-e.Received || e.Rsync.Skipped != 0) {
				t.Errorf("the second session: %+v, %+v", e, e.Rsync)
			}
		}
	})
}

// TestRsync_directoryByHand sends a directory to where V1 to V7 put one that was given by hand (row S5.8).
func TestRsync_directoryByHand(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine rsync.Engine) {
		b := newBed(t, withThe(engine))
		key := newIdentity(t)
		r := b.request(key)
		c := newClient(t, key, b.start(r, platform.Uploading))
		files := archive()
		files.write(t, filepath.Join(c.files, "my"))
		if o := c.upload("V1–V8", "my/", "origin"); o.err != nil {
			t.Fatal(o)
		}
		wantTree(t, "what arrived", files.below("origin"), received(t, r))
	})
}

// TestRsync_emptyDirectory sends a directory in which nothing is.
func TestRsync_emptyDirectory(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine rsync.Engine) {
		b := newBed(t, withThe(engine))
		key := newIdentity(t)
		r := b.request(key)
		c := newClient(t, key, b.start(r, platform.Uploading))
		tree{}.write(t, filepath.Join(c.files, "origin.dump"))
		if o := c.upload("V9–V10", "origin.dump/", "origin.dump"); o.err != nil {
			t.Fatal(o)
		}
		if e := b.sessionOf(t, r, 1); e.Rsync.Count != 0 || e.Rsync.Exit != 0 {
			t.Errorf("the event: %+v, %+v", e, e.Rsync)
		}
	})
}

// TestRsync_many has twenty transfers at once.
func TestRsync_many(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine rsync.Engine) {
		b := newBed(t, withThe(engine))
		n := 20
		if testprog.Sample() {
			n = 6
		}
		var wait sync.WaitGroup
		for i := range n {
			key := newIdentity(t)
			r := b.request(key)
			c := newClient(t, key, b.start(r, platform.Uploading))
			files := tree{"toc.dat": noise(uint64(i), 200_000), "3301.dat": fmt.Sprint(i)}
			files.write(t, filepath.Join(c.files, "origin.dump"))
			wait.Go(func() {
				if o := c.upload("V11", "origin.dump/", "origin.dump"); o.err != nil {
					t.Errorf("transfer %d: %v", i, o)
					return
				}
				wantTree(t, fmt.Sprint("transfer ", i), files.below("origin.dump"), received(t, r))
			})
		}
		wait.Wait()
	})
}

// TestRsync_refused shows the client why its rsync is not served.
func TestRsync_refused(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine rsync.Engine) {
		b := newBed(t, withThe(engine))
		key := newIdentity(t)
		r := b.request(key)
		c := newClient(t, key, b.start(r, platform.Uploading))
		tree{"toc.dat": "x"}.write(t, filepath.Join(c.files, "origin.dump"))
		for option, says := range map[string]string{"-z": "rsync: refused", "--partial": "rsync: refused"} {
			if o := c.upload("V11", "origin.dump/", "origin.dump", option); o.err == nil ||
				!strings.Contains(oneLine(o.stderr), says) {
				t.Errorf("with %s: %v", option, o)
			}
		}
		if dir, o := c.download("upgraded.dump"); o.err == nil || !strings.Contains(o.stderr, "upload") {
			t.Errorf("a download at the port of an upload: %v", o)
		} else if got := readTree(t, os.DirFS(dir)); len(got) > 0 {
			t.Errorf("it brought %v", names(got))
		}
	})
}
