package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/fixtures"
)

// sampleDumps are the dumps that can be had, by the ends of the names of their files.
var sampleDumps = []struct{ suffix, fixture string }{
	{".sql.gz", "openchs.sql.gz"}, {".sql.bz2", "openchs.sql.bz2"}, {".sql.xz", "openchs.sql.xz"},
	{".sql", "openchs.sql"}, {".dump", "openchs.cdump"}, {".zip", "openchs.zip"}, {".tar", "openchs.tar"},
}

func newSampleDumpCommand() *cobra.Command {
	var suffixes []string
	for _, d := range sampleDumps {
		suffixes = append(suffixes, d.suffix)
	}
	return &cobra.Command{
		Use:   "sample-dump FILE",
		Short: "Write a small real dump, to try a client with",
		Long: "sample-dump writes a dump of a tiny database, which pg_dump has made. The end of the file's name says in " +
			"which form: " + strings.Join(suffixes, ", ") + "; .dump is pg_dump's custom format, .zip what Odoo's " +
			"backup makes. " +
			"A file that is there stays as it is.",
		Example: "  upgrademock sample-dump db.dump",
		Args:    arguments(1, 1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			name := args[0]
			i := slices.IndexFunc(sampleDumps, func(d struct{ suffix, fixture string }) bool {
				return strings.HasSuffix(strings.ToLower(name), d.suffix)
			})
			if i < 0 {
				return fmt.Errorf("%s: wanted a name that ends in %s", name, strings.Join(suffixes, ", "))
			}
			file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s is there already; name another file, or take this one away", name)
			}
			if err != nil {
				return fmt.Errorf("%s: %w; name a file in a directory that can be written", filepath.Clean(name), reasonOf(err))
			}
			_, err = file.Write(fixtures.Dump(sampleDumps[i].fixture))
			return failed(errors.Join(err, file.Close()))
		},
	}
}
