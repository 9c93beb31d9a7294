package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/client/internal/rsync"
	"github.com/upgrademock/upgrademock/internal/safefile"
)

// A ScriptDump is a dump for [Script.Upload]: a directory as "pg_dump -Fd" makes it, or a file. [OpenScriptDump]
// returns one.
type ScriptDump struct {
	path    string
	name    string
	info    os.FileInfo
	entries []rsync.Entry
	size    int64
	sum     string
}

// scriptSuffixes are the ends of names by which the platform knows a dump (row S5.7).
var scriptSuffixes = []string{".sql.gz", ".sql", ".dump", ".zip"}

// OpenScriptDump looks at the dump at path. A directory must hold toc.dat, and nothing but files and directories. The
// form of a file whose name does not have one of the platform's suffixes is taken from its first bytes.
func OpenScriptDump(path string) (*ScriptDump, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("client: the dump %s: %w", path, err.(*fs.PathError).Err)
	}
	d := &ScriptDump{path: path, info: info}
	if info.IsDir() {
		err = d.list()
	} else {
		err = d.file()
	}
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	for _, e := range d.entries {
		if e.Mode.IsRegular() {
			d.size += e.Size
			fmt.Fprintf(h, "%q %d %d\n", e.Name, e.Size, e.ModTime.UnixNano())
		}
	}
	d.sum = hex.EncodeToString(h.Sum(nil))
	return d, nil
}

// list reads a directory.
func (d *ScriptDump) list() error {
	d.name = "origin.dump"
	toc := false
	err := fs.WalkDir(os.DirFS(d.path), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() && !info.IsDir() {
			return fmt.Errorf("%s is %s; a dump has only files", filepath.Join(d.path, name), safefile.Kind(info.Mode()))
		}
		toc = toc || name == "toc.dat" && info.Mode().IsRegular()
		d.entries = append(d.entries, rsync.Entry{Name: name, Size: info.Size(), ModTime: info.ModTime(),
			Mode: info.Mode().Type()})
		return nil
	})
	if err != nil {
		return fmt.Errorf("client: the dump: %w", err)
	}
	if !toc {
		return fmt.Errorf("client: the folder %s is no dump: it has no toc.dat, as \"pg_dump -Fd\" makes it", d.path)
	}
	slices.SortFunc(d.entries, func(a, b rsync.Entry) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// file looks at a single file.
func (d *ScriptDump) file() error {
	f, err := safefile.Open(d.path)
	if err != nil {
		return fmt.Errorf("client: the dump: %w", err)
	}
	defer f.Close()
	head := make([]byte, 5)
	n, err := io.ReadFull(f, head)
	if n == 0 {
		return fmt.Errorf("client: the dump %s is empty", d.path)
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("client: the dump: %w", err)
	}
	d.name = "origin" + scriptSuffix(d.path, head[:n])
	d.entries = []rsync.Entry{{Name: d.name, Size: d.info.Size(), ModTime: d.info.ModTime()}}
	return nil
}

func scriptSuffix(name string, head []byte) string {
	for _, suffix := range scriptSuffixes {
		if strings.HasSuffix(strings.ToLower(name), suffix) {
			return suffix
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("PGDMP")):
		return ".dump"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return ".zip"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return ".sql.gz"
	}
	return ".sql"
}

// Name returns the name of the dump at the platform, such as "origin.dump".
func (d *ScriptDump) Name() string { return d.name }

// Size returns the number of bytes of all files.
func (d *ScriptDump) Size() int64 { return d.size }

// Digest identifies the dump by the names, sizes and times of its files, as an upload that goes on does.
func (d *ScriptDump) Digest() string { return d.sum }

// source returns what rsync sends.
func (d *ScriptDump) source(progress func(done int64)) rsync.Source {
	return rsync.Source{Entries: d.entries, Progress: progress,
		Open: func(e rsync.Entry) (io.ReadCloser, error) { return d.open(e) }}
}

// open opens a file that must be as it was.
func (d *ScriptDump) open(e rsync.Entry) (*os.File, error) {
	name := d.path
	var f *os.File
	var err error
	if d.info.IsDir() {
		root, rerr := os.OpenRoot(d.path)
		if rerr != nil {
			return nil, rerr
		}
		defer root.Close()
		name = filepath.Join(d.path, filepath.FromSlash(e.Name))
		f, err = safefile.OpenIn(root, filepath.FromSlash(e.Name), os.O_RDONLY)
	} else {
		f, err = safefile.Open(d.path)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (info.Size() != e.Size || !info.ModTime().Equal(e.ModTime)) {
		err = fmt.Errorf("%s: %w", name, ErrChanged)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// The names of what comes beside the upgraded dump (row S10.2).
const (
	filestoreName = "filestore"
	reportName    = "upgrade-report.html"
	logName       = "upgrade.log"
)

// checkDumpName refuses a name that leads out of a directory, or that something else has.
func checkDumpName(name string) error {
	switch name {
	case "", ".", filestoreName, reportName, logName:
	default:
		if path.Base(name) == name && filepath.Base(name) == name && filepath.IsLocal(name) &&
			printable(name, 255) == name && !strings.HasPrefix(name, partsName) {
			return nil
		}
	}
	return fmt.Errorf("%w: the upgraded dump is said to have the name %q", ErrContradiction, printable(name, 100))
}

// partsName is the directory of what has not arrived whole.
const partsName = ".odoo-upgrade-parts"
