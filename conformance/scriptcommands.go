package conformance

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/rsync"
)

// An uploadForm is how copies of the script have rsync upload (rows S5.1 to S5.4 and S5.18).
type uploadForm struct {
	letters   string
	owners    bool // sends owners and groups
	deletes   bool // with --delete-after
	protected bool // with -s: the arguments come on the channel
}

var (
	formV8        = uploadForm{letters: "-logDtpre.iLsfxC", owners: true}
	formV10       = uploadForm{letters: "-logDtpre.iLsfxCIvu", owners: true, deletes: true}
	formV11       = uploadForm{letters: "-ltre.iLsfxCIvu", deletes: true}
	formProtected = uploadForm{letters: "-sltre.iLsfxCIvu", deletes: true, protected: true}
)

// command is the command line that the server is asked for, with options of others before the paths, and the upload
// that it takes.
func (f uploadForm) command(path string, files []rsync.File, options ...string) (string, rsync.Upload) {
	up := rsync.Upload{Files: files, Owners: f.owners, Delete: f.deletes}
	var args []string
	if f.deletes {
		args = append(args, "--delete-after")
	}
	args = append(append(args, options...), ".", path)
	line := "rsync --server " + f.letters
	if f.protected {
		up.Args = args
		return line, up
	}
	return line + " " + strings.Join(args, " "), up
}

// downloadCommand is the command line that the server is asked for by all copies (row S5.11).
func downloadCommand(paths ...string) string {
	return "rsync --server --sender -logDtpre.iLsfxCIvu --ignore-missing-args . " + strings.Join(paths, " ")
}

// protectedDownload is the same with -s: the line, and the arguments that come on the channel.
func protectedDownload(paths ...string) (string, []string) {
	return "rsync --server --sender -slogDtpre.iLsfxCIvu", append([]string{"--ignore-missing-args", "."}, paths...)
}

// path is a file below /data as V5 and later copies ask for it: the assigned host's port stands before, where it has
// one (row S5.16).
func (j job) path(name string) string {
	if _, port := splitHost(j.host); port != "" {
		return port + ":" + plainPath(name)
	}
	return plainPath(name)
}

// plainPath is a file below /data as V1 to V4 ask for it.
func plainPath(name string) string { return "/data/" + name }

// results are the paths of a download (row S5.10).
func (t transfer) results() []string {
	var paths []string
	for _, name := range []string{t.dumpName, "filestore", "upgrade-report.html", "upgrade.log"} {
		if name != "" {
			paths = append(paths, t.job.path(name))
		}
	}
	return paths
}

// sentTime is the modification time of the files that are sent.
const sentTime = 1_700_000_000

// oneFile is a dump that is a file, under the name that it has with its owner: the server has another for it.
func oneFile(name string, data []byte) []rsync.File {
	return []rsync.File{{Name: name, Data: data, ModTime: sentTime}}
}

// directoryDump is a dump as pg_dump -Fd makes it: the files of one in the form of a tar archive, which are the same.
func directoryDump() []rsync.File {
	files := []rsync.File{{Name: ".", Dir: true, ModTime: sentTime}}
	in := tar.NewReader(bytes.NewReader(fixture("openchs.tar")))
	for {
		h, err := in.Next()
		if err == io.EOF {
			return files
		}
		var data []byte
		if err == nil {
			data, err = io.ReadAll(in)
		}
		if err != nil {
			panic(err) // the fixture is as it was built in
		}
		if h.Name == "restore.sql" { // is for people who look into the archive
			continue
		}
		files = append(files, rsync.File{Name: h.Name, Data: data, ModTime: sentTime})
	}
}

// largeDirectory is the same dump with a file that is larger than one run of data may be. It belongs to nothing in the
// table of contents.
func (c *checker) largeDirectory() []rsync.File {
	return append(directoryDump(), rsync.File{Name: "9999.dat", Data: c.random(150_000), ModTime: sentTime})
}

// dumpFile is the run's own dump, with the extension that the script would send it with (row S5.7).
func dumpFile(dump []byte) (ext string, files []rsync.File) {
	switch {
	case bytes.HasPrefix(dump, []byte("PK")):
		ext = ".zip"
	case bytes.HasPrefix(dump, []byte("PGDMP")):
		ext = ".dump"
	case bytes.HasPrefix(dump, []byte{0x1f, 0x8b}):
		ext = ".sql.gz"
	default:
		ext = ".sql"
	}
	return ext, oneFile("dump"+ext, dump)
}
