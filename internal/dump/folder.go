package dump

import (
	"context"
	"errors"
	"io/fs"

	"github.com/upgrademock/upgrademock/internal/dump/pgarchive"
)

// TOC is the file by which a directory is a dump in PostgreSQL's directory format.
const TOC = "toc.dat"

// SniffFS describes the dump whose files are in the root of files: one in PostgreSQL's directory format. It never
// fails: what it cannot tell is empty. It reads at most 64 MiB of each of the two tables that it wants.
func SniffFS(files fs.FS) (info Info) {
	defer func() {
		if recover() != nil && info.Compressions == nil {
			info.Compressions = []string{}
		}
	}()
	info.Compressions = []string{}
	_ = forSniff.try(context.Background(), func(g *grant) error { // the error is why there is no more to be seen
		defer g.release()
		a, err := pgarchive.OpenFS(files, g.take)
		if _, more := errors.AsType[*needError](err); more {
			return err
		}
		g.opening = false
		defer a.Close()
		if a.Version == 0 { // not even its head is that of an archive
			return err
		}
		info.Compressions = []string{pgDirectory, "sql"}
		info.DataCompression = a.Compression.String()
		f := facts{server: a.ServerVersion}
		f.scanArchive(a)
		f.describe(&info)
		return err
	})
	return info
}

// describe writes what is known in the form that people call it by.
func (f *facts) describe(info *Info) {
	info.PostgreSQL = postgresqlName(f.server)
	info.DatabaseUUID = f.uuid
	info.DatabaseVersion = odooName(f.version)
}
