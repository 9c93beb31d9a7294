package rsync

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/mmcloughlin/md4"
)

// A sending is a download that is sent in process.
type sending struct {
	*download
	seed [4]byte
	w    *bufio.Writer // to out; empty between files
	buf  []byte
	sum  hash.Hash
}

func newSending(d *download, seed int32) *sending {
	t := &sending{download: d, buf: make([]byte, maxRun), sum: md4.New()}
	binary.LittleEndian.PutUint32(t.seed[:], uint32(seed))
	t.w = bufio.NewWriterSize(writerFunc(d.out.data), maxRun)
	return t
}

type writerFunc func([]byte) error

func (f writerFunc) Write(p []byte) (int, error) {
	if err := f(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sendAll sends what the client asks for.
func (t *sending) sendAll() error {
	var b [4]byte
	for phase := 0; phase < 2; {
		i, head, err := t.nextAsk(t.r)
		if err != nil {
			return err
		}
		if i == phaseEnd {
			phase++
			if err := t.out.data(appendInt32(b[:0], phaseEnd)); err != nil {
				return err
			}
			continue
		}
		if err := t.sendOne(i, head); err != nil {
			return err
		}
	}
	if err := t.sendStats(); err != nil {
		return err
	}
	last, err := t.r.int32()
	if err == nil && last != phaseEnd {
		err = protocol("%d after the end", last)
	}
	return err
}

// sendOne sends a file, and what has passed of it if it cannot be sent.
func (t *sending) sendOne(i int32, head sumHead) error {
	var sums *blockSums
	size := t.list[i].size
	if head.count > maxSums || head.length > maxBlockHere || size == 0 {
		if err := t.r.pass(head.sums(), nil); err != nil {
			return err
		}
		head = sumHead{}
	}
	if head.count > 0 {
		var err error
		if sums, err = readSums(t.r, head); err != nil {
			return err
		}
	}
	f, err := openRegular(t.job.Files, t.list[i].path)
	if err != nil {
		return err
	}
	defer f.Close()
	t.write(head.append(appendInt32(t.buf[:0], i)))
	file := File{Name: t.list[i].path}
	t.sum.Reset()
	t.sum.Write(t.seed[:])
	if sums == nil {
		err = t.sendWhole(f, &file)
	} else {
		err = t.search(f, sums, &file)
	}
	if err == nil {
		t.write(t.sum.Sum(appendInt32(t.buf[:0], 0)))
	}
	if flushed := t.w.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		return err
	}
	file.Size = file.Literal + file.Matched
	t.done(file)
	return nil
}

func openRegular(files fs.FS, name string) (fs.File, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// write keeps its error until the next Flush.
func (t *sending) write(p []byte) { _, _ = t.w.Write(p) }

func (t *sending) sendWhole(f io.Reader, file *File) error {
	for {
		n, err := f.Read(t.buf)
		if n > 0 {
			if err := t.literal(t.buf[:n], file); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", quote(file.Name), err)
		}
	}
}

// literal sends data, in runs that every client takes.
func (t *sending) literal(data []byte, file *File) error {
	for len(data) > 0 {
		run := data[:min(len(data), maxRun)]
		pass, cut := t.pass(file.Name, file.Literal+file.Matched, len(run))
		if pass > 0 {
			run = run[:pass]
			var b [4]byte
			t.write(appendInt32(b[:0], int32(pass)))
			if _, err := t.w.Write(run); err != nil {
				return err
			}
			t.sum.Write(run)
			file.Literal += int64(pass)
		}
		if cut != nil {
			return cut
		}
		data = data[len(run):]
	}
	return nil
}

// matched says that the client has the block.
func (t *sending) matched(i int32, data []byte, file *File) {
	var b [4]byte
	t.write(appendInt32(b[:0], -(i + 1)))
	t.sum.Write(data)
	file.Matched += int64(len(data))
}
