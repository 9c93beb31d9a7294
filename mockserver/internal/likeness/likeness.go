// Package likeness compares a file that arrived with the one that was sent, and describes the difference: packed, cut,
// sent twice, with other line ends.
package likeness

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// A File is what is compared.
type File struct {
	io.ReaderAt
	Size int64
}

// Bytes returns a File with the content b.
func Bytes(b []byte) File { return File{bytes.NewReader(b), int64(len(b))} }

func (f File) open() io.Reader { return io.NewSectionReader(f, 0, f.Size) }

// A Likeness is what a comparison found.
type Likeness struct {
	// Same reports whether the file arrived, as it is or packed.
	Same bool
	// Packed names the packings around it, from the outside in.
	Packed string
	// Text describes what arrived. It quotes at most a few bytes.
	Text string
	// Offset is that of the first byte that differs from the wanted file, if Same is false.
	Offset int64
}

// Exact reports whether the file arrived byte for byte.
func (l Likeness) Exact() bool { return l.Same && l.Packed == "" }

// maxMemory is the size of the largest files that are examined for more than where they differ.
const maxMemory = 64 << 20

// Compare compares what arrived with the file that was wanted, which the texts call name, such as "the dump".
// The error is one of reading either of them, or wraps [dump.ErrBusy] when unpacking needs memory that is not free.
func Compare(got, want File, name string) (Likeness, error) {
	same, err := commonPrefix(got, want)
	if err != nil {
		return Likeness{}, err
	}
	if same == want.Size && same == got.Size {
		return Likeness{Same: true, Text: name + ", byte for byte"}, nil
	}
	how, err := unpacks(got, want)
	if err != nil {
		return Likeness{}, err
	}
	if how != "" {
		return Likeness{Same: true, Packed: how, Text: name + ", packed as " + how}, nil
	}
	d := difference{name: name, gotSize: got.Size, wantSize: want.Size, prefix: same}
	if d.suffix, err = commonSuffix(got, want, min(got.Size, want.Size)-same); err != nil {
		return Likeness{}, err
	}
	text := ""
	if got.Size <= maxMemory && want.Size <= maxMemory {
		if d.got, err = io.ReadAll(got.open()); err != nil {
			return Likeness{}, err
		}
		if d.want, err = io.ReadAll(want.open()); err != nil {
			return Likeness{}, err
		}
		text = d.looks()
	}
	if text == "" {
		text = d.shape()
	}
	return Likeness{Text: text + d.where(), Offset: same}, nil
}

// commonPrefix returns how many bytes both begin with.
func commonPrefix(a, b File) (int64, error) { return commonStream(a.open(), b.open()) }

// compareBuffer is the size of the buffers through which files are compared.
const compareBuffer = 64 << 10

// commonStream returns how many bytes both begin with. A stream that is broken ends there.
func commonStream(a, b io.Reader) (int64, error) {
	x, y := bufio.NewReaderSize(a, compareBuffer), bufio.NewReaderSize(b, compareBuffer)
	var n int64
	for {
		if _, err := x.Peek(1); err != nil {
			return n, notEOF(err)
		}
		if _, err := y.Peek(1); err != nil {
			return n, notEOF(err)
		}
		// What is buffered can be peeked at without an error.
		p, _ := x.Peek(x.Buffered())
		q, _ := y.Peek(min(y.Buffered(), len(p)))
		same := prefixLen(p, q)
		n += int64(same)
		if same < len(q) {
			return n, nil
		}
		x.Discard(same)
		y.Discard(same)
	}
}

func notEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func prefixLen(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// commonSuffix returns how many bytes both end with, up to most.
func commonSuffix(a, b File, most int64) (int64, error) {
	var p, q [64 << 10]byte
	for n := int64(0); n < most; {
		size := min(int64(len(p)), most-n)
		if _, err := a.ReadAt(p[:size], a.Size-n-size); err != nil && err != io.EOF {
			return n, err
		}
		if _, err := b.ReadAt(q[:size], b.Size-n-size); err != nil && err != io.EOF {
			return n, err
		}
		for i := size - 1; i >= 0; i-- {
			if p[i] != q[i] {
				return n, nil
			}
			n++
		}
	}
	return most, nil
}

// A difference is between two files of which got is want[:prefix] + something + want[wantSize-suffix:].
type difference struct {
	name              string
	gotSize, wantSize int64
	prefix, suffix    int64
	got, want         []byte // nil when they are large
}

// where describes the first difference; it returns "" if one of the files just ends.
func (d *difference) where() string {
	if d.prefix == d.gotSize || d.prefix == d.wantSize {
		return ""
	}
	text := fmt.Sprintf("; the first difference is at offset %d of %d", d.prefix, d.wantSize)
	if d.got != nil {
		text += fmt.Sprintf(": %s in place of %s", excerpt(d.got[d.prefix:]), excerpt(d.want[d.prefix:]))
	}
	return text
}

// excerpt quotes the first 8 bytes: too few to be a secret.
func excerpt(b []byte) string { return fmt.Sprintf("%q", b[:min(len(b), 8)]) }

// shape describes the difference by what was left out and what was put in.
func (d *difference) shape() string {
	in, out := d.gotSize-d.prefix-d.suffix, d.wantSize-d.prefix-d.suffix
	zeros := in > 0 && d.got != nil && isZero(d.got[d.prefix:d.prefix+in])
	switch {
	case d.gotSize == 0:
		return "an empty file"
	case in == 0 && d.suffix == 0:
		return d.cut()
	case in == 0 && d.prefix == 0:
		return fmt.Sprintf(
			"only the last %d of the %d bytes of %s, as when a file is sent again without going back to its beginning",
			d.gotSize, d.wantSize, d.name)
	case in == 0:
		return fmt.Sprintf("%s with %d bytes missing from offset %d on", d.name, out, d.prefix)
	case zeros && out > 0 && in != out && d.suffix > 0:
		return fmt.Sprintf("%s with %d zero bytes from offset %d on in place of %d of its own", d.name, in,
			d.prefix, out)
	case zeros && out > 0 && d.suffix > 0 || zeros && in == out:
		return fmt.Sprintf("%s with a hole: %d zero bytes from offset %d on", d.name, in, d.prefix)
	case zeros && out == 0 && d.suffix == 0:
		return fmt.Sprintf("%s, and %d zero bytes behind it", d.name, in)
	case zeros && out == 0:
		return fmt.Sprintf("%s with %d zero bytes put in at offset %d", d.name, in, d.prefix)
	case out == 0 && d.suffix == 0:
		return fmt.Sprintf("%s, and %d bytes too many behind it", d.name, in)
	case out == 0 && d.prefix == 0:
		return fmt.Sprintf("%s behind %d bytes that are not its own", d.name, in)
	case out == 0:
		return fmt.Sprintf("%s with %d bytes too many from offset %d on", d.name, in, d.prefix)
	case in == out && d.prefix+d.suffix > 0 && in < d.wantSize/2:
		return fmt.Sprintf("%s with %d other bytes from offset %d on", d.name, in, d.prefix)
	}
	return d.other()
}

// cut describes a file that ends too early.
func (d *difference) cut() string {
	if d.want != nil && d.gotSize > 0 && d.want[d.prefix] == 0 {
		return fmt.Sprintf("only the first %d of the %d bytes of %s: it was cut at a NUL", d.gotSize, d.wantSize,
			d.name)
	}
	if rest := d.wantSize - d.gotSize; d.want != nil && rest <= 2 && strings.Trim(string(d.want[d.gotSize:]),
		"\r\n") == "" {
		return fmt.Sprintf("%s without the line end that it ends with", d.name)
	}
	return fmt.Sprintf("only the first %d of the %d bytes of %s", d.gotSize, d.wantSize, d.name)
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
