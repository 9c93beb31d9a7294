package platform

import (
	"bytes"
	"errors"
	"os"
	"slices"
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
	f.Add([]byte{0x00, 0x00, 0x10, 0x00, 0x30, 0x00})                                                             // open, write, close
	f.Add([]byte{0x00, 0x00, 0x10, 0x20, 0x10, 0x40, 0x40, 0x00, 0x00, 0x00, 0x10, 0x00, 0x30, 0x00})             // a hole, broken, resumed
	f.Add([]byte{0x00, 0x01, 0x00, 0x01, 0x10, 0x00, 0x11, 0x10, 0x30, 0x00, 0x11, 0x05, 0x41, 0x00})             // two at once
	f.Add([]byte{0x00, 0x01, 0x10, 0x30, 0x20, 0x08, 0x20, 0x50, 0x30, 0x00, 0x00, 0x01, 0x10, 0x02, 0x40, 0x00}) // cut and made longer
	f.Add([]byte{0x50, 0x40, 0x00, 0x00, 0x10, 0x40, 0x30, 0x00, 0x50, 0x10})                                     // uploads between
	f.Add([]byte{0x00, 0x00, 0x60, 0x80, 0x00, 0x00, 0x61, 0x90, 0x10, 0x50, 0x60, 0xa0, 0x60, 0x01, 0x30, 0x00}) // appended
	f.Fuzz(func(t *testing.T, acts []byte) {
		if len(acts) > 80 {
			return
		}
		keep := len(acts)%2 == 0 // a kill needs a store, which costs time
		p := open(t, t.TempDir(), func(o *Options) { o.Keep = keep })
		ref := create(t, p)
		s := share(t, p, ref)
		var m model
		var handles []ShareFile
		check := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := 0; i+1 < len(acts); i += 2 {
			what, which, where := acts[i]>>4, int(acts[i]&0x0f), int(acts[i+1])
			if what > 0 && what != 5 {
				if which >= len(handles) || handles[which] == nil {
					continue
				}
			}
			switch what {
			case 0:
				flag := os.O_RDWR
				if where&1 == 1 {
					flag |= os.O_TRUNC
					m.truncate(0)
				}
				h, err := s.Open(flag)
				check(err)
				handles = append(handles, h)
				m.writers++
			case 1:
				data := bytes.Repeat([]byte{byte(i + 1)}, 1+where%23)
				_, err := handles[which].WriteAt(data, int64(where))
				check(err)
				m.write(where, data)
			case 2:
				check(handles[which].Truncate(int64(where)))
				m.truncate(where)
			case 3:
				_, err := handles[which].Finish()
				check(err)
				handles[which] = nil
				m.end(true)
			case 4:
				check(handles[which].Abort(errBroken))
				handles[which] = nil
				m.end(false)
			case 5: // only while no handle writes: else there are two files, as in TestDumpFile
				if m.writers == 0 {
					data := bytes.Repeat([]byte{byte(i + 1)}, where)
					if fails := upload(t, p, ref, data); fails != nil {
						t.Fatal(fails)
					}
					m.upload(data)
				}
			case 6:
				data, end := bytes.Repeat([]byte{byte(i + 1)}, 1+where%23), len(m.bytes)
				fits := data[:min(len(data), max(where-end, 0))]
				off, n, err := handles[which].Append(data, int64(where))
				check(err)
				if off != int64(end) || n != len(fits) {
					t.Fatalf("act %d: appended %d bytes at %d, want %d at %d", i/2, n, off, len(fits), end)
				}
				if n > 0 {
					m.write(end, fits)
				}
			}
			if got := original(t, p, ref); !bytes.Equal(got, m.complete) || (got == nil) != (m.complete == nil) {
				t.Fatalf("act %d: the complete dump is %q, want %q", i/2, got, m.complete)
			}
			if got := shared(t, s); !bytes.Equal(got, m.bytes) {
				t.Fatalf("act %d: the shared file is %q, want %q", i/2, got, m.bytes)
			}
		}
		if keep {
			next := killed(t, p)
			if got := original(t, next, ref); !bytes.Equal(got, m.complete) {
				t.Fatalf("after a kill the complete dump is %q, want %q", got, m.complete)
			}
			got := shared(t, share(t, next, ref))
			if !bytes.Equal(got, m.complete) && (len(got) > m.whole() || !bytes.Equal(got, m.bytes[:len(got)])) {
				t.Fatalf("after a kill the shared file is %q, want the beginning of %q", got, m.bytes[:m.whole()])
			}
			noLeaks(t, next)
		}
		var err error
		for _, h := range handles {
			if h != nil {
				err = errors.Join(err, h.Abort(errBroken))
			}
		}
		check(err)
		noLeaks(t, p)
	})
}
