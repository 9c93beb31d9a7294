package rsync_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/internal/rsync"
)

func TestDownload(t *testing.T) {
	t.Parallel()
	sources := []string{"odoo@h:443:/data/upgraded.dump", "odoo@h:443:/data/filestore",
		"odoo@h:443:/data/upgrade-report.html",
		"odoo@h:443:/data/upgrade.log"}
	engines(t, func(t *testing.T, s *site) {
		results.write(t, s.Files)
		check(t, os.Symlink("/etc/passwd", filepath.Join(s.Files, "filestore/link")))
		makeSpecial(t, filepath.Join(s.Files, "filestore"))
		r := s.ok(t, append(download, append(sources, ".")...)...)
		want := []rsync.File{sent("filestore/aa/aabb", 100), sent("filestore/bb/bbcc", 0), sent("upgrade-report.html", 6),
			sent("upgrade.log", 50_000), sent("upgraded.dump/3001.dat.gz", 700_000), sent("upgraded.dump/toc.dat", 5000)}
		equal(t, "report", want, r.Files)
		all := read(t, s.Files)
		for _, name := range []string{"else", "filestore/link", "filestore/fifo", "filestore/socket", "filestore/device"} {
			delete(all, name)
		}
		equal(t, "files", all, read(t, s.dir))

		r = s.ok(t, append(download, append(sources, ".")...)...)
		for i, f := range want {
			want[i] = skipped(f.Name, int(f.Size))
		}
		equal(t, "second report", want, r.Files)
	})
}

// Each of the sources may be absent.
func TestDownload_absent(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		args := append(download, "h:/data/upgraded.dump", "h:/data/filestore", "h:/data/upgrade-report.html",
			"h:/data/upgrade.log", ".")
		r := s.ok(t, args...)
		equal(t, "report", []rsync.File{}, r.Files)
		equal(t, "files", files{}, read(t, s.dir))
		here := files{}
		for _, f := range []files{{"upgrade.log": ""}, {"filestore/": ""}, {"upgrade-report.html": "r"},
			{"upgraded.dump/toc.dat": "t"}} {
			f.write(t, s.Files)
			for name, text := range f {
				here[name] = text
			}
			here["upgraded.dump/"] = ""
			if here["upgraded.dump/toc.dat"] == "" {
				delete(here, "upgraded.dump/")
			}
			s.ok(t, args...)
			equal(t, "files", here, read(t, s.dir))
		}
	})
}

func TestDownload_byHand(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		results.write(t, s.Files)
		s.ok(t, "-rv", "--stats", "--out-format=%i %n", "h:/data/filestore/", "h:/data/upgrade.log", "out")
		equal(t, "contents", files{"out/": "", "out/aa/": "", "out/aa/aabb": results["filestore/aa/aabb"], "out/bb/": "",
			"out/bb/bbcc":     "",
			"out/upgrade.log": results["upgrade.log"]}, read(t, s.dir))
		s.ok(t, "-a", "h:/data", "all")
		equal(t, "all", read(t, s.Files), read(t, filepath.Join(s.dir, "all/data")))
		s.ok(t, "-a", "h:/data/", "h:/data/filestore/aa/aabb", "all2")
		want := read(t, s.Files)
		want["aabb"] = results["filestore/aa/aabb"]
		equal(t, "all, with slash", want, read(t, filepath.Join(s.dir, "all2")))

		out, status, r := s.run(t, "-a", "h:/data/none", "h:/data/else", "three/")
		if status != 23 || r.Status != 23 || !strings.Contains(out, `"/data/none": file does not exist`) {
			t.Errorf("a source that is absent: exit status %d, the host's %d\n%s", status, r.Status, out)
		}
		equal(t, "the other source", files{"else": "e"}, read(t, filepath.Join(s.dir, "three")))
		out, status, _ = s.run(t, "-a", "--exclude=*.dat", "h:/data/else", "four")
		if status == 0 || !strings.Contains(out, "leave out --exclude") {
			t.Errorf("with filter rules: exit status %d\n%s", status, out)
		}
	})
}

func TestDownload_delta(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		big, other := text(1, 1_000_000), text(9, 100)
		files{"grown": big + other, "cut": big[:500_000], "emptied": "", "shifted": other + big, "tiny": "x",
			"touched": big, "moved": big[400_001:] + big[:400_001], "changed": big[:600_000] + other + big[600_100:],
			"zeros": strings.Repeat("\x00", 300_000), "short": text(3, 500)}.write(t, s.Files)
		old := files{"grown": big, "cut": big, "emptied": big, "shifted": big, "tiny": big, "touched": big, "moved": big,
			"changed": big, "zeros": strings.Repeat("\x00", 200_100), "short": text(3, 500)}
		for name, text := range old {
			check(t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
		}
		r := s.ok(t, "-r", "--no-whole-file", "-t", "h:/data/", ".")
		equal(t, "files", read(t, s.Files), read(t, s.dir))
		for _, f := range r.Files {
			most := int64(3000)
			if f.Name == "tiny" || f.Name == "emptied" || f.Name == "short" {
				most = 1
			}
			if f.Literal > most || f.Literal+f.Matched != f.Size || f.Size != int64(len(read(t, s.Files)[f.Name])) {
				t.Errorf("report %+v", f)
			}
		}
	})
}

func TestBreak_download(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		files{"a": text(1, 100_000), "b": text(2, 100_000), "c": text(3, 100_000)}.write(t, s.Files)
		for _, cut := range []int64{1, 99_999, 150_001} {
			s.Cut, s.Tap = cut, s.Report+".tap"
			out, status, r := s.run(t, "-ar", "h:/data/", ".")
			if status == 0 || r.Status == 0 || !strings.Contains(r.Err, errCut.Error()) {
				t.Errorf("cut at %d: exit status %d, the host's %d (%s)\n%s", cut, status, r.Status, r.Err, out)
			}
			runs := tapped(t, s.Tap, 8)
			total := int64(0)
			for _, n := range runs {
				total += int64(n)
			}
			if total != cut {
				t.Errorf("cut at %d: %d bytes of file data were sent", cut, total)
			}
		}
		s.Cut, s.Tap = 0, ""
		s.ok(t, "-ar", "h:/data/", ".")
		equal(t, "files", read(t, s.Files), read(t, s.dir))
	})
}

// No run of data is longer than what every client takes.
func TestDownload_runs(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		files{"big": text(1, 3_000_000), "small": "s", "part": text(2, 500_000)}.write(t, s.Files)
		check(t, os.WriteFile(filepath.Join(s.dir, "part"), []byte(text(2, 100_000)), 0o644))
		s.Tap = s.Report + ".tap"
		s.ok(t, "-r", "--no-whole-file", "h:/data/", ".")
		equal(t, "files", read(t, s.Files), read(t, s.dir))
		runs := tapped(t, s.Tap, 0)
		if len(runs) < 90 {
			t.Errorf("%d runs", len(runs))
		}
		for _, n := range runs {
			if n > 32<<10 {
				t.Errorf("a run of %d bytes", n)
			}
		}
	})
}
