package capsule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// maxNames is how many files of one directory a capsule names.
const maxNames = 1000

// A File is a file of a scenario, or of a dump, or a directory.
type File struct {
	Name string `json:"name"` // with slashes, and never one that leads out
	Dir  bool   `json:"dir,omitempty"`

	Size     int64  `json:"size,omitempty"`
	Checksum string `json:"checksum,omitempty"` // "crc32c:…"
	// Its content is Text, or Bytes where it is none. Where it is not kept, StandIn says what is made in its place.
	Text    string `json:"text,omitempty"`
	Bytes   []byte `json:"bytes,omitempty"`
	StandIn string `json:"stand_in,omitempty"`
}

// A Dump is what a client was to send: a file, or a directory with a dump in it.
type Dump struct {
	Path  string `json:"path"`  // as it was called
	Files Files  `json:"files"` // all of them stand-ins, the first named as Path's last element
}

// check reports what is wrong with a file that was read.
func (f *File) check() error {
	content := int64(len(f.Text) + len(f.Bytes))
	switch {
	case !filepath.IsLocal(filepath.FromSlash(f.Name)) || f.Name == ".":
		return fmt.Errorf("files: %.60q is no name for a file of a capsule", f.Name)
	case f.Size < 0, f.StandIn == "" && !f.Dir && f.Size != content:
		return fmt.Errorf("files: %.60q: its size is %d, and its content has %d bytes", f.Name, f.Size, content)
	case f.StandIn != "" && !slices.Contains(kinds, f.StandIn):
		return fmt.Errorf("files: %.60q: unknown stand-in %.40q: choose one of %s", f.Name, f.StandIn,
			strings.Join(kinds, ", "))
	}
	return nil
}

// pack takes the scenarios, and of the files that they name what there is room for.
func (c *Capsule) pack(ctx context.Context, scripts []*scenario.Scenario) error {
	p := packer{ctx: ctx, c: c, room: maxFiles, names: map[string]string{}}
	for _, s := range scripts {
		own := *s
		p.dumps = []string{s.Upgraded.Archive, s.Upgraded.SQL, s.Upgraded.Filestore}
		own.MapFiles(p.pack)
		c.Scenarios = append(c.Scenarios, &own)
	}
	return p.err
}

// packer packs files.
type packer struct {
	ctx   context.Context
	c     *Capsule
	room  int               // bytes of content that may still be taken
	names map[string]string // in the capsule, by the path
	dumps []string          // the paths of what is a dump, or part of one, whatever is in it
	err   error
}

// pack takes what is at a path, and returns its name in the capsule.
func (p *packer) pack(from string) string {
	if name, ok := p.names[from]; ok || p.err != nil {
		return name
	}
	name := strconv.Itoa(len(p.names)+1) + "/" + filepath.Base(from)
	p.names[from] = name
	files, left, err := describe(p.ctx, from, name)
	if err != nil {
		p.err = err
		return name
	}
	if left > 0 {
		p.c.leaveOut("%d of the files in %s", left, name)
	}
	why := ""
	if slices.Contains(p.dumps, from) {
		why = "which is a dump or a part of one"
	}
	total := int64(0)
	for i := range files {
		f := &files[i]
		if total += f.Size; f.Dir || why != "" {
			continue
		}
		if why = p.take(f, from); p.err != nil {
			return name
		}
	}
	if why != "" {
		p.c.leaveOut("%s, %s; made-up bytes take its place, %s", name, why, dump.Size(total))
	}
	p.c.Files = append(p.c.Files, files...)
	return name
}

// take takes the content of a file, or says why not.
func (p *packer) take(f *File, from string) (why string) {
	if f.Size > maxContent || int(f.Size) > p.room {
		return "which is large"
	}
	content, err := safefile.ReadNamed(from, maxContent)
	if err != nil {
		p.err = err
		return ""
	}
	switch {
	case int64(len(content)) != f.Size:
		return "which changed meanwhile"
	case bytes.Contains(content, []byte("PRIVATE KEY-----")):
		return "which has a private key in it"
	case isDump(content):
		return "which is a dump"
	}
	if f.StandIn = ""; utf8.Valid(content) {
		f.Text = string(content)
	} else {
		f.Bytes = content
	}
	p.room -= len(content)
	return ""
}

// isDump reports whether a content is a dump, whatever its name.
func isDump(content []byte) bool {
	found := dump.Sniff(bytes.NewReader(content), int64(len(content))).Compressions
	return slices.Contains(found, "sql") || bytes.HasPrefix(content, []byte("PGDMP"))
}

// DescribeDump describes the dump at a path, a file or a directory.
func DescribeDump(ctx context.Context, from string) (*Dump, error) {
	files, _, err := describe(ctx, from, filepath.Base(from))
	return &Dump{Path: from, Files: files}, err
}

// Is reports whether what is at the path now is that dump.
func (d *Dump) Is(ctx context.Context, from string) bool {
	files, _, err := describe(ctx, from, filepath.Base(from))
	return err == nil && slices.EqualFunc(files, d.Files, func(a, b File) bool {
		return path.Base(a.Name) == path.Base(b.Name) && a.Size == b.Size && a.Checksum == b.Checksum
	})
}

// describe lists what is at a path as stand-ins: a file, or a directory with what is in it, of which left files are too
// many.
func describe(ctx context.Context, from, name string) (files []File, left int, err error) {
	info, err := os.Stat(from)
	if err != nil {
		return nil, 0, err
	}
	if !info.IsDir() {
		f, err := standIn(ctx, from, name)
		return []File{f}, 0, err
	}
	files = []File{{Name: name, Dir: true}}
	err = filepath.WalkDir(from, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if len(files) > maxNames {
			left++
			return nil
		}
		below, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		f, err := standIn(ctx, at, path.Join(name, filepath.ToSlash(below)))
		files = append(files, f)
		return err
	})
	return files, left, err
}

// standIn describes a file.
func standIn(ctx context.Context, from, name string) (File, error) {
	file, err := safefile.Open(from)
	if err != nil {
		return File{}, err
	}
	defer file.Close()
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	var head bytes.Buffer
	size, err := io.Copy(io.MultiWriter(sum, &first{&head}), interrupted{ctx, file})
	return File{Name: name, Size: size, Checksum: fmt.Sprintf("crc32c:%08x", sum.Sum32()),
		StandIn: kindOf(head.Bytes())}, err
}

// first takes the beginning of what is written.
type first struct{ *bytes.Buffer }

func (w *first) Write(b []byte) (int, error) {
	w.Buffer.Write(b[:min(len(b), max(0, 512-w.Len()))])
	return len(b), nil
}

// interrupted reads until the context ends.
type interrupted struct {
	ctx context.Context
	io.Reader
}

func (r interrupted) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}

// Unpack makes the files in the directory dir, and has the scenarios name them there.
func (c *Capsule) Unpack(dir string) error {
	if err := unpack(dir, c.Files); err != nil {
		return err
	}
	for i, s := range c.Scenarios {
		own := *s
		for _, name := range own.Files() {
			if !filepath.IsLocal(name) {
				return fmt.Errorf("scenario %q names the file %q, which is none of the capsule", s.Name, name)
			}
		}
		if err := own.Resolve(dir); err != nil {
			return err
		}
		c.Scenarios[i] = &own
	}
	return nil
}

// Unpack makes a file or a directory like the dump in the directory dir, and returns its path.
func (d *Dump) Unpack(dir string) (string, error) {
	if len(d.Files) == 0 {
		return "", errors.New("there is no file in the dump")
	}
	return filepath.Join(dir, filepath.FromSlash(d.Files[0].Name)), unpack(dir, d.Files)
}

// unpack makes files below a directory.
func unpack(dir string, files []File) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for i := range files {
		f := &files[i]
		name := filepath.FromSlash(f.Name)
		folder := name
		if !f.Dir {
			folder = filepath.Dir(name)
		}
		if err := root.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		if f.Dir {
			continue
		}
		file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(f.write(file), file.Close()); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

func (f *File) write(to *os.File) error {
	if f.StandIn != "" {
		return makeUp(to, f.StandIn, f.Size)
	}
	_, err := to.Write(append([]byte(f.Text), f.Bytes...))
	return err
}
