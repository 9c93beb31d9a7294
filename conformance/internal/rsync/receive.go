package rsync

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"

	"github.com/mmcloughlin/md4"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// Entry is one of a server's list.
type Entry struct {
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	ModTime int64  `json:"time"`
	Mode    uint32 `json:"mode"`
	Link    string `json:"link,omitempty"`
}

// IsDir reports whether the entry is a directory.
func (e Entry) IsDir() bool { return e.Mode&kindMask == kindDir }

// IsFile reports whether the entry is a regular file.
func (e Entry) IsFile() bool { return e.Mode&kindMask == kindFile }

// Content is what came of a file.
type Content struct {
	Name    string      `json:"name"`
	Size    int64       `json:"size"`
	SHA256  string      `json:"sha256"`
	Matched int64       `json:"matched,omitempty"` // bytes taken from what the client had
	Kept    raw.Payload `json:"kept,omitempty"`    // the whole contents; empty if they are larger than the bound
}

// Download is what a client asks for.
type Download struct {
	Args []string          // that go before the protocol, as with the client's option -s; nil if there are none
	Have map[string][]byte // files that the client has, other than those of the server
	Most int64             // bytes of files to ask for; those beyond are not
	Keep int64             // bytes of a file up to which its contents are kept
}

// Got is what came of a download.
type Got struct {
	Version    int       `json:"version"` // of the protocol, as the server offers it
	List       []Entry   `json:"list,omitempty"`
	Files      []Content `json:"files,omitempty"`       // in the order in which they came
	Left       int       `json:"left,omitempty"`        // files that were not asked for
	LongestRun int       `json:"longest_run,omitempty"` // of data, in bytes
	Messages   []string  `json:"messages,omitempty"`    // of the server, for people
	Whole      bool      `json:"whole,omitempty"`       // the conversation came to its end
	Problem    string    `json:"problem,omitempty"`     // with the conversation
}

// Run receives the files. It closes the stream if the conversation breaks while it still writes.
func (d *Download) Run(stream io.ReadWriteCloser) Got {
	c := newConn(stream)
	var out Got
	c.greet(d.Args)
	c.putInt(0) // no rules
	c.flush()
	out.List = c.list()
	if c.err == nil && len(out.List) > 0 {
		d.fetch(c, stream, &out)
	}
	out.Version, out.Messages, out.Whole = c.version, c.messages, c.err == nil
	if c.err != nil {
		out.Problem = c.err.Error()
	}
	return out
}

// list reads the server's list, as with the letters logDtpr, and returns it in the order in which files are numbered.
func (c *conn) list() []Entry {
	var entries []Entry
	var last Entry
	names := 0
	for c.err == nil {
		mark := c.byte()
		if mark == 0 {
			break
		}
		last = c.entry(mark, last)
		if names += len(last.Name); len(entries) == maxEntries || names > maxNames {
			c.fail("the server's list has no end")
			break
		}
		entries = append(entries, last)
	}
	for range 2 { // the names of users, and of groups
		for n := 0; c.err == nil && c.int() != 0; n++ {
			c.bytes(int(c.byte()))
			if n > maxOwners {
				c.fail("the server's list of owners has no end")
			}
		}
	}
	if v := c.int(); v != 0 && c.err == nil {
		c.messages = append(c.messages, "some files could not be read")
	}
	if c.err != nil {
		return nil
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries
}

// entry reads one entry behind its first byte.
func (c *conn) entry(mark byte, last Entry) Entry {
	e := last
	e.Link = ""
	same, more := 0, 0
	if mark&markSameName != 0 {
		same = int(c.byte())
	}
	if mark&markLongName != 0 {
		more = int(c.int())
	} else {
		more = int(c.byte())
	}
	if c.err == nil && (same > len(last.Name) || more < 0 || same+more > maxName || same+more == 0) {
		c.fail("the server's list has a name of %d bytes behind %d of another", more, same)
	}
	if c.err != nil {
		return Entry{}
	}
	e.Name = last.Name[:same] + string(c.bytes(more))
	if e.Size = c.long(); e.Size < 0 {
		c.fail("the server's list has a file of %d bytes", e.Size)
	}
	if mark&markSameTime == 0 {
		e.ModTime = int64(uint32(c.int()))
	}
	if mark&markSameMode == 0 {
		e.Mode = uint32(c.int())
	}
	if mark&markSameUser == 0 {
		c.int()
	}
	if mark&markSameTeam == 0 {
		c.int()
	}
	switch e.Mode & kindMask {
	case kindChar, kindDisk, kindPipe, kindSock:
		if mark&markSameDev == 0 {
			c.int()
		}
	case kindLink:
		n := c.int()
		if n < 0 || n > maxName {
			c.fail("the server's list has a link of %d bytes", n)
		}
		if c.err == nil {
			e.Link = string(c.bytes(int(n)))
		}
	}
	return e
}

// fetch asks for the files and receives them.
func (d *Download) fetch(c *conn, stream io.Closer, out *Got) {
	type request struct {
		file int32
		sums sums
	}
	var requests []request
	wanted := map[int32]sums{} // those that have not come
	var total int64
	for i, e := range out.List {
		if !e.IsFile() {
			continue
		}
		if total += e.Size; total > d.Most {
			total -= e.Size
			out.Left++
			continue
		}
		r := request{int32(i), sumsOf(d.Have[e.Name], c.seed)}
		requests = append(requests, r)
		wanted[r.file] = r.sums
	}
	asked := make(chan error, 1)
	go func() { // as a client does, which does not wait for what comes
		w := conn{out: c.out, seed: c.seed}
		for _, r := range requests {
			w.putInt(r.file)
			w.putSums(r.sums)
		}
		w.putInt(done)
		w.flush()
		asked <- w.err
	}()
	d.receive(c, wanted, out)
	var err error
	select {
	case err = <-asked:
	default:
		if c.err != nil {
			stream.Close() // so that the writer ends
		}
		err = <-asked
	}
	c.err = cmp.Or(c.err, err)
	c.putInt(done) // nothing is to be sent again
	c.flush()
	if n := c.int(); c.err == nil && n != done {
		c.fail("the server sent file %d after the end", n)
	}
	for range 3 { // what the server counted
		c.long()
	}
	c.putInt(done)
	c.flush()
}

// receive reads the files that were asked for, up to the end of the first round.
func (d *Download) receive(c *conn, wanted map[int32]sums, out *Got) {
	for c.err == nil {
		n := c.int()
		if c.err != nil || n == done {
			break
		}
		s, asked := wanted[n]
		if !asked {
			c.fail("the server sent file %d, which was not asked for, or twice", n)
			return
		}
		delete(wanted, n)
		e := out.List[n]
		if head := c.readSumHead(); c.err == nil && (head.count != s.count || head.block != s.block ||
			head.strong != s.strong || head.rest != s.rest) {
			c.fail("the server answered for %q with other sizes of blocks than it was asked with", e.Name)
		}
		content := d.content(c, e, s, out)
		if c.err == nil {
			out.Files = append(out.Files, content)
		}
	}
	for n := range wanted {
		if c.err == nil {
			c.fail("the server did not send %q", out.List[n].Name)
		}
	}
}

// content receives one file.
func (d *Download) content(c *conn, e Entry, s sums, out *Got) Content {
	content := Content{Name: e.Name}
	have := d.Have[e.Name]
	whole, plain := md4.New(), sha256.New()
	whole.Write(c.seedBytes())
	var kept bytes.Buffer
	add := func(p []byte) {
		whole.Write(p)
		plain.Write(p)
		if content.Size += int64(len(p)); content.Size <= d.Keep {
			kept.Write(p)
		}
		if content.Size > e.Size && c.err == nil {
			c.fail("the server sent more of %q than the %d bytes of its list", e.Name, e.Size)
		}
	}
	buf := make([]byte, literal)
	for c.err == nil {
		token := c.int()
		switch {
		case c.err != nil:
		case token > maxRun:
			c.fail("the server sent a run of %d bytes", token)
		case token > 0:
			out.LongestRun = max(out.LongestRun, int(token))
			for left := int(token); left > 0 && c.err == nil; left -= min(left, len(buf)) {
				p := buf[:min(left, len(buf))]
				c.read(p)
				add(p)
			}
		case token == 0:
			if sum := c.bytes(sumSize); c.err == nil && !bytes.Equal(sum, whole.Sum(nil)) {
				c.fail("the checksum of %q does not fit what came", e.Name)
			}
			content.SHA256 = hex.EncodeToString(plain.Sum(nil))
			if content.Size <= d.Keep {
				content.Kept = kept.Bytes()
			}
			return content
		case -1-int64(token) >= int64(s.count):
			c.fail("the server took block %d of %q from a file of %d", -1-int64(token), e.Name, s.count)
		default:
			i := -1 - token
			at := int64(i) * int64(s.block)
			add(have[at : at+s.size(i)])
			content.Matched += s.size(i)
		}
	}
	return content
}
