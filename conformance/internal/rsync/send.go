package rsync

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"slices"

	"github.com/mmcloughlin/md4"
)

// File is one to send, or a directory.
type File struct {
	Name    string // relative, with slashes; "." is the directory whose contents are sent
	Dir     bool
	Link    string // where a symbolic link leads; empty if it is none
	Data    []byte
	ModTime int64 // seconds since 1970
}

// Upload is what a client sends.
type Upload struct {
	Files  []File
	Args   []string // that go before the protocol, as with the client's option -s; nil if there are none
	Owners bool     // the command has the letters o and g: owners are sent
	Delete bool     // the command has --delete-after: rules follow, of which there are none

	// Break is a file in the middle of which the client ends, BreakAt bytes behind its beginning. If empty, it does not.
	Break   string
	BreakAt int
}

// Sent is what came of an upload.
type Sent struct {
	Version  int      `json:"version"`            // of the protocol, as the server offers it
	Asked    []string `json:"asked,omitempty"`    // the files that the server asked for, in order
	Matched  int64    `json:"matched,omitempty"`  // bytes that the server has already, by its checksums
	Messages []string `json:"messages,omitempty"` // of the server, for people
	Broke    bool     `json:"broke,omitempty"`    // the client ended in the middle, as it was to
	Whole    bool     `json:"whole,omitempty"`    // the conversation came to its end
	Problem  string   `json:"problem,omitempty"`  // with the conversation
}

// errBreak ends an upload in the middle.
var errBreak = errors.New("broken off")

// literal is the longest run of data that every server takes.
const literal = 32 << 10

// Run sends the files. It does not close the stream.
func (u *Upload) Run(stream io.ReadWriter) Sent {
	c := newConn(stream)
	var out Sent
	files := slices.Clone(u.Files)
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	c.greet(u.Args)
	if u.Delete {
		c.putInt(0)
	}
	u.list(c, files)
	u.serve(c, files, &out)
	out.Version, out.Messages = c.version, c.messages
	switch {
	case errors.Is(c.err, errBreak):
		out.Broke = true
	case c.err != nil:
		out.Problem = c.err.Error()
	default:
		out.Whole = true
	}
	return out
}

// What an entry's first byte says: which values are those of the entry before, and how long the name's length is.
const (
	markTop      = 0x01
	markSameMode = 0x02
	markSameDev  = 0x04
	markSameUser = 0x08
	markSameTeam = 0x10
	markSameName = 0x20
	markLongName = 0x40
	markSameTime = 0x80
)

const (
	kindMask = 0o170000
	kindDir  = 0o040000
	kindFile = 0o100000
	kindLink = 0o120000
	kindChar = 0o020000
	kindDisk = 0o060000
	kindPipe = 0o010000
	kindSock = 0o140000
)

// list sends the list of the files.
func (u *Upload) list(c *conn, files []File) {
	for _, f := range files {
		mark, mode := byte(markLongName), int32(kindFile|0o644)
		switch {
		case f.Dir:
			mode = kindDir | 0o755
			if f.Name == "." {
				mark |= markTop
			}
		case f.Link != "":
			mode = kindLink | 0o777
		}
		c.putByte(mark)
		c.putInt(int32(len(f.Name)))
		c.put([]byte(f.Name))
		c.putLong(int64(len(f.Data)))
		c.putInt(int32(f.ModTime))
		c.putInt(mode)
		if u.Owners {
			c.putInt(1000)
			c.putInt(1000)
		}
		if f.Link != "" {
			c.putInt(int32(len(f.Link)))
			c.put([]byte(f.Link))
		}
	}
	c.putByte(0)
	if u.Owners { // no names of users and groups
		c.putInt(0)
		c.putInt(0)
	}
	c.putInt(0) // nothing was unreadable
	c.flush()
}

// serve sends what the server asks for, in two rounds.
func (u *Upload) serve(c *conn, files []File, out *Sent) {
	for round := 1; c.err == nil; {
		n := c.int()
		switch {
		case c.err != nil:
			return
		case n == done:
			c.putInt(done)
			c.flush()
			if round++; round > 2 {
				if n := c.int(); c.err == nil && n != done {
					c.fail("the server asked for file %d after the end", n)
				}
				return
			}
			continue
		case n < 0 || int(n) >= len(files):
			c.fail("the server asked for file %d of %d", n, len(files))
			return
		case files[n].Dir || files[n].Link != "":
			c.fail("the server asked for the contents of %q, which is no file", files[n].Name)
			return
		case len(out.Asked) > 2*len(files):
			c.fail("the server asks for files without end")
			return
		}
		out.Asked = append(out.Asked, files[n].Name)
		u.send(c, n, files[n], out)
	}
}

// send sends a file: what the server has of it, by its checksums, at the same place, is not sent.
func (u *Upload) send(c *conn, n int32, f File, out *Sent) {
	s := c.readSums()
	c.putInt(n)
	c.putSumHead(s)
	rest, sent := f.Data, 0
	for i := int32(0); len(rest) > 0 && c.err == nil; i++ {
		if i < s.count && s.size(i) <= int64(len(rest)) {
			piece := rest[:s.size(i)]
			if weak(piece) == s.weakOf[i] && bytes.Equal(strong(piece, c.seed)[:s.strong], s.strongOf[i]) {
				c.putInt(-1 - i)
				out.Matched += int64(len(piece))
				rest = rest[len(piece):]
				continue
			}
		}
		size := literal
		if i < s.count {
			size = min(size, int(s.size(i)))
		}
		piece := rest[:min(len(rest), size)]
		if f.Name == u.Break && sent+len(piece) > u.BreakAt {
			piece = piece[:max(0, u.BreakAt-sent)]
			if len(piece) > 0 {
				c.putInt(int32(len(piece)))
				c.put(piece)
			}
			c.flush()
			c.err = cmp.Or(c.err, errBreak)
			return
		}
		c.putInt(int32(len(piece)))
		c.put(piece)
		sent += len(piece)
		rest = rest[len(piece):]
	}
	c.putInt(0)
	h := md4.New()
	h.Write(c.seedBytes())
	h.Write(f.Data)
	c.put(h.Sum(nil))
	c.flush()
}
