package platform

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
)

// directoryDump is the files of a dump in PostgreSQL's directory format, as they are uploaded: those of one in the tar
// format, which are the same.
func directoryDump(tb testing.TB) map[string]string {
	tb.Helper()
	files := make(map[string]string)
	for r := tar.NewReader(bytes.NewReader(fixtures.Dump("openchs.tar"))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		data, unread := io.ReadAll(r)
		if err := errors.Join(err, unread); err != nil {
			tb.Fatal(err)
		}
		files["origin.dump/"+h.Name] = string(data)
	}
}
