package certify

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/upgrademock/upgrademock/fixtures"
)

const (
	dumpName = "db_name.dump"
	fillRows = 40_000 // some 3 MiB: beyond the offsets at which scenarios cut
)

// writeDump makes a dump that a real PostgreSQL restores: a small one of plain SQL, and a table that makes it long enough.
func writeDump(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	w := bufio.NewWriter(f)
	w.Write(fixtures.Dump("openchs.sql"))
	fmt.Fprint(w, "\nCREATE TABLE public.certify_filler (\n    id integer,\n    filler text\n);\n\nCOPY public.certify_filler (id, filler) FROM stdin;\n")
	random := rand.NewChaCha8([32]byte{}) // the same bytes in each run
	filler := make([]byte, 54)
	for i := range fillRows {
		random.Read(filler)
		fmt.Fprintf(w, "%d\t%s\n", i, base64.StdEncoding.EncodeToString(filler))
	}
	fmt.Fprint(w, "\\.\n")
	return w.Flush()
}
