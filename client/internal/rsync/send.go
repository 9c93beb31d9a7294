package rsync

import (
	"errors"
	"fmt"
	"io"

	"github.com/mmcloughlin/md4"

	"github.com/upgrademock/upgrademock/client/internal/transfer"
)

// A Source is what [Send] sends.
type Source struct {
	// Entries are the files and directories. Directories stand for themselves: what is in them is listed, too. The
	// destination is called ".".
	Entries []Entry

	// Open opens a file. What it returns must give the entry's number of bytes.
	Open func(Entry) (io.ReadCloser, error)

	// Progress, if not nil, is called with the number of bytes that the server has, or that were handed to the
	// network.
	Progress func(done int64)
}

// Sent says what Send did.
type Sent struct {
	Bytes int64 // of file data that were sent
	Files int   // that were sent, the one that was under way in the end included
	Whole int   // files that the server has, in the order of their names, up to the first that it may not have
}

// ErrSource wraps the errors of reading the source.
var ErrSource = errors.New("reading what is sent")

// Send sends files to a server that was started by [UploadCommand]. It returns when the server has said that it has
// everything. What it returns is never nil.
func Send(s Stream, src Source) (*Sent, error) {
	said := &messages{}
	sent := &Sent{}
	err := send(s, src, sent, said)
	return sent, said.explain(err)
}

func send(s Stream, src Source, sent *Sent, said *messages) error {
	c, err := open(s, said)
	if err != nil {
		return err
	}
	entries := sorted(src.Entries)
	// A server that deletes waits for the end of the filters.
	c.putInt(0)
	before, whole := make([]int64, len(entries)+1), make([]int, len(entries)+1) // bytes and files
	for i, e := range entries {
		c.putEntry(e)
		before[i+1], whole[i+1] = before[i], whole[i]
		if e.Mode.IsRegular() {
			before[i+1], whole[i+1] = before[i]+e.Size, whole[i]+1
		}
	}
	_ = c.out.WriteByte(0)
	c.putInt(0) // no error while reading directories
	progress := src.Progress
	if progress == nil {
		progress = func(int64) {}
	}
	asked := make(map[int32]bool)
	buf := make([]byte, maxRun)
	for phase := 0; phase < 2; {
		i, err := c.int()
		if err != nil {
			return err
		}
		if i == done {
			c.putInt(done)
			phase++
			continue
		}
		if i < 0 || int(i) >= len(entries) || !entries[i].Mode.IsRegular() {
			return transfer.Contradiction("the server asks for file number %d of %d", i, len(entries))
		}
		if asked[i] && phase == 0 {
			return transfer.Contradiction("the server asks for %s twice", entries[i].Name)
		}
		if !asked[i] {
			sent.Files++
		}
		if phase == 0 {
			sent.Whole = whole[i]
			progress(before[i])
		}
		asked[i] = true
		earlier := sent.Bytes
		if err := c.sendFile(i, entries[i], src.Open, buf, func(n int64) {
			sent.Bytes = earlier + n
			if phase == 0 {
				progress(before[i] + n)
			}
		}); err != nil {
			return err
		}
	}
	if err := c.flush(); err != nil {
		return err
	}
	if i, err := c.int(); err != nil {
		return err
	} else if i != done {
		return transfer.Contradiction("the server says %d in place of farewell", i)
	}
	sent.Whole = whole[len(entries)]
	progress(before[len(entries)])
	return nil
}

// sendFile answers a request for a file. Which blocks of it the server has does not matter.
func (c *conn) sendFile(
	i int32, e Entry, open func(Entry) (io.ReadCloser, error), buf []byte, progress func(done int64),
) error {
	head, err := c.sums()
	if err != nil {
		return err
	}
	f, err := open(e)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	defer f.Close()
	c.putInt(i)
	for _, v := range head {
		c.putInt(v)
	}
	sum := md4.New()
	_, _ = sum.Write(c.seed[:])
	for at := int64(0); at < e.Size; {
		run := buf[:min(int64(len(buf)), e.Size-at)]
		if _, err := io.ReadFull(f, run); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrSource, e.Name, err)
		}
		_, _ = sum.Write(run)
		c.putInt(int32(len(run)))
		if _, err := c.out.Write(run); err != nil {
			return err
		}
		at += int64(len(run))
		progress(at)
	}
	c.putInt(0)
	_, err = c.out.Write(sum.Sum(nil))
	return err
}

// maxBlocks is how many checksums of blocks a server may send of a file. rsync itself sends at most one for each 700
// bytes, and about the square root of their number.
const maxBlocks = 64 << 20

// sums reads the checksums of a file that the server has, and returns their head.
func (c *conn) sums() (head [4]int32, err error) {
	for i := range head {
		if head[i], err = c.int(); err != nil {
			return head, err
		}
	}
	count, length := int64(head[0]), int64(head[2])
	if count < 0 || count > maxBlocks || length < 0 || length > 64 {
		return head, transfer.Contradiction("%d checksums of %d bytes", count, length)
	}
	_, err = io.CopyN(io.Discard, c, count*(4+length))
	return head, noEOF(err)
}

// explain adds what the server said to an error.
func (m *messages) explain(err error) error {
	if err == nil || len(m.lines) == 0 {
		return err
	}
	return fmt.Errorf("%w; the server says %.1000q", err, m.String())
}
