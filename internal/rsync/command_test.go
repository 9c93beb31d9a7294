package rsync_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/rsync"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, line string
		sender     bool
		paths      []string
	}{
		{"upload of versions 1 to 8", "rsync --server -logDtpre.iLsfxC . /data/origin.dump", false, []string{"origin.dump"}},
		{"upload of versions 9 and 10", "rsync --server -logDtpre.iLsfxCIvu --delete-after . /data/origin.dump",
			false, []string{"origin.dump"}},
		{"upload of version 11", "rsync --server -ltre.iLsfxCIvu --delete-after . /data/origin.sql.gz",
			false, []string{"origin.sql.gz"}},
		{"download", "rsync --server --sender -logDtpre.iLsfxCIvu --ignore-missing-args . /data/upgraded.dump " +
			"/data/filestore /data/upgrade-report.html /data/upgrade.log",
			true, []string{"upgraded.dump", "filestore", "upgrade-report.html", "upgrade.log"}},
		{"a port before the path", "rsync --server -ltre.LsfxCIvu . 8443:/data/origin.zip", false, []string{"origin.zip"}},
		{"a port before each path", "rsync --server --sender -re.i . 1:/data/a 22:/data/b/", true, []string{"a", "b"}},
		{"a name with a colon", "rsync --server -re.i . /data/1:b", false, []string{"1:b"}},
		{"a name with letters before the colon", "rsync --server -re.i . a:b", false, []string{"a:b"}},
		{"relative", "rsync --server -re.i . origin.dump", false, []string{"origin.dump"}},
		{"of all", "rsync --server -re.i . /data", false, []string{"."}},
		{"of all, with a slash", "rsync --server -re.i . /data/", false, []string{"."}},
		{"of all, with a port", "rsync --server -re.i . 443:", false, []string{"."}},
		{"not clean", "rsync --server -re.i . /data//a/./b/../c/", false, []string{"a/c"}},
		{"no letters but e", "rsync --server -e.iLsfxCIvu . /data/x", false, []string{"x"}},
		{"a version of the protocol in e", "rsync --server -re31.14iLsf . /data/x", false, []string{"x"}},
		{"what the client shows", "rsync --server -vvlogDtpre.iLs --log-format=%i --stats --delete . /data/x",
			false, []string{"x"}},
		{"a value with blanks", `rsync --server -re.i "--log-format=%i %n" . /data/x`, false, []string{"x"}},
		{"a backslash", `rsync --server -re.i . /data/or\ igin\'.\$dump`, false, []string{"or igin'.$dump"}},
		{"single quotes", `rsync --server -re.i . '/data/a b\$"c'`, false, []string{`a b\$"c`}},
		{"double quotes", `rsync --server -re.i . "/data/a \"\$\\\x"`, false, []string{`a "$\\x`}},
		{"quotes within a word", `rsync --server -re.i . /da'ta/'"x"y`, false, []string{"xy"}},
		{"quoted letters of the command", `'rsync' "--server" -re.i	.  /data/x `, false, []string{"x"}},
		{"an empty word", `rsync --server -re.i . ''`, false, []string{"."}},
		{"wildcards as they are", `rsync --server -re.i . /data/[a]*?{b,c}`, false, []string{"[a]*?{b,c}"}},
		{"a name that looks like an option", `rsync --server -re.i . ./-x`, false, []string{"-x"}},
		{"a tilde within a word", `rsync --server -re.i . /data/x~`, false, []string{"x~"}},
		{"a line that goes on", "rsync --server -re.i . /data/a\\\nb", false, []string{"ab"}},
		{"a long name", "rsync --server -re.i . /data/" + strings.Repeat("a", 255), false,
			[]string{strings.Repeat("a", 255)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := rsync.Parse(tc.line)
			if err != nil {
				t.Fatal(err)
			}
			if c.Sender != tc.sender || c.Protected {
				t.Errorf("Sender %v, Protected %v", c.Sender, c.Protected)
			}
			if diff := cmp.Diff(tc.paths, c.Paths); diff != "" {
				t.Error("paths (-want +got)\n" + diff)
			}
		})
	}
}

func TestParse_refuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, line, says string }{
		{"nothing", "", "only \"rsync --server\" runs here"},
		{"a shell", "sh -c id", "only \"rsync --server\""},
		{"scp", "scp -t /data", "only \"rsync --server\""},
		{"rsync of a path", "/tmp/rsync --server -re.i . /data/x", "only \"rsync --server\""},
		{"a client", "rsync -a /data/x h:", "only \"rsync --server\""},
		{"a daemon", "rsync --server --daemon .", `"--daemon"`},
		{"compression", "rsync --server -logDtprze.iLsfxCIvu . /data/x", `"-z"`},
		{"a dry run", "rsync --server -nlogDtpre.iLsfxCIvu . /data/x", `"-n"`},
		{"ignore times", "rsync --server -logDtprIe.iLsfxCIvu . /data/x", `"-I"`},
		{"hard links", "rsync --server -Hre.i . /data/x", `"-H"`},
		{"followed links", "rsync --server --sender -Lre.i . /data/x", `"-L"`},
		{"partial files", "rsync --server -re.i --partial . /data/x", `"--partial"`},
		{"a value", "rsync --server -re.i --bwlimit=100 . /data/x", `"--bwlimit"`},
		{"another directory", "rsync --server -re.i --temp-dir /etc . /data/x", `"--temp-dir"`},
		{"in place", "rsync --server -re.i --inplace . /data/x", `"--inplace"`},
		{"a log file", "rsync --server -re.i --log-file=/etc/passwd . /data/x", `"--log-file"`},
		{"files from", "rsync --server -re.i --files-from=/etc/passwd . /data/x", `"--files-from"`},
		{"a log format without a value", "rsync --server -re.i --log-format %i . /data/x", `"--log-format"`},
		{"e without what the client is able to do", "rsync --server -re . /data/x", `"-e"`},
		{"a remote shell", "rsync --server -r -essh . /data/x", `"-essh"`},
		{"a remote shell behind a dot", "rsync --server -r '-e./x;id' . /data/x", `"-e./x;id"`},
		{"a single hyphen", "rsync --server - . /data/x", `"-"`},
		{"a control character", "rsync --server '-\x1b[2J' . /data/x", `\x1b`},
		{"no dot", "rsync --server -re.i /data/x", `"/data/x" before the paths`},
		{"no path", "rsync --server -re.i .", "no path"},
		{"two destinations", "rsync --server -re.i . /data/x /data/y", "one destination"},
		{"absolute", "rsync --server -re.i . /etc/passwd", "not below /data"},
		{"absolute behind a port", "rsync --server -re.i . 22:/etc/passwd", "not below /data"},
		{"a name that begins alike", "rsync --server -re.i . /database", "not below /data"},
		{"up", "rsync --server -re.i . /data/../etc", "not below /data"},
		{"up, relative", "rsync --server -re.i . ../x", "not below /data"},
		{"up, far", "rsync --server -re.i . /data/a/../../../x", "not below /data"},
		{"up, escaped", `rsync --server -re.i . /data/\.\./x`, "not below /data"},
		{"a second command", "rsync --server -re.i . /data/x; id", `';'`},
		{"a pipe", "rsync --server -re.i . /data/x | sh", `'|'`},
		{"another line", "rsync --server -re.i . /data/x\nid", `'\n'`},
		{"a variable", "rsync --server -re.i . /data/$HOME", `'$'`},
		{"a variable in quotes", `rsync --server -re.i . "/data/$HOME"`, `'$'`},
		{"a command in quotes", "rsync --server -re.i . \"/data/`id`\"", "'`'"},
		{"a home directory", "rsync --server -re.i . ~/x", `'~'`},
		{"a comment", "rsync --server -re.i . /data/x #", `'#'`},
		{"a NUL", "rsync --server -re.i . /data/x\x00y", `'\x00'`},
		{"a NUL in quotes", "rsync --server -re.i . '/data/x\x00y'", "NUL"},
		{"an open quote", "rsync --server -re.i . '/data/x", "not closed"},
		{"an open double quote", `rsync --server -re.i . "/data/x`, "not closed"},
		{"a last backslash", `rsync --server -re.i . /data/x\`, "backslash"},
		{"a name of 4 KB", "rsync --server -re.i . /data/" + strings.Repeat("a/", 2048), "longer than 4095"},
		{"many directories in each other", "rsync --server -re.i . /data/" + strings.Repeat("a/", 2000), "more than 128"},
		{"a long element", "rsync --server -re.i . /data/" + strings.Repeat("a", 256), "longer than 255"},
		{"a long line", "rsync --server -re.i --log-format=" + strings.Repeat("a", 1<<20), "longer than 65536"},
		{"many paths", "rsync --server --sender -re.i ." + strings.Repeat(" a", 1001), "more than 1000"},
		{"protected, with paths", "rsync --server -sre.i . /data/x", "-s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := rsync.Parse(tc.line)
			checkRefusal(t, c, err, tc.says)
		})
	}
}

func checkRefusal(t *testing.T, c *rsync.Command, err error, says string) {
	t.Helper()
	r, ok := errors.AsType[*rsync.Refusal](err)
	if !ok {
		t.Fatalf("command %+v, error %v; want a refusal", c, err)
	}
	if !strings.HasPrefix(r.Line, "rsync: refused: ") || !strings.Contains(r.Line, says) {
		t.Errorf("the line %q does not have %q", r.Line, says)
	}
	if strings.ContainsFunc(r.Line, unicode.IsControl) || len(r.Line) > 600 {
		t.Errorf("the line %q is not fit to be shown", r.Line)
	}
}

func TestReadArgs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, line, args string
		paths            []string
	}{
		{"upload", "rsync --server -sltre.iLsfxCIvu", "rsync\x00--delete-after\x00.\x00443:/data/origin.dump\x00\x00",
			[]string{"origin.dump"}},
		{"download", "rsync --server --sender -slogDtpre.iLsfxCIvu",
			"rsync\x00--ignore-missing-args\x00.\x00/data/x y\x00443:/data/filestore\x00\x00", []string{"x y", "filestore"}},
		{"no shell takes them apart", "rsync --server -se.i", "rsync\x00.\x00/data/$a'\\\"~;\x00\x00", []string{`$a'\"~;`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := rsync.Parse(tc.line)
			if err != nil {
				t.Fatal(err)
			}
			if !c.Protected || c.Paths != nil {
				t.Fatalf("Protected %v, Paths %q; want true, none", c.Protected, c.Paths)
			}
			stream := strings.NewReader(tc.args + "next")
			for range 2 {
				if err := c.ReadArgs(stream); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.paths, c.Paths); diff != "" {
					t.Error("paths (-want +got)\n" + diff)
				}
			}
			if rest, _ := io.ReadAll(stream); string(rest) != "next" {
				t.Errorf("left in the stream: %q", rest)
			}
		})
	}
}

func TestReadArgs_refuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, args, says string }{
		{"none", "\x00", "do not begin"},
		{"another program", "sh\x00.\x00/data/x\x00\x00", "do not begin"},
		{"an option", "rsync\x00--partial\x00.\x00/data/x\x00\x00", `"--partial"`},
		{"the other direction", "rsync\x00--sender\x00.\x00/data/x\x00\x00", "--sender"},
		{"no path", "rsync\x00.\x00\x00", "no path"},
		{"no dot", "rsync\x00/data/x\x00\x00", `"/data/x" before the paths`},
		{"leading out", "rsync\x00.\x00/data/../etc\x00\x00", "not below /data"},
		{"no end", strings.Repeat("a", 1<<20), "longer than 65536"},
		{"no end of arguments", strings.Repeat("a\x00", 1<<20), "longer than 65536"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := rsync.Parse("rsync --server -slogDtpre.iLsfxCIvu")
			if err != nil {
				t.Fatal(err)
			}
			err = c.ReadArgs(strings.NewReader(tc.args))
			checkRefusal(t, c, err, tc.says)
			if c.Paths != nil {
				t.Errorf("paths %q", c.Paths)
			}
		})
	}
	t.Run("a stream that ends", func(t *testing.T) {
		t.Parallel()
		c, err := rsync.Parse("rsync --server -slogDtpre.iLsfxCIvu")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ReadArgs(strings.NewReader("rsync\x00.\x00/da")); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error %v; want io.ErrUnexpectedEOF", err)
		}
	})
}

// checkSafe fails the test if a command that was let through could lead out of the directory that is served.
func checkSafe(t *testing.T, c *rsync.Command) {
	t.Helper()
	if !c.Protected && len(c.Paths) == 0 {
		t.Error("no paths")
	}
	if !c.Sender && len(c.Paths) > 1 {
		t.Errorf("an upload to %q", c.Paths)
	}
	for _, p := range c.Paths {
		local := filepath.FromSlash(p)
		if !filepath.IsLocal(local) || filepath.Clean(local) != local || strings.ContainsRune(p, 0) || len(p) > 4095 {
			t.Errorf("path %q", p)
		}
		root := string(os.PathSeparator) + "served"
		if joined := filepath.Join(root, local); joined != root &&
			!strings.HasPrefix(joined, root+string(os.PathSeparator)) {
			t.Errorf("path %q leads to %q", p, joined)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"rsync --server -logDtpre.iLsfxCIvu --delete-after . 8443:/data/or\\ igin\\'.\\$dump",
		"rsync --server --sender -logDtpre.iLsfxCIvu --ignore-missing-args . /data/a '/data/b c' \"/data/\\\"\"",
		"rsync --server -slogDtpre.iLsfxCIvu", "rsync --server -re.i --log-format=%i . /data/../x", "",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := rsync.Parse(line)
		if err != nil {
			checkRefusal(t, c, err, "")
			return
		}
		checkSafe(t, c)
	})
}

func FuzzReadArgs(f *testing.F) {
	f.Add([]byte("rsync\x00--delete-after\x00.\x00443:/data/origin.dump\x00\x00rest"), false)
	f.Add([]byte("rsync\x00--ignore-missing-args\x00.\x00/data/a\x00/data/../b\x00\x00"), true)
	f.Fuzz(func(t *testing.T, args []byte, sender bool) {
		line := "rsync --server -slogDtpre.iLsfxCIvu"
		if sender {
			line = "rsync --server --sender -slogDtpre.iLsfxCIvu"
		}
		c, err := rsync.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ReadArgs(bytes.NewReader(args)); err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				checkRefusal(t, c, err, "")
			}
			return
		}
		if c.Sender != sender {
			t.Error("the direction has changed")
		}
		checkSafe(t, c)
	})
}
