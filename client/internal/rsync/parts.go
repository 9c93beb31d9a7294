package rsync

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/md4"

	"github.com/upgrademock/upgrademock/client/internal/transfer"
)

// leastBasis is how large a part must be to be continued. Smaller ones are not worth the server's search.
const leastBasis = 256 << 10

// oldSuffix ends the name of a part that an earlier run has left.
const oldSuffix = ".old"

// part returns the name of the part of a file: of this very file, by its name, size and time.
func (t *receiving) part(e Entry) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %d", e.Name, e.Size, e.ModTime.Unix()))
	return filepath.Join(t.Parts, hex.EncodeToString(sum[:16]))
}

// prepareParts makes the directory of parts, and finds in it what can be continued. Everything else in it is removed.
func (t *receiving) prepareParts() error {
	if err := t.Root.MkdirAll(t.Parts, 0o700); err != nil {
		return err
	}
	t.bases = map[int32]int64{}
	keep := map[string]bool{}
	for i, wanted := range t.wanted {
		if !wanted || t.entries[i].Size < leastBasis {
			continue
		}
		name := t.part(t.entries[i])
		last, old := t.size(name), t.size(name+oldSuffix)
		if last >= leastBasis && last >= old {
			if err := t.Root.Rename(name, name+oldSuffix); err != nil {
				return err
			}
			old = last
		}
		if old >= leastBasis {
			t.bases[int32(i)] = old
			keep[filepath.Base(name+oldSuffix)] = true
		}
	}
	t.clear(keep)
	return nil
}

// size returns the size of a regular file, and -1 for anything else.
func (t *receiving) size(name string) int64 {
	info, err := t.Root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	return info.Size()
}

// clear removes the parts that are not to be kept.
func (t *receiving) clear(keep map[string]bool) {
	dir, err := t.Root.Open(t.Parts)
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if !keep[name] {
			_ = t.Root.Remove(filepath.Join(t.Parts, name))
		}
	}
}

// tidy removes what the next run does not need: all parts if everything is there, and else those that are too small.
func (t *receiving) tidy(all bool) {
	keep := map[string]bool{}
	for i, wanted := range t.wanted {
		if !wanted || all {
			continue
		}
		for _, name := range []string{t.part(t.entries[i]), t.part(t.entries[i]) + oldSuffix} {
			keep[filepath.Base(name)] = t.size(name) >= leastBasis
		}
	}
	t.clear(keep)
	_ = t.Root.Remove(t.Parts) // if it is empty
}

// blockLength returns the length of the blocks of a part: about the square root of its size, as rsync has it.
func blockLength(size int64) int64 {
	return min(max(700, int64(math.Sqrt(float64(size)))&^7), 128<<10)
}

// askRest asks for a file of which a part is here. The server finds the blocks of the part by their checksums, and
// sends the numbers of those, and the bytes of what is between them.
func (t *receiving) askRest(i int32, size int64) error {
	f, err := t.Root.Open(t.part(t.entries[i]) + oldSuffix)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDestination, err)
	}
	defer f.Close()
	length := blockLength(size)
	t.c.putInt(i)
	for _, v := range []int64{(size + length - 1) / length, length, md4.Size, size % length} {
		t.c.putInt(int32(v))
	}
	r := bufio.NewReaderSize(f, 256<<10)
	block := make([]byte, length)
	for left := size; left > 0; left -= int64(len(block)) {
		block = block[:min(length, left)]
		if _, err := io.ReadFull(r, block); err != nil {
			return fmt.Errorf("%w: %w", ErrDestination, noEOF(err))
		}
		t.c.putInt(int32(weakSum(block)))
		sum := md4.New()
		_, _ = sum.Write(block)
		_, _ = sum.Write(t.c.seed[:])
		if _, err := t.c.out.Write(sum.Sum(nil)); err != nil {
			return err
		}
	}
	return nil
}

// weakSum returns the checksum that a sender rolls over a file. Its bytes have signs.
func weakSum(block []byte) uint32 {
	var a, b uint32
	for _, c := range block {
		a += uint32(int32(int8(c)))
		b += a
	}
	return a&0xffff | b<<16
}

// blocks are those of the part that a server may name instead of sending them.
type blocks struct {
	f             *os.File // nil if there are none
	count, length int64
	size          int64
}

// blocks reads the head of a file that comes, and opens the part that it refers to.
func (t *receiving) blocks(i int32) (*blocks, error) {
	var head [4]int32
	for k := range head {
		var err error
		if head[k], err = t.c.int(); err != nil {
			return nil, err
		}
	}
	size := t.bases[i]
	if size == 0 {
		return &blocks{}, nil // what the head says of blocks does not matter
	}
	length := blockLength(size)
	b := &blocks{count: (size + length - 1) / length, length: length, size: size}
	if int64(head[0]) != b.count || int64(head[1]) != b.length {
		return nil, transfer.Contradiction("the server speaks of %d blocks of %d bytes, and was told of %d of %d",
			head[0], head[1], b.count, b.length)
	}
	var err error
	if b.f, err = t.Root.Open(t.part(t.entries[i]) + oldSuffix); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDestination, err)
	}
	return b, nil
}

// read returns a block, and its length.
func (b *blocks) read(i int64) (io.Reader, int64, error) {
	if b.f == nil || i < 0 || i >= b.count {
		return nil, 0, transfer.Contradiction("the server names block %d of %d", i, b.count)
	}
	at := i * b.length
	n := min(b.length, b.size-at)
	return io.NewSectionReader(b.f, at, n), n, nil
}

func (b *blocks) close() {
	if b.f != nil {
		_ = b.f.Close()
	}
}
