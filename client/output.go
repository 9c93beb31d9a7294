package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/claim"
)

// An Output is a file that is downloaded to. The file appears under its name when the download is complete, and
// replaces an earlier file of that name only then. Until then, the bytes are in a temporary file beside it with a
// random name.
//
// While an Output is open, the file is locked: [OpenOutput] of the same file fails, in this process and in others. The
// lock is a file, too, and holds what is needed to continue the download: the name of the temporary file, what it is a
// part of, and every now and then the number of its bytes and their SHA-256. A temporary file that does not have this
// SHA-256 is not continued.
//
// An Output must be used by one goroutine at a time.
type Output struct {
	path  string
	claim *claim.Claim

	file   *os.File // the part; nil when there is none
	source source
	size   int64     // of the part: what was written in order
	sum    hash.Hash // of the part

	noted   int64 // the size that was noted last
	notedAt time.Time
	looked  bool // whether look was called
}

// source identifies the file that the part is a part of.
type source struct {
	Via      string `json:"via,omitempty"` // "https" or "sftp"
	Size     int64  `json:"size"`          // -1 when unknown
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"` // Last-Modified, or the SFTP file's time
	Date     string `json:"date,omitempty"`     // the answer's, which says whether Modified can be relied on
}

// outputNote is a note in the lock. A note with a source begins a part, and those that follow are of its bytes.
type outputNote struct {
	Source *source `json:"source,omitempty"`
	Bytes  int64   `json:"bytes,omitempty"`
	SHA256 string  `json:"sha256,omitempty"`
}

// How many bytes and how much time may pass before the part's SHA-256 is noted. So much may be lost by a kill.
const (
	noteBytes = 16 << 20
	noteEvery = time.Second
)

// OpenOutput locks the file at path, which need not exist, for a download. It fails if path is a link, a folder or
// anything else that is not a regular file, and if the file is locked.
func OpenOutput(path string) (*Output, error) {
	c, err := claim.Take(path)
	if err != nil {
		return nil, local("opening the file to download into", err)
	}
	return &Output{path: path, claim: c}, nil
}

// Path returns the path that was given to OpenOutput.
func (o *Output) Path() string { return o.path }

// Close unlocks the file. What an unfinished download has written is kept, for the next one to continue. Further
// calls do nothing.
func (o *Output) Close() error {
	if o.claim == nil {
		return nil
	}
	var err error
	if o.file != nil {
		err = o.note()
		_ = o.file.Truncate(o.size)
		name := o.file.Name()
		_ = o.file.Close()
		o.file = nil
		if o.size == 0 {
			o.claim.Remove(name)
		}
	}
	// An earlier process may have left a part that was not looked at.
	left := false
	for _, name := range o.claim.Temps() {
		if _, err := os.Lstat(name); err == nil {
			left = true
		}
	}
	if left {
		o.claim.Keep()
	} else {
		o.claim.Release()
	}
	o.claim = nil
	return err
}

// look opens the part that an earlier process left, if there is one and it has the SHA-256 that was noted.
func (o *Output) look() error {
	if o.looked {
		return nil
	}
	o.looked = true
	var notes []outputNote // of the latest part
	for _, raw := range o.claim.Notes() {
		var n outputNote
		if json.Unmarshal(raw, &n) != nil {
			continue
		}
		if n.Source != nil {
			notes = nil
		}
		notes = append(notes, n)
	}
	temps := o.claim.Temps()
	if len(temps) == 0 {
		return nil
	}
	name := temps[len(temps)-1]
	if len(notes) < 2 || notes[0].Source == nil {
		// It ended before anything was noted. Nothing can be continued, and Remove sees whether the part is ours.
		o.claim.Remove(name)
		return o.forget()
	}
	f, err := o.claim.Open(name)
	if err != nil {
		return o.forget()
	}
	size, sum, err := verify(f, notes[1:])
	if err == nil && size > 0 {
		err = f.Truncate(size)
	}
	if err != nil {
		_ = f.Close()
		return local("looking at the part downloaded so far", err)
	}
	if size == 0 {
		// These are not the bytes that were written: somebody may want them.
		info, err := f.Stat()
		_ = f.Close()
		if err == nil && info.Size() == 0 {
			o.claim.Remove(name)
		}
		return o.forget()
	}
	o.file, o.source, o.size, o.sum, o.noted, o.notedAt = f, *notes[0].Source, size, sum, size, time.Now()
	return nil
}

func (o *Output) forget() error {
	return local("looking at the part downloaded so far", o.claim.Forget())
}

// verify returns how many bytes of a file have the SHA-256 that was noted, and their hash.
func verify(f *os.File, notes []outputNote) (int64, hash.Hash, error) {
	var size int64
	sum, sure := sha256.New(), sha256.New()
	r := io.NewSectionReader(f, 0, 1<<62)
	for _, n := range notes {
		if n.Bytes <= size {
			continue
		}
		if _, err := io.CopyN(sum, r, n.Bytes-size); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, nil, err
		}
		if hex.EncodeToString(sum.Sum(nil)) != n.SHA256 {
			break
		}
		size, sure = n.Bytes, clone(sum)
	}
	return size, sure, nil
}

func clone(h hash.Hash) hash.Hash {
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic("client: SHA-256 cannot be copied: " + err.Error())
	}
	return c.(hash.Hash)
}

// restart throws the part away and begins one of s.
func (o *Output) restart(s source) error {
	const doing = "preparing the file to download into"
	if err := o.look(); err != nil {
		return err
	}
	if o.file == nil {
		f, err := o.claim.Create(".part")
		if err != nil {
			return local(doing, err)
		}
		o.file = f
	}
	// The note comes first, so that the notes never describe bytes that the part does not have.
	if err := o.claim.Note(outputNote{Source: &s}); err != nil {
		return local(doing, err)
	}
	if err := o.file.Truncate(0); err != nil {
		return local(doing, err)
	}
	o.source, o.size, o.sum, o.noted = s, 0, sha256.New(), 0
	return nil
}

// write appends to the part.
func (o *Output) write(p []byte) (int, error) {
	n, err := o.file.WriteAt(p, o.size)
	if err != nil {
		return 0, local("writing the download", err)
	}
	o.size += int64(n)
	_, _ = o.sum.Write(p)
	if o.noted == 0 || o.size-o.noted >= noteBytes || time.Since(o.notedAt) >= noteEvery {
		return n, local("writing the download", o.note())
	}
	return n, nil
}

// endsWith reports whether the part's last bytes are these.
func (o *Output) endsWith(p []byte) bool {
	end := make([]byte, len(p))
	_, err := o.file.ReadAt(end, max(o.size-int64(len(p)), 0))
	return len(p) > 0 && err == nil && bytes.Equal(p, end)
}

// note notes the size and the SHA-256 of the part.
func (o *Output) note() error {
	if o.size == o.noted {
		return nil
	}
	o.noted, o.notedAt = o.size, time.Now()
	return o.claim.Note(outputNote{Bytes: o.size, SHA256: o.digest()})
}

// digest returns the SHA-256 of the part.
func (o *Output) digest() string { return hex.EncodeToString(o.sum.Sum(nil)) }

// finish gives the part the file's name. Deliberately, it does not wait for the disk, which may take longer than the
// transfer. After a power cut in the next half minute the file may be damaged, which its checksum shows.
func (o *Output) finish() error {
	const doing = "finishing the download"
	if err := claim.Check(o.path); err != nil {
		return local(doing, err)
	}
	name := o.file.Name()
	if err := o.file.Truncate(o.size); err != nil {
		return local(doing, err)
	}
	if err := o.file.Close(); err != nil {
		return local(doing, err)
	}
	o.file = nil
	return local(doing, os.Rename(name, o.path))
}

// validator returns what If-Range may hold: a strong ETag, or, if there is no ETag at all, a Last-Modified of at
// least a second before the answer's Date (RFC 9110, sections 8.8.2.2 and 13.1.5). If it is empty, the part cannot be
// continued.
func (s source) validator() string {
	if s.Via != "https" || s.ETag != "" {
		if s.Via == "https" && !strings.HasPrefix(s.ETag, "W/") {
			return s.ETag
		}
		return ""
	}
	modified, err1 := http.ParseTime(s.Modified)
	date, err2 := http.ParseTime(s.Date)
	if err1 != nil || err2 != nil || date.Sub(modified) < time.Second {
		return ""
	}
	return s.Modified
}
