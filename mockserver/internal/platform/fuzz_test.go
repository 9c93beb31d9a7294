package platform

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// model is what a request's dump should be, said in the simplest way: a byte for each byte, and whether it was written.
type model struct {
	bytes    []byte
	written  []bool
	complete []byte // nil: none
	writers  int
	broken   bool // a session broke since the last completion
	touched  bool // something changed since the last completion
}

func (m *model) resize(n int) {
	for len(m.bytes) < n {
		m.bytes, m.written = append(m.bytes, 0), append(m.written, false)
	}
	m.bytes, m.written = m.bytes[:n:n], m.written[:n:n]
}

func (m *model) write(at int, data []byte) {
	m.touched = true
	if end := at + len(data); end > len(m.bytes) {
		m.resize(end)
	}
	copy(m.bytes[at:], data)
	for i := range data {
		m.written[at+i] = true
	}
}

func (m *model) truncate(n int) {
	m.touched = true
	m.resize(n)
}

// whole is how much is there without a hole.
func (m *model) whole() int {
	if i := slices.Index(m.written, false); i >= 0 {
		return i
	}
	return len(m.written)
}

func (m *model) end(clean bool) {
	m.writers--
	m.broken = m.broken || !clean
	if clean && m.touched && !(m.broken && m.whole() < len(m.bytes)) {
		m.complete = append([]byte{}, m.bytes...) // not nil
		for i := range m.written {
			m.written[i] = true
		}
		m.broken, m.touched = false, false
	}
	if m.writers == 0 && m.broken {
		if whole := m.whole(); whole < len(m.bytes) {
			m.truncate(whole)
		}
		m.broken = false
	}
}

func (m *model) upload(data []byte) {
	*m = model{bytes: bytes.Clone(data), written: slices.Repeat([]bool{true}, len(data)), complete: data}
}

// FuzzDumpFile holds the shared file against the model, and what is found after a kill against what was there.
// Each two bytes are an act: what and on which handle, and where.
func FuzzDumpFile(f *testing.F) {
	for _, seed := range []string{
		"0000 1000 3000",                          // open, write, close
		"0000 1020 1040 4000 0000 1000 3000",      // a hole, broken, resumed
		"0001 0001 1000 1110 3000 1105 4100",      // two at once
		"0001 1030 2008 2050 3000 0001 1002 4000", // cut and made longer
		"5040 0000 1040 3000 5010",                // uploads between
		"0000 6080 0000 6190 1050 60a0 6001 3000", // appended
	} {
		acts, err := hex.DecodeString(strings.ReplaceAll(seed, " ", ""))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(acts)
	}
	f.Fuzz(func(t *testing.T, acts []byte) {
		if len(acts) > 80 {
			return
		}
		keep := len(acts)%2 == 0 // a kill needs a store, which costs time
		z := fuzzed{T: t, p: open(t, t.TempDir(), func(o *Options) { o.Keep = keep })}
		z.ref = create(t, z.p)
		z.s = share(t, z.p, z.ref)
		for i := 0; i+1 < len(acts); i += 2 {
			what, which, where := acts[i]>>4, int(acts[i]&0x0f), int(acts[i+1])
			if what > 0 && what != 5 {
				if which >= len(z.handles) || z.handles[which] == nil {
					continue
				}
			}
			z.act(i, what, which, where)
			z.compare(i / 2)
		}
		if keep {
			z.kill()
		}
		var err error
		for _, h := range z.handles {
			if h != nil {
				err = errors.Join(err, h.Abort(errBroken))
			}
		}
		z.check(err)
		noLeaks(t, z.p)
	})
}

// fuzzed is a request's shared file beside its model.
type fuzzed struct {
	*testing.T
	p       *Platform
	ref     Ref
	s       *Share
	m       model
	handles []ShareFile
}

func (z *fuzzed) check(err error) {
	z.Helper()
	if err != nil {
		z.Fatal(err)
	}
}

// act does the act that begins with byte i, to the file and to the model.
func (z *fuzzed) act(i int, what byte, which, where int) {
	z.Helper()
	switch what {
	case 0:
		flag := os.O_RDWR
		if where&1 == 1 {
			flag |= os.O_TRUNC
			z.m.truncate(0)
		}
		h, err := z.s.Open(flag)
		z.check(err)
		z.handles = append(z.handles, h)
		z.m.writers++
	case 1:
		data := bytes.Repeat([]byte{byte(i + 1)}, 1+where%23)
		_, err := z.handles[which].WriteAt(data, int64(where))
		z.check(err)
		z.m.write(where, data)
	case 2:
		z.check(z.handles[which].Truncate(int64(where)))
		z.m.truncate(where)
	case 3:
		_, err := z.handles[which].Finish()
		z.check(err)
		z.handles[which] = nil
		z.m.end(true)
	case 4:
		z.check(z.handles[which].Abort(errBroken))
		z.handles[which] = nil
		z.m.end(false)
	case 5: // only while no handle writes: else there are two files, as in TestDumpFile
		if z.m.writers == 0 {
			data := bytes.Repeat([]byte{byte(i + 1)}, where)
			if fails := upload(z, z.p, z.ref, data); fails != nil {
				z.Fatal(fails)
			}
			z.m.upload(data)
		}
	case 6:
		data, end := bytes.Repeat([]byte{byte(i + 1)}, 1+where%23), len(z.m.bytes)
		fits := data[:min(len(data), max(where-end, 0))]
		off, n, err := z.handles[which].Append(data, int64(where))
		z.check(err)
		if off != int64(end) || n != len(fits) {
			z.Fatalf("act %d: appended %d bytes at %d, want %d at %d", i/2, n, off, len(fits), end)
		}
		if n > 0 {
			z.m.write(end, fits)
		}
	}
}

// compare holds the file against the model.
func (z *fuzzed) compare(act int) {
	z.Helper()
	if got := original(z, z.p, z.ref); !bytes.Equal(got, z.m.complete) || (got == nil) != (z.m.complete == nil) {
		z.Fatalf("act %d: the complete dump is %q, want %q", act, got, z.m.complete)
	}
	if got := shared(z, z.s); !bytes.Equal(got, z.m.bytes) {
		z.Fatalf("act %d: the shared file is %q, want %q", act, got, z.m.bytes)
	}
}

// kill holds what the next process finds against the model.
func (z *fuzzed) kill() {
	z.Helper()
	next := killed(z, z.p)
	if got := original(z, next, z.ref); !bytes.Equal(got, z.m.complete) {
		z.Fatalf("after a kill the complete dump is %q, want %q", got, z.m.complete)
	}
	got := shared(z, share(z, next, z.ref))
	if !bytes.Equal(got, z.m.complete) && (len(got) > z.m.whole() || !bytes.Equal(got, z.m.bytes[:len(got)])) {
		z.Fatalf("after a kill the shared file is %q, want the beginning of %q", got, z.m.bytes[:z.m.whole()])
	}
	noLeaks(z, next)
}
