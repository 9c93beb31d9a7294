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

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
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
	eachPair(t, func(t *testing.T, p pair) {
		b := newBed(t, withThe(p.engine))
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
					c := p.client(t, key, b.start(r, platform.Uploading))
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
	eachPair(t, func(t *testing.T, p pair) {
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
					b := newBed(t, withThe(handing(p.engine, files.fs())))
					key := newIdentity(t)
					r := b.request(key)
					forced(t, r)
					c := p.client(t, key, b.start(r, platform.Downloading))
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

// TestRsync_longName sends a file whose path has nearly 4 KB.
func TestRsync_longName(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p pair) {
		b := newBed(t, withThe(p.engine))
		key := newIdentity(t)
		r := b.request(key)
		c := p.client(t, key, b.start(r, platform.Uploading))
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
	eachPair(t, func(t *testing.T, p pair) {
		b := newBed(t, withThe(p.engine))
		key := newIdentity(t)
		r := b.request(key)
		c := p.client(t, key, b.start(r, platform.Uploading))
		for n, size := range []int{300_000, 350_000} {
			files := tree{"toc.dat": noise(1, size)}
			files.write(t, filepath.Join(c.files, "origin.dump"))
			if o := c.upload("V11", "origin.dump/", "origin.dump"); o.err != nil {
				t.Fatal(o)
			}
			wantTree(t, "what arrived", files.below("origin.dump"), received(t, r))
			e := b.sessionOf(t, r, n+1)
			if n == 0 {
				continue
			}
			if e.Received < 50_000 || e.Received > 60_000 || e.Rsync.Saved != e.Size-e.Received || e.Rsync.Skipped != 0 {
				t.Errorf("the second session: %+v, %+v", e, e.Rsync)
			}
		}
	})
}

// TestRsync_stale uploads a dump over another one. What only that had stays where the client deletes nothing, and the
// journal says so.
func TestRsync_stale(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p pair) {
		b := newBed(t, withThe(p.engine))
		key := newIdentity(t)
		r := b.request(key)
		c := p.client(t, key, b.start(r, platform.Uploading))
		files := archive()
		files["9001.dat"], files["9002.dat"] = "of the first", "of the first, too"
		files.write(t, filepath.Join(c.files, "origin.dump"))
		for n, version := range []string{"V1–V8", "V1–V8", "V11"} {
			if o := c.upload(version, "origin.dump/", "origin.dump"); o.err != nil {
				t.Fatal(o)
			}
			if why := b.sessionOf(t, r, n+1).Why; strings.Contains(why, "does not have are in the dump, too: 2;") != (n == 1) {
				t.Errorf("session %d: %q", n+1, why)
			}
			wantTree(t, "what is there", files.below("origin.dump"), received(t, r))
			for _, name := range []string{"9001.dat", "9002.dat"} {
				os.Remove(filepath.Join(c.files, "origin.dump", name))
			}
			if n == 1 {
				delete(files, "9001.dat")
				delete(files, "9002.dat")
			}
		}
	})
}

// TestRsync_directoryByHand sends a directory to where V1 to V7 put one that was given by hand (row S5.8).
func TestRsync_directoryByHand(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p pair) {
		b := newBed(t, withThe(p.engine))
		key := newIdentity(t)
		r := b.request(key)
		c := p.client(t, key, b.start(r, platform.Uploading))
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
	eachPair(t, func(t *testing.T, p pair) {
		b := newBed(t, withThe(p.engine))
		key := newIdentity(t)
		r := b.request(key)
		c := p.client(t, key, b.start(r, platform.Uploading))
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
	eachPair(t, func(t *testing.T, p pair) {
		b := newBed(t, withThe(p.engine))
		n := 20
		if testprog.Sample() {
			n = 6
		}
		var wait sync.WaitGroup
		for i := range n {
			key := newIdentity(t)
			r := b.request(key)
			c := p.client(t, key, b.start(r, platform.Uploading))
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
	eachPair(t, func(t *testing.T, p pair) {
		b := newBed(t, withThe(p.engine))
		key := newIdentity(t)
		r := b.request(key)
		c := p.client(t, key, b.start(r, platform.Uploading))
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
