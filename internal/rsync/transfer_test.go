package rsync_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/upgrademock/upgrademock/internal/rsync"
)

// The ways in which the versions of the upgrade script send.
var uploads = map[string][]string{
	"versions 1 to 8": {"--chmod=u+rwx,g+rwx,o+r", "--info=progress2", "-ar"},
	"version 10":      {"--chmod=u+rwx,g+rwx,o+r", "--info=progress2", "-ar", "--delete-after"},
	"version 11":      {"--info=progress2", "--delete-after", "--recursive", "--links", "--times"},
}

var download = []string{"--info=progress2", "-ar", "--ignore-missing-args"}

// Files by their names; a directory ends with a slash.
type files map[string]string

func (f files) write(tb testing.TB, dir string) {
	tb.Helper()
	when := time.Unix(1_700_000_000, 0)
	for name, text := range f {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			check(tb, os.MkdirAll(path, 0o755))
			continue
		}
		check(tb, os.MkdirAll(filepath.Dir(path), 0o755))
		check(tb, os.WriteFile(path, []byte(text), 0o644))
		check(tb, os.Chtimes(path, when, when))
		when = when.Add(time.Hour)
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// read returns all that is below the directory. What is neither a file nor a directory has its mode for a text.
func read(tb testing.TB, dir string) files {
	tb.Helper()
	f := files{}
	check(tb, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		check(tb, err)
		switch name = filepath.ToSlash(name); {
		case d.IsDir():
			f[name+"/"] = ""
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			check(tb, err)
			f[name] = string(b)
		default:
			f[name] = d.Type().String()
		}
		return nil
	}))
	return f
}

func equal(tb testing.TB, what string, want, got any) {
	tb.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		tb.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

// text is n bytes that no block of another seed has.
func text(seed byte, n int) string {
	b := make([]byte, n)
	state := uint32(seed)*2654435761 + 1
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	return string(b)
}

func sent(name string, n int) rsync.File {
	return rsync.File{Name: name, Size: int64(n), Literal: int64(n)}
}

func skipped(name string, n int) rsync.File {
	return rsync.File{Name: name, Size: int64(n), Matched: int64(n), Skipped: true}
}

var dump = files{"toc.dat": text(1, 5000), "3001.dat.gz": text(2, 300_000), "3002.dat.gz": "", "blobs/1.blob": "b",
	"restore.sql": "--"}

func below(dir string, f files) files {
	all := files{dir + "/": ""}
	for name, text := range f {
		all[dir+"/"+name] = text
		for d := filepath.Dir(name); d != "."; d = filepath.Dir(d) {
			all[dir+"/"+d+"/"] = ""
		}
	}
	return all
}

func TestUpload_directory(t *testing.T) {
	t.Parallel()
	for way, options := range uploads {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			engines(t, func(t *testing.T, s *site) {
				dump.write(t, filepath.Join(s.dir, "origin.dump"))
				for _, target := range []string{"odoo@h:/data/origin.dump", "odoo@h:8443:/data/origin.dump",
					"odoo@[::1]:8443:/data/origin.dump"} {
					r := s.ok(t, append(options, "origin.dump/", target)...)
					equal(t, "files", below("origin.dump", dump), read(t, s.Root))
					want := []rsync.File{sent("origin.dump/3001.dat.gz", 300_000), sent("origin.dump/3002.dat.gz", 0),
						sent("origin.dump/blobs/1.blob", 1), sent("origin.dump/restore.sql", 2), sent("origin.dump/toc.dat", 5000)}
					if strings.Contains(target, "8443") {
						for i := range want {
							want[i] = skipped(want[i].Name, int(want[i].Size))
						}
					}
					equal(t, "report", want, r.Files)
				}
				for name := range dump {
					is, err := os.Stat(filepath.Join(s.Root, "origin.dump", name))
					check(t, err)
					was, err := os.Stat(filepath.Join(s.dir, "origin.dump", name))
					check(t, err)
					if !is.ModTime().Equal(was.ModTime()) || is.Mode() != 0o600 {
						t.Errorf("%s: time %v, mode %v; want time %v, mode 0600", name, is.ModTime(), is.Mode(), was.ModTime())
					}
				}
			})
		})
	}
}

func TestUpload_file(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		files{"my dump.zip": text(3, 100_000), "tiny": "t"}.write(t, s.dir)
		r := s.ok(t, append(uploads["version 11"], "my dump.zip", "odoo@h:443:/data/origin.zip")...)
		equal(t, "report", []rsync.File{sent("origin.zip", 100_000)}, r.Files)
		equal(t, "files", files{"origin.zip": text(3, 100_000)}, read(t, s.Root))

		r = s.ok(t, "tiny", "h:/data/sub/")
		equal(t, "report", []rsync.File{sent("sub/tiny", 1)}, r.Files)
		r = s.ok(t, "tiny", "h:/data/")
		equal(t, "report", []rsync.File{sent("tiny", 1)}, r.Files)
		equal(t, "files", files{"origin.zip": text(3, 100_000), "sub/": "", "sub/tiny": "t", "tiny": "t"}, read(t, s.Root))
	})
}

// What is at the destination gives way when a dump of another form comes.
func TestUpload_otherForm(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		files{"x.dump": "file", "d/toc.dat": "toc", "d/a/b": "1"}.write(t, s.dir)
		options := uploads["versions 1 to 8"]
		s.ok(t, append(options, "x.dump", "h:/data/origin.dump")...)
		equal(t, "files", files{"origin.dump": "file"}, read(t, s.Root))
		s.ok(t, append(options, "d/", "h:/data/origin.dump")...)
		equal(t, "files", below("origin.dump", files{"toc.dat": "toc", "a/b": "1"}), read(t, s.Root))
		s.ok(t, append(options, "x.dump", "h:/data/origin.dump")...)
		equal(t, "files", files{"origin.dump": "file"}, read(t, s.Root))

		s.ok(t, append(options, "d/", "h:/data/origin.dump")...)
		check(t, os.RemoveAll(filepath.Join(s.dir, "d")))
		files{"d/toc.dat/x": "in a directory now", "d/a": "a file now"}.write(t, s.dir)
		s.ok(t, append(options, "d/", "h:/data/origin.dump")...)
		equal(t, "files", below("origin.dump", files{"toc.dat/x": "in a directory now", "a": "a file now"}), read(t, s.Root))
	})
}

func TestUpload_again(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		files{"d/same": text(1, 1000), "d/longer": text(2, 400_000), "d/touched": text(3, 100_000),
			"d/gone": "g", "d/dir/gone": "g", "d/dir2/stays": "s"}.write(t, s.dir)
		s.ok(t, "-ar", "d/", "h:/data/origin.dump")
		check(t, os.WriteFile(filepath.Join(s.dir, "d/longer"), []byte(text(2, 400_000)+text(4, 5000)), 0o644))
		now := time.Now()
		check(t, os.Chtimes(filepath.Join(s.dir, "d/touched"), now, now))
		check(t, os.Remove(filepath.Join(s.dir, "d/gone")))
		check(t, os.RemoveAll(filepath.Join(s.dir, "d/dir")))

		want := files{"same": text(1, 1000), "longer": text(2, 400_000) + text(4, 5000), "touched": text(3, 100_000),
			"gone": "g", "dir/gone": "g", "dir2/stays": "s"}
		r := s.ok(t, "-ar", "d/", "h:/data/origin.dump")
		equal(t, "files", below("origin.dump", want), read(t, s.Root))
		for i, f := range r.Files {
			switch f.Name {
			case "origin.dump/longer":
				if f.Size != 405_000 || f.Matched < 390_000 || f.Matched+f.Literal != f.Size {
					t.Errorf("report %+v", f)
				}
				r.Files[i] = rsync.File{Name: f.Name}
			}
		}
		equal(t, "report", []rsync.File{{Name: "origin.dump/longer"}, {Name: "origin.dump/touched", Size: 100_000,
			Matched: 100_000},
			skipped("origin.dump/dir2/stays", 1), skipped("origin.dump/same", 1000)}, r.Files)

		delete(want, "gone")
		delete(want, "dir/gone")
		for _, option := range []string{"--delete-after", "--delete"} {
			files{"origin.dump/stale/x/y": "", "origin.dump/stale2": "", "origin.dump/stale3": ""}.write(t, s.Root)
			s.ok(t, "-ar", option, "d/", "h:/data/origin.dump")
			equal(t, "files after "+option, below("origin.dump", want), read(t, s.Root))
		}
	})
}

// No link or special file is made, and none that is there is followed.
func TestUpload_special(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		outside := filepath.Join(t.TempDir(), "outside")
		check(t, os.WriteFile(outside, []byte("untouched"), 0o600))
		files{"d/toc.dat": "toc", "d/was-link": "w", "d/zzz": "z", "e/toc.dat": "toc"}.write(t, s.dir)
		check(t, os.Symlink(outside, filepath.Join(s.dir, "d/link")))
		makeSpecial(t, filepath.Join(s.dir, "d"))
		check(t, os.Mkdir(filepath.Join(s.Root, "origin.dump"), 0o700))
		check(t, os.Symlink(outside, filepath.Join(s.Root, "origin.dump/was-link")))
		check(t, os.Symlink(filepath.Dir(outside), filepath.Join(s.Root, "origin.dump/dir-link")))
		check(t, os.Symlink(filepath.Dir(outside), filepath.Join(s.Root, "linked.dump")))

		out, status, r := s.run(t, append(uploads["versions 1 to 8"], "d/", "h:/data/origin.dump")...)
		if status != 0 || !strings.Contains(out, `skipping non-regular file "link"`) {
			t.Errorf("exit status %d, the host's %d (%s)\n%s", status, r.Status, r.Err, out)
		}
		s.ok(t, append(uploads["versions 1 to 8"], "e/", "h:/data/linked.dump")...)
		got := read(t, s.Root)
		equal(t, "files", files{"origin.dump/": "", "origin.dump/toc.dat": "toc", "origin.dump/was-link": "w",
			"origin.dump/zzz": "z",
			"linked.dump/":    "", "linked.dump/toc.dat": "toc"}, got)
		b, err := os.ReadFile(outside)
		check(t, err)
		if string(b) != "untouched" {
			t.Errorf("the file outside has %q", b)
		}
		equal(t, "files outside", files{"outside": "untouched"}, read(t, filepath.Dir(outside)))
	})
}

func TestUpload_protectedArgs(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		s.env = []string{"RSYNC_PROTECT_ARGS=1"}
		dump.write(t, filepath.Join(s.dir, "d"))
		r := s.ok(t, append(uploads["version 10"], "d/", "h:443:/data/or $igin'.dump")...)
		if !strings.HasPrefix(r.Line, "rsync --server -s") || strings.Contains(r.Line, "igin") {
			t.Errorf("the command line is %q", r.Line)
		}
		equal(t, "files", below("or $igin'.dump", dump), read(t, s.Root))
		dump.write(t, s.Files)
		s.ok(t, append(download, "h:443:/data/toc.dat", "h:443:/data/none", "h:/data/blobs", ".")...)
		equal(t, "files", files{"toc.dat": dump["toc.dat"], "blobs/": "", "blobs/1.blob": "b"}, omit(read(t, s.dir), "d/"))
	})
}

func omit(f files, prefix string) files {
	for name := range f {
		if strings.HasPrefix(name, prefix) {
			delete(f, name)
		}
	}
	return f
}

func TestUpload_names(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		odd := files{"new\nline": "1", "-x": "2", "!first": "3", "ünï": "4", "sp ace": "5", ".hidden": "6", "a[b]*?": "7",
			strings.Repeat("l", 255): "8", "deep/" + strings.Repeat("d/", 100) + "x": "9", "#c": "a", "..x": "b", "q'\"\\": "c"}
		odd.write(t, filepath.Join(s.dir, "d"))
		s.ok(t, append(uploads["version 11"], "d/", "h:/data/origin.dump")...)
		equal(t, "files", below("origin.dump", odd), read(t, s.Root))
		r := s.ok(t, append(uploads["version 11"], "d/", "h:/data/origin.dump")...)
		for _, f := range r.Files {
			if !f.Skipped {
				t.Errorf("sent again: %+v", f)
			}
		}
		s.Files = s.Root
		s.ok(t, append(download, "h:/data/origin.dump", ".")...)
		equal(t, "downloaded", below("origin.dump", odd), omit(read(t, s.dir), "d/"))
	})
}

func TestUpload_nothing(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		check(t, os.Mkdir(filepath.Join(s.dir, "d"), 0o700))
		s.ok(t, append(uploads["version 11"], "d/", "h:/data/origin.dump")...)
		equal(t, "files", files{"origin.dump/": ""}, read(t, s.Root))
		s.ok(t, append(uploads["version 11"], "d", "h:/data/origin.dump")...)
		equal(t, "files", files{"origin.dump/": "", "origin.dump/d/": ""}, read(t, s.Root))
	})
}

func TestUpload_bounds(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		dump.write(t, filepath.Join(s.dir, "d"))
		for _, tc := range []struct {
			bytes  int64
			files  int
			says   string
			status uint8
		}{
			{bytes: 305_002, says: "files of more than 305002 bytes together", status: 1},
			{bytes: 305_003},
			{files: 6, says: "more than 6 files and directories", status: 1},
			{files: 7},
		} {
			s.MaxBytes, s.MaxFiles = tc.bytes, tc.files
			check(t, os.RemoveAll(filepath.Join(s.Root, "origin.dump")))
			out, status, r := s.run(t, "-ar", "d/", "h:/data/origin.dump")
			if r.Status != tc.status || (status == 0) != (tc.status == 0) || !strings.Contains(out, tc.says) {
				t.Errorf("%+v: exit status %d, the host's %d (%s)\n%s", tc, status, r.Status, r.Err, out)
			}
			if tc.status != 0 {
				equal(t, "files", files{}, read(t, s.Root))
			}
		}
	})
}

var results = files{"upgraded.dump/toc.dat": text(5, 5000), "upgraded.dump/3001.dat.gz": text(6, 700_000),
	"filestore/aa/aabb": text(7, 100), "filestore/bb/bbcc": "", "upgrade-report.html": "<html>",
	"upgrade.log": text(8, 50_000), "else": "e"}

func TestBreak_upload(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		d := files{"a": text(1, 100_000), "b": text(2, 100_000), "c": text(3, 100_000), "e": ""}
		d.write(t, filepath.Join(s.dir, "d"))
		for way, options := range uploads {
			check(t, os.RemoveAll(filepath.Join(s.Root, "origin.dump")))
			var r report
			for _, cut := range []int64{150_001, 1, 50_000} {
				s.Cut = cut
				var out string
				out, _, r = s.run(t, append(options, "d/", "h:/data/origin.dump")...)
				if r.Status == 0 || !strings.Contains(r.Err, errCut.Error()) {
					t.Errorf("%s: the host's exit status %d (%s)\n%s", way, r.Status, r.Err, out)
				}
				equal(t, way+": files after the break", below("origin.dump", files{"a": d["a"]}), read(t, s.Root))
			}
			equal(t, way+": report", []rsync.File{skipped("origin.dump/a", 100_000)}, r.Files)
			s.Cut = 0
			r = s.ok(t, append(options, "d/", "h:/data/origin.dump")...)
			equal(t, way+": report", []rsync.File{sent("origin.dump/b", 100_000), sent("origin.dump/c", 100_000),
				sent("origin.dump/e", 0), skipped("origin.dump/a", 100_000)}, r.Files)
			equal(t, way+": files", below("origin.dump", d), read(t, s.Root))
		}
		s.Cut, s.CutFile = 77, "origin.dump/b"
		check(t, os.RemoveAll(filepath.Join(s.Root, "origin.dump")))
		_, _, r := s.run(t, "-ar", "d/", "h:/data/origin.dump")
		equal(t, "report of a named file", []rsync.File{sent("origin.dump/a", 100_000)}, r.Files)
	})
}

// tapped returns the lengths of the runs of data that were sent.
func tapped(t *testing.T, tap string, owners int) []int {
	t.Helper()
	b, err := os.ReadFile(tap)
	check(t, err)
	return dataRuns(t, b, owners)
}

// A client that is killed leaves what it has sent whole, and nothing else.
func TestBreak_clientKilled(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		d := files{"a": text(1, 100_000), "b": text(2, 900_000), "c": text(3, 100_000)}
		d.write(t, filepath.Join(s.dir, "d"))
		for range 2 {
			s.Mark = 150_000
			cmd := s.command(t, "-ar", "d/", "h:/data/origin.dump")
			check(t, cmd.Start())
			await(t, s.Report+".mark")
			check(t, cmd.Process.Kill())
			cmd.Wait()
			if r := s.report(t); r.Status == 0 {
				t.Errorf("report %+v", r)
			}
			equal(t, "files after the break", below("origin.dump", files{"a": d["a"]}), read(t, s.Root))
		}
		s.Mark = 0
		r := s.ok(t, "-ar", "d/", "h:/data/origin.dump")
		equal(t, "report", []rsync.File{sent("origin.dump/b", 900_000), sent("origin.dump/c", 100_000),
			skipped("origin.dump/a", 100_000)}, r.Files)
		equal(t, "files", below("origin.dump", d), read(t, s.Root))
	})
}

// A server that was killed has left its temporary file. The next one removes it.
func TestBreak_serverKilled(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		d := files{"a": text(1, 100_000), "b": text(2, 900_000)}
		d.write(t, filepath.Join(s.dir, "d"))
		s.Mark, s.Hang = 500_000, true
		cmd := s.command(t, "-ar", "d/", "h:/data/origin.dump")
		check(t, cmd.Start())
		pid, err := strconv.Atoi(string(await(t, s.Report+".mark")))
		check(t, err)
		server, err := os.FindProcess(pid)
		check(t, err)
		check(t, server.Kill())
		if cmd.Wait() == nil {
			t.Error("the client ended well")
		}
		s.Mark, s.Hang = 0, false
		s.ok(t, "-ar", "d/", "h:/data/origin.dump")
		equal(t, "files", below("origin.dump", d), read(t, s.Root))
	})
}
