package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A download is written to "<path>.part", with what is needed to continue it in "<path>.part.json", and is renamed when it
// is whole: whoever sees path sees all of it.
type part struct {
	path string
	file *os.File
	partMeta
}

// partMeta names the very thing that the part is a part of. Without a match the part is thrown away.
type partMeta struct {
	Via      string `json:"via"` // "https" or "sftp"
	Size     int64  `json:"size"`
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"` // Last-Modified, or the SFTP file's mtime
}

// openPart opens or makes the part of a download to path. What an earlier run left is there, with its meta.
func openPart(path string) (*part, error) {
	const doing = "opening the file to download into"
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, local(doing, fmt.Errorf("%s is a directory; a file's name is wanted", path))
	}
	f, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, local(doing, err)
	}
	p := &part{path: path, file: f}
	raw, err := os.ReadFile(p.metaPath())
	if err == nil {
		err = json.Unmarshal(raw, &p.partMeta)
	}
	if err != nil {
		// Nobody knows what the bytes are of.
		p.partMeta = partMeta{}
		if terr := f.Truncate(0); terr != nil {
			f.Close()
			return nil, local(doing, terr)
		}
	}
	return p, nil
}

func (p *part) metaPath() string { return p.path + ".part.json" }

// have returns how many bytes are there. They were written in order, so there is no hole.
func (p *part) have() (int64, error) {
	info, err := p.file.Stat()
	if err != nil {
		return 0, local("looking at the part downloaded so far", err)
	}
	return info.Size(), nil
}

// restart throws away what is there and notes what comes.
func (p *part) restart(m partMeta) error { return p.keep(m, 0) }

// keep cuts the part to its first n bytes, which are sure, and notes what they are of. The cut comes first: were
// the note written and the cut not, the note could promise more than is there.
func (p *part) keep(m partMeta, n int64) error {
	const doing = "preparing the file to download into"
	if err := p.file.Truncate(n); err != nil {
		return local(doing, err)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return local(doing, err)
	}
	if err := os.WriteFile(p.metaPath(), raw, 0o600); err != nil {
		return local(doing, err)
	}
	p.partMeta = m
	return nil
}

// finish makes the part the file. Deliberately without waiting for the disk, as other download programs: it could take longer than
// the transfer. Only a power cut in the next half minute could tell; who must know compares a checksum.
func (p *part) finish() error {
	const doing = "finishing the download"
	if err := p.file.Close(); err != nil {
		return local(doing, err)
	}
	if err := os.Rename(p.path+".part", p.path); err != nil {
		return local(doing, err)
	}
	if err := os.Remove(p.metaPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return local(doing, err)
	}
	return nil
}
