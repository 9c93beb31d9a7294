package dump_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// theDump is a dump as pg_dump begins one.
const theDump = "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 9.4.5\n\nSELECT 1;\n"

// containers are all ways to keep some files in one.
var containers = map[string]func(tb testing.TB, members ...member) string{
	"tar": func(tb testing.TB, members ...member) string {
		var b bytes.Buffer
		if err := packTar(&b, members...); err != nil {
			tb.Fatal(err)
		}
		return b.String()
	},
	"zip":       func(tb testing.TB, members ...member) string { return zipped(tb, zip.Deflate, members...) },
	"storedzip": func(tb testing.TB, members ...member) string { return zipped(tb, zip.Store, members...) },
}

func zipped(tb testing.TB, method uint16, members ...member) string {
	tb.Helper()
	var b bytes.Buffer
	if err := packZip(&b, method, members...); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// inEveryContainer calls each with the members in a tar and in zips, which can be read at random or are a stream
// inside another packing; the packings are those that Sniff lists before those of what is found.
func inEveryContainer(t *testing.T, members []member, each func(t *testing.T, b []byte, packings []string)) {
	t.Helper()
	for container, pack := range containers {
		t.Run(container, func(t *testing.T) {
			t.Parallel()
			b, packings := pack(t, members...), []string{strings.TrimPrefix(container, "stored")}
			each(t, []byte(b), slices.Clone(packings))
			each(t, []byte(packed(t, b, "gzip")), append([]string{"gzip"}, packings...))
		})
	}
}

// bzipped packs with the program, since no package writes bzip2.
func bzipped(t *testing.T, content string) string {
	t.Helper()
	return filter(t, content, testprog.Need(t, "bzip2", "bzip2"), "-c")
}

// filter runs a program on some input, and returns its output.
func filter(t *testing.T, input, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// The dump among the members of an archive is recognized by its content, whatever it is called and wherever it stands.
func TestSQL_found(t *testing.T) {
	t.Parallel()
	custom := string(fixtures.Dump("openchs.cdump"))
	customSQL := readSQL(t, fixtures.Dump("openchs.cdump"))
	addons := packed(t, "print('x')\n", "onlyzip")
	sources := zipped(t, zip.Deflate, member{"module/__init__.py", "import x\n"}, member{"module/data.csv", "a,b\n"})
	before := func(n int, name, content string) (members []member) {
		for i := range n {
			members = append(members, member{fmt.Sprintf(name, i), content})
		}
		return members
	}
	for name, tt := range map[string]struct {
		members  []member
		packings []string
		sql      string
	}{
		"no extension":        {[]member{{"backup/", ""}, {"backup/export", theDump}}, nil, theDump},
		".psql":               {[]member{{"x.psql", theDump}}, nil, theDump},
		".pgsql":              {[]member{{"README", "hello"}, {"x.pgsql", theDump}}, nil, theDump},
		".bak":                {[]member{{"x.bak", custom}}, []string{"pgdmp_custom"}, customSQL},
		".out":                {[]member{{"a/b/c/x.out", theDump}, {"z", "hello"}}, nil, theDump},
		".txt":                {[]member{{"LICENSE.txt", "Free."}, {"x.txt", theDump}}, nil, theDump},
		"a hidden file":       {[]member{{".dump", theDump}}, nil, theDump},
		"in capitals":         {[]member{{"DUMP.SQL", theDump}}, nil, theDump},
		"names that lie":      {[]member{{"dump.sql", "this is not SQL"}, {"picture.png", theDump}}, nil, theDump},
		"two members":         {[]member{{"export", theDump}, {"README", "x\n"}}, nil, theDump},
		"SQL that is no dump": {[]member{{"patch.sql", "UPDATE t SET a = 1;\n"}, {"backup", theDump}}, nil, theDump},
		"only SQL": {[]member{{"README", "hello"}, {"patch", "UPDATE t SET a = 1;\n"}, {"z.sql", "SELECT 2;\n"}},
			nil, "UPDATE t SET a = 1;\n"},
		"packed sources before": {[]member{{"addons.tar.gz", packed(t, "x = 1\n", "tar", "gzip")},
			{"custom_addons.zip", addons}, {"sources.zip", sources},
			{"dump.sql", theDump}}, nil, theDump},
		"packed sources with SQL before": {[]member{{"addons.zip",
			zipped(t, zip.Deflate, member{"module/init.sql", "CREATE TABLE x ();\n"})},
			{"db", theDump}}, nil, theDump},
		"an older backup before": {[]member{{"old.zip",
			zipped(t, zip.Deflate, member{"dump.sql", theDump + "SELECT 'old';\n"})}, {"db", theDump}},
			nil, theDump},
		"broken files before": {[]member{{"a.gz", packed(t, "hello", "gzip")[:12]}, {"b.zip", sources[:len(sources)/2]},
			{"c.xz", "\xfd7zXZ\x00broken"},
			{"db", theDump}}, nil, theDump},
		"packed": {[]member{{"README", "x"}, {"db", packed(t, theDump, "gzip")}}, []string{"gzip"}, theDump},
		"packed twice": {[]member{{"db.zip", zipped(t, zip.Deflate, member{"x/y", packed(t, theDump, "xz")})}},
			[]string{"zip", "xz"}, theDump},
		"in a packed tar": {[]member{{"db.tgz", packed(t, theDump, "tar", "gzip")}}, []string{"gzip", "tar"}, theDump},
		"1,500 files before": {append(before(1500, "addons/module%d/__init__.py", "x = 1\n"), member{"export", theDump}),
			nil, theDump},
		"attachments of SQL": {append(before(300, "filestore/00/%040x", theDump+"-- an attachment\n"),
			member{"export", theDump}), nil, theDump},
		"a file system's own": {[]member{{"__MACOSX/._dump.sql", "\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"},
			{"dump.sql", theDump}}, nil, theDump},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inEveryContainer(t, tt.members, func(t *testing.T, b []byte, packings []string) {
				packings = append(append(packings, tt.packings...), "sql")
				if diff := cmp.Diff(packings, sniff(b).Compressions); diff != "" {
					t.Errorf("Compressions (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.sql, readSQL(t, b)); diff != "" {
					t.Errorf("SQL (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// An archive is looked into whatever it is packed in.
func TestSQL_foundInAnyPacking(t *testing.T) {
	t.Parallel()
	for container, pack := range containers {
		b := pack(t, member{"README", "hello"}, member{"backup/export", theDump})
		for packing, b := range map[string]string{
			"bzip2": bzipped(t, b), "xz": packed(t, b, "xz"), "zstd": packed(t, b, "zstd"), "lz4": packed(t, b, "lz4"),
		} {
			if diff := cmp.Diff(theDump, readSQL(t, []byte(b))); diff != "" {
				t.Errorf("%s in %s: SQL (-want +got):\n%s", container, packing, diff)
			}
			if diff := cmp.Diff([]string{packing, strings.TrimPrefix(container, "stored"), "sql"},
				sniff([]byte(b)).Compressions); diff != "" {
				t.Errorf("%s in %s: Compressions (-want +got):\n%s", container, packing, diff)
			}
		}
	}
}

// In a zip Odoo's dump.sql is taken, wherever it stands among dumps.
func TestSQL_odooFirst(t *testing.T) {
	t.Parallel()
	b := zipped(t, zip.Deflate, member{"a.sql", theDump + "-- another\n"}, member{"dump.sql", theDump},
		member{"z.sql", theDump + "-- another\n"})
	if diff := cmp.Diff(theDump, readSQL(t, []byte(b))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Where no dump is found the error says so, and what was there that could not be looked into.
func TestSQL_notFound(t *testing.T) {
	t.Parallel()
	tar := func(members ...member) []byte { return []byte(containers["tar"](t, members...)) }
	encrypted := []byte(zipped(t, zip.Store, member{"dump.sql", theDump}))
	for _, header := range []string{"PK\x03\x04", "PK\x01\x02"} {
		at := bytes.Index(encrypted, []byte(header))
		encrypted[at+6+2*strings.Index("\x04\x02", header[3:])] |= 1
	}
	toc := member{"db/toc.dat", tarMember(t, "openchs.tar", "toc.dat")}
	script := member{"db/restore.sql", tarMember(t, "openchs.tar", "restore.sql")}
	for name, tt := range map[string]struct {
		in       []byte
		packings []string
		says     []string
	}{
		"tar of texts": {tar(member{"a", "hello"}, member{"b", "world"}), []string{"tar"}, []string{"no dump in it"}},
		"encrypted":    {encrypted, []string{"zip"}, []string{"dump.sql: it is encrypted"}},
		"AES":          {methodZip(99, 3, theDump, theDump), []string{"zip"}, []string{"dump.sql: it is encrypted"}},
		"PPMd": {methodZip(98, 0, theDump, theDump), []string{"zip"},
			[]string{"method 98 (PPMd)", "pack it with Deflate"}},
		"Shrink":             {methodZip(1, 0, theDump, theDump), []string{"zip"}, []string{"method 1 (Shrink)"}},
		"a method of nobody": {methodZip(77, 0, theDump, theDump), []string{"zip"}, []string{"method 77 (unknown)"}},
		"another checksum": {methodZip(8, 0, "SELECT 2;", packed(t, "SELECT 1;", "gzip")[10:]), []string{"zip", "sql"},
			nil},
		"restore.sql alone": {tar(script), []string{"tar"}, []string{"restore.sql", "other files"}},
		"toc.dat alone":     {tar(toc), []string{"tar", "pgdmp_directory", "sql"}, []string{"no file", ".dat"}},
		"toc.dat by itself": {[]byte(toc.content), []string{}, []string{"without the others"}},
		"broken packings":   {tar(member{"db.gz", "\x1f\x8b\x08broken"}), []string{"tar"}, []string{"db.gz: gzip"}},
		"a zip in a zip, cut": {[]byte(zipped(t, zip.Deflate,
			member{"db.zip", zipped(t, zip.Deflate, member{"a", theDump})[:60]})), []string{"zip"},
			[]string{"db.zip: zip: no dump in it", "directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.packings, sniff(tt.in).Compressions); diff != "" {
				t.Errorf("Compressions (-want +got):\n%s", diff)
			}
			r, err := openSQL(t.Context(), bytes.NewReader(tt.in), int64(len(tt.in)))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				r.Close()
				if !errors.Is(err, dump.ErrBroken) {
					t.Errorf("error %v while reading, want ErrBroken", err)
				}
				return
			}
			if !errors.Is(err, dump.ErrNotSQL) {
				t.Errorf("error %v, want ErrNotSQL", err)
			}
			for _, says := range tt.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("error %q, want it to say %q", err, says)
				}
			}
		})
	}
}

// tarMember returns a member of a real dump in the tar format.
func tarMember(tb testing.TB, dump, name string) string {
	tb.Helper()
	return tarMembers(tb, dump)[name]
}

func tarMembers(tb testing.TB, dump string) map[string]string {
	tb.Helper()
	members := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(fixtures.Dump(dump))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return members
		}
		if err != nil {
			tb.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		members[h.Name] = string(content)
	}
}

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Streams as the programs write them with the options that people use.
func TestSQL_programs(t *testing.T) {
	t.Parallel()
	sql := string(fixtures.Dump("openchs.sql"))
	for _, tt := range []struct {
		program, of string
		args        []string
		packing     string
	}{
		{"xz", "xz-utils", []string{"-c", "--x86", "--lzma2=preset=1"}, "xz"},
		{"xz", "xz-utils", []string{"-c", "--delta=dist=4", "--lzma2"}, "xz"},
		{"xz", "xz-utils", []string{"-c", "--arm", "--lzma2"}, "xz"},
		{"xz", "xz-utils", []string{"-c", "-9e", "--check=sha256"}, "xz"},
		{"xz", "xz-utils", []string{"-c", "-T2", "--block-size=8KiB"}, "xz"},
		{"zstd", "zstd", []string{"-c", "--long=27"}, "zstd"},
		{"zstd", "zstd", []string{"-c", "-19"}, "zstd"},
		{"pzstd", "zstd", []string{"-c", "-p", "2"}, "zstd"},
		{"lz4", "lz4", []string{"-c", "-l"}, "lz4"},
		{"lz4", "lz4", []string{"-c", "-9", "-BD"}, "lz4"},
	} {
		t.Run(tt.program+" "+strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 3)
			b := filter(t, sql, testprog.Need(t, tt.program, tt.of), tt.args...)
			for _, in := range []string{b, b + b} { // files can be put behind each other
				want := strings.Repeat(sql, len(in)/len(b))
				if got := readSQL(t, []byte(in)); got != want {
					t.Errorf("%d bytes of SQL, want %d", len(got), len(want))
				}
				if diff := cmp.Diff([]string{tt.packing, "sql"}, sniff([]byte(in)).Compressions); diff != "" {
					t.Errorf("Compressions (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// Frames that say nothing may stand before, between and behind the others.
func TestSQL_skippableFrames(t *testing.T) {
	t.Parallel()
	skippable := func(n int) string {
		return string(binary.LittleEndian.AppendUint32([]byte("\x5e\x2a\x4d\x18"), uint32(n))) + strings.Repeat("x", n)
	}
	for _, packing := range []string{"zstd", "lz4"} {
		one := packed(t, theDump, packing)
		for name, in := range map[string]string{
			"before":         skippable(4) + one,
			"large":          skippable(100_000) + one,
			"some":           skippable(0) + skippable(5000) + skippable(1) + one,
			"around":         skippable(4) + one + skippable(7) + one + skippable(9),
			"inside a gzip":  packed(t, skippable(9000)+one, "gzip"),
			"inside a tar":   containers["tar"](t, member{"a", skippable(9000) + one}),
			"inside a zip":   zipped(t, zip.Deflate, member{"a", skippable(9000) + one}),
			"inside nesting": packed(t, containers["tar"](t, member{"a", skippable(9000) + one}), "zstd"),
		} {
			want := theDump
			if name == "around" {
				want += theDump
			}
			if diff := cmp.Diff(want, readSQL(t, []byte(in))); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", packing, name, diff)
			}
			if c := sniff([]byte(in)).Compressions; !slices.Contains(c, packing) || c[len(c)-1] != "sql" {
				t.Errorf("%s, %s: Compressions %q", packing, name, c)
			}
		}
	}
	for name, in := range map[string]string{
		"nothing behind":     skippable(9),
		"SQL behind":         skippable(4) + theDump,
		"longer than stated": skippable(9)[:12],
	} {
		if diff := cmp.Diff([]string{}, sniff([]byte(in)).Compressions); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The manifest is found beside the dump or above it, in every kind of archive, and what of it is right counts.
func TestSniff_manifests(t *testing.T) {
	t.Parallel()
	const good = `{"odoo_dump": "1", "version": "16.0", "major_version": "16.0", "pg_version": "14.0"}`
	utf16 := func(order binary.AppendByteOrder) string {
		b := order.AppendUint16(nil, 0xfeff)
		for _, c := range good {
			b = order.AppendUint16(b, uint16(c))
		}
		return string(b)
	}
	const sql = "SELECT 1;\n"
	for name, tt := range map[string]struct {
		members             []member
		version, postgresql string
	}{
		"at the top":           {[]member{{"dump.sql", sql}, {"manifest.json", good}}, "16.0", "14"},
		"before":               {[]member{{"manifest.json", good}, {"dump.sql", sql}}, "16.0", "14"},
		"below a folder":       {[]member{{"backup/dump.sql", sql}, {"backup/manifest.json", good}}, "16.0", "14"},
		"from the current one": {[]member{{"./dump.sql", sql}, {"./manifest.json", good}}, "16.0", "14"},
		"above":                {[]member{{"manifest.json", good}, {"db/x/dump.sql", sql}}, "16.0", "14"},
		"in another folder":    {[]member{{"meta/manifest.json", good}, {"db/dump.sql", sql}}, "16.0", "14"},
		"the nearest": {[]member{{"manifest.json", `{"version": "9.0"}`}, {"a/manifest.json", good},
			{"a/dump.sql", sql}, {"b/manifest.json", `{"version": "8.0"}`}}, "16.0", "14"},
		"of a web application": {[]member{{"addons/web/manifest.json", `{"name": "x", "version": "16.0"}`},
			{"db/dump.sql", sql}}, "", ""},
		"of nobody knows which": {[]member{{"a/manifest.json", good}, {"b/manifest.json", good}, {"db/dump.sql", sql}}, "",
			""},
		"with a mark":           {[]member{{"dump.sql", sql}, {"manifest.json", "\ufeff" + good}}, "16.0", "14"},
		"in UTF-16":             {[]member{{"dump.sql", sql}, {"manifest.json", utf16(binary.LittleEndian)}}, "16.0", "14"},
		"in UTF-16, high first": {[]member{{"dump.sql", sql}, {"manifest.json", utf16(binary.BigEndian)}}, "16.0", "14"},
		"version of a wrong type": {[]member{{"dump.sql", sql},
			{"manifest.json", `{"version": ["16.0"], "major_version": "15.0", "pg_version": "14.0"}`}},
			"15.0", "14"},
		"major_version of a wrong type": {[]member{{"dump.sql", sql},
			{"manifest.json", `{"version": "15.0", "major_version": {"a": 1}, "pg_version": "14.0"}`}},
			"15.0", "14"},
		"pg_version of a wrong type": {[]member{{"dump.sql", sql},
			{"manifest.json", `{"version": "15.0", "pg_version": true}`}}, "15.0", ""},
		"numbers": {[]member{{"dump.sql", sql}, {"manifest.json", `{"version": 15.0, "pg_version": 14}`}},
			"15.0", "14"},
		"modules of a wrong type": {[]member{{"dump.sql", sql},
			{"manifest.json", `{"version": "15.0", "modules": 5, "pg_version": "14.0"}`}}, "15.0", "14"},
		"an array":             {[]member{{"dump.sql", sql}, {"manifest.json", `["15.0"]`}}, "", ""},
		"null":                 {[]member{{"dump.sql", sql}, {"manifest.json", `null`}}, "", ""},
		"beside a packed dump": {[]member{{"db.gz", packed(t, sql, "gzip")}, {"manifest.json", good}}, "16.0", "14"},
		"beside an inner archive": {[]member{{"db.zip", zipped(t, zip.Deflate, member{"x", sql})},
			{"manifest.json", good}}, "16.0", "14"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inEveryContainer(t, tt.members, func(t *testing.T, b []byte, _ []string) {
				want := dump.Info{DatabaseVersion: tt.version, PostgreSQL: tt.postgresql}
				got := sniff(b)
				got.Compressions = nil
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("Sniff (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// xzDictionary packs with a dictionary of that size.
func xzDictionary(tb testing.TB, content string, size int) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: size}.NewWriter(&b)
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
