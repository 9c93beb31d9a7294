package dump_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// directory is a real dump as its files: those of the tar format, and those of the directory format with data packed.
func directory(tb testing.TB, packing string) []member {
	tb.Helper()
	files := tarMembers(tb, "openchs.tar")
	var members []member
	for _, name := range slices.Sorted(maps.Keys(files)) {
		extension := map[string]string{"gzip": ".gz", "lz4": ".lz4", "zstd": ".zst"}[packing]
		switch {
		case extension == "" || !strings.HasSuffix(name, ".dat") || name == "toc.dat":
			if packing != "" && name == "restore.sql" {
				continue // the directory format has none
			}
			members = append(members, member{name, files[name]})
		default:
			members = append(members, member{name + extension, packed(tb, files[name], packing)})
		}
	}
	return members
}

// A dump of several files comes out whole, wherever its table of contents stands, however its data is packed, in a
// folder or not, with other files around it; restore.sql, which is of no use alone, is never taken for it.
func TestSQL_severalFiles(t *testing.T) {
	t.Parallel()
	want := readSQL(t, fixtures.Dump("openchs.cdump"))
	info := sniff(fixtures.Dump("openchs.cdump"))
	orders := map[string]func(a, b member) int{
		"toc.dat first": func(a, b member) int { return strings.Compare(place(a, "0"), place(b, "0")) },
		"toc.dat last":  func(a, b member) int { return strings.Compare(place(a, "z"), place(b, "z")) },
		"backwards":     func(a, b member) int { return strings.Compare(b.name, a.name) },
	}
	for _, packing := range []string{"", "none", "gzip", "lz4", "zstd"} {
		for order, compare := range orders {
			for _, folder := range []string{"", "./", "backup/db/"} {
				members := directory(t, packing)
				slices.SortStableFunc(members, compare)
				for i := range members {
					members[i].name = folder + members[i].name
				}
				if folder != "" {
					members = append(append([]member{{"addons.zip", zipped(t, zip.Deflate, member{"a.py", "x"})},
						{"1.dat", "of nobody"}}, members...), member{"README", "hello"})
				}
				t.Run(fmt.Sprintf("%s, %s, in %q", packing, order, folder), func(t *testing.T) {
					t.Parallel()
					testprog.OneIn(t, 6)
					inEveryContainer(t, members, func(t *testing.T, b []byte, packings []string) {
						if diff := cmp.Diff(want, readSQL(t, b)); diff != "" {
							t.Errorf("SQL (-want +got):\n%s", diff)
						}
						info := info
						info.Compressions = append(packings, "pgdmp_directory", "sql")
						if members[0].name == "toc.dat" && (packing == "" || packing == "none") && slices.Contains(packings, "tar") {
							info.Compressions = append(packings[:len(packings)-1], "pgdmp_tar", "sql") // as pg_dump writes it
						}
						if diff := cmp.Diff(info, sniff(b)); diff != "" {
							t.Errorf("Sniff (-want +got):\n%s", diff)
						}
					})
				})
			}
		}
	}
}

// place is a name to sort by, with toc.dat first or last.
func place(m member, toc string) string {
	if m.name == "toc.dat" {
		return toc
	}
	return "a" + m.name
}

// Tars of before POSIX, and those of old releases of pg_dump, have another magic number or none.
func TestSQL_oldTars(t *testing.T) {
	t.Parallel()
	want := readSQL(t, fixtures.Dump("openchs.tar"))
	for name, magic := range map[string]string{"pg_dump before 9.3": "ustar00\x00", "v7": strings.Repeat("\x00", 8)} {
		b := bytes.Clone(fixtures.Dump("openchs.tar"))
		for at := 0; at+512 <= len(b) && b[at] != 0; {
			head := b[at : at+512]
			copy(head[257:], magic)
			copy(head[148:156], "        ")
			sum := 0
			for _, c := range head {
				sum += int(c)
			}
			copy(head[148:156], fmt.Sprintf("%06o\x00 ", sum))
			var size int64
			if _, err := fmt.Sscanf(strings.Trim(string(head[124:136]), " \x00"), "%o", &size); err != nil {
				t.Fatal(err)
			}
			at += 512 + int(size+511)&^511
		}
		if diff := cmp.Diff(want, readSQL(t, b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff([]string{"pgdmp_tar", "sql"}, sniff(b).Compressions); diff != "" {
			t.Errorf("%s: Compressions (-want +got):\n%s", name, diff)
		}
	}
}
