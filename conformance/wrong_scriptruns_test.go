package conformance_test

import (
	"encoding/binary"
	"io"
	"strings"

	"github.com/mmcloughlin/md4"
)

// A server's part of rsync, version 27 of the protocol, as far as it takes to send what rsync never would.

// rsyncSeed is the seed of the checksums.
const rsyncSeed = 0x04030201

// rsyncBegins says what comes before the multiplexed stream.
func rsyncBegins(w io.Writer) { w.Write(ints(27, rsyncSeed)) }

// framed writes frames of data.
type framed struct{ w io.Writer }

func (f framed) Write(p []byte) (int, error) {
	head := ints(7<<24 | uint32(len(p)))
	if _, err := f.w.Write(append(head, p...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ints are numbers as rsync writes them.
func ints(v ...uint32) []byte {
	var b []byte
	for _, n := range v {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// listed is an entry of a file list: of a name, a size and a mode.
func listed(name string, size, mode uint32) []byte {
	entry := append([]byte{1, byte(len(name))}, name...)
	return append(entry, ints(size, 1_700_000_000, mode, 0, 0)...)
}

// longRuns serves a download as one directory with one file, in literal runs of 256 KiB.
func longRuns(c *refCommand, next func() int) int {
	if c.Upload {
		return next()
	}
	rsyncBegins(c.Channel)
	out := framed{c.Channel}
	data := strings.Repeat("data", 100_000)
	list := append(listed("upgraded.dump", 4096, 0o040755),
		listed("upgraded.dump/toc.dat", uint32(len(data)), 0o100644)...)
	out.Write(append(append(list, 0), ints(0, 0, 0)...)) // no users, no groups, no errors
	read := func() int32 {
		var n int32
		if binary.Read(c.Channel, binary.LittleEndian, &n) != nil {
			return -1
		}
		return n
	}
	read()            // the version
	for read() != 0 { // no filters
	}
	for phase := 0; phase < 2; {
		file := read()
		if file < 0 {
			out.Write(ints(1<<32 - 1))
			phase++
			continue
		}
		head := []uint32{uint32(file), uint32(read()), uint32(read()), uint32(read()), uint32(read())}
		io.CopyN(io.Discard, c.Channel, int64(head[1])*int64(4+head[3]))
		out.Write(ints(head...))
		sum := md4.New()
		sum.Write(ints(rsyncSeed))
		io.WriteString(sum, data)
		for left := data; left != ""; {
			n := min(len(left), 256<<10)
			out.Write(ints(uint32(n)))
			io.WriteString(out, left[:n])
			left = left[n:]
		}
		out.Write(sum.Sum(ints(0)))
	}
	out.Write(ints(0, 0, uint32(len(data)))) // statistics
	read()
	return 0
}
