package dump_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
)

func sniff(b []byte) dump.Info { return dump.Sniff(bytes.NewReader(b), int64(len(b))) }

// Every real dump tells the same of the same database, whatever it is packed in.
func TestSniff_realDumps(t *testing.T) {
	t.Parallel()
	for name, packings := range map[string][]string{
		"openchs.sql":          {"sql"},
		"openchs.inserts.sql":  {"sql"},
		"openchs.columns.sql":  {"sql"},
		"openchs.cdump":        {"pgdmp_custom", "sql"},
		"openchs.stored.cdump": {"pgdmp_custom", "sql"},
		"openchs.piped.cdump":  {"pgdmp_custom", "sql"},
		"openchs.tar":          {"pgdmp_tar", "sql"},
		"openchs.sql.gz":       {"gzip", "sql"},
		"openchs.sql.bz2":      {"bzip2", "sql"},
		"openchs.sql.xz":       {"xz", "sql"},
		"openchs.cdump.gz":     {"gzip", "pgdmp_custom", "sql"},
		"openchs.tar.gz":       {"gzip", "pgdmp_tar", "sql"},
		"openchs.zip":          {"zip", "sql"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := dump.Info{
				Compressions:    packings,
				PostgreSQL:      "15",
				DatabaseVersion: "8.0",
				DatabaseUUID:    "5c5ff0f6-56c4-11e5-9b25-3c970e9d8d32",
			}
			if diff := cmp.Diff(want, sniff(fixtures.Dump(name))); diff != "" {
				t.Errorf("Sniff (-want +got):\n%s", diff)
			}
		})
	}
}
