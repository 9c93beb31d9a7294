package unpack_test

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// A bitWriter writes blocks of Deflate64 with the fixed codes, and keeps what they unpack to.
type bitWriter struct {
	packed bytes.Buffer
	bits   uint64
	have   uint
	plain  []byte
}

func (w *bitWriter) put(v uint64, n uint) {
	w.bits |= v << w.have
	for w.have += n; w.have >= 8; w.have -= 8 {
		w.packed.WriteByte(byte(w.bits))
		w.bits >>= 8
	}
}

// code writes a Huffman code, whose highest bit comes first.
func (w *bitWriter) code(v uint64, n uint) {
	for i := range n {
		w.put(v>>(n-1-i)&1, 1)
	}
}

// literal writes a symbol of the fixed code (RFC 1951, 3.2.6).
func (w *bitWriter) symbol(s uint64) {
	switch {
	case s < 144:
		w.code(0x30+s, 8)
	case s < 256:
		w.code(0x190+s-144, 9)
	case s < 280:
		w.code(s-256, 7)
	default:
		w.code(0xc0+s-280, 8)
	}
}

func (w *bitWriter) literal(b byte) {
	w.symbol(uint64(b))
	w.plain = append(w.plain, b)
}

// match writes a match of 3 to 65538 bytes with Deflate64's own length code, at a distance that one of the codes
// begins with.
func (w *bitWriter) match(length, distanceCode, distance int, extra uint) {
	w.symbol(285)
	w.put(uint64(length-3), 16)
	w.code(uint64(distanceCode), 5)
	w.put(0, extra)
	for range length {
		w.plain = append(w.plain, w.plain[len(w.plain)-distance])
	}
}

// The distances and lengths that Deflate does not have, in fixed and stored blocks.
func TestDeflate64_far(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	w := &bitWriter{}
	w.put(0, 1)
	w.put(0, 2) // a stored block
	w.put(0, 5)
	w.put(0xffff, 16)
	w.put(0, 16)
	for range 0xffff {
		b := byte(random.Uint32())
		w.put(uint64(b), 8)
		w.plain = append(w.plain, b)
	}
	w.put(1, 1)
	w.put(1, 2) // a fixed one
	for _, b := range []byte("so far\xff\x00\x90") {
		w.literal(b)
	}
	w.match(65538, 0, 1, 0)       // one byte, again and again
	w.match(3, 31, 65537-0, 14)   // beyond 64 KiB - 1 …
	w.match(65538, 30, 49153, 14) // … and the other new code
	w.match(1000, 29, 24577, 13)
	w.literal('!')
	w.symbol(256)
	w.put(0, 7)
	check := func(name string, in io.Reader) {
		r, err := unpack.New(unpack.Deflate64, in, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, w.plain) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(w.plain))
		}
	}
	check("whole", bytes.NewReader(w.packed.Bytes()))
	for size := 0; size < w.packed.Len(); size += 997 {
		r, err := unpack.New(unpack.Deflate64, bytes.NewReader(w.packed.Bytes()[:size]), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err == nil {
			t.Errorf("no error for %d of %d bytes", size, w.packed.Len())
		}
	}
}

// What is broken is an error.
func TestDeflate64_broken(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"an unknown block":         "\x07",
		"lengths that do not fit":  "\x01\x05\x00\x00\x00",
		"a distance before it all": "\x4b\x04\x13\x00",
		"nothing":                  "",
	} {
		r, err := unpack.New(unpack.Deflate64, bytes.NewReader([]byte(in)), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What Deflate packs without its longest matches is Deflate64 of the same bytes, in blocks of all kinds.
func FuzzDeflate64(f *testing.F) {
	for _, s := range []string{"", "a", text[:5000], "\x00\xff"} {
		f.Add([]byte(s), 6)
	}
	f.Fuzz(func(t *testing.T, plain []byte, level int) {
		level = max(flate.HuffmanOnly, min(level, 9))
		// No match is as long as the code whose meaning differs: a byte that comes once stands in every 200 of them.
		var mixed []byte
		for i, b := range plain {
			if i%200 == 0 {
				mixed = append(mixed, byte(i/200), byte(i/200>>8), byte(i/200*7))
			}
			mixed = append(mixed, b)
		}
		var packed bytes.Buffer
		w, err := flate.NewWriter(&packed, level)
		if err != nil {
			t.Skip()
		}
		_, _ = w.Write(mixed)
		_ = w.Close()
		r, err := unpack.New(unpack.Deflate64, &packed, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, mixed) {
			t.Errorf("%d bytes, %v; want %d", len(got), err, len(mixed))
		}
	})
}
