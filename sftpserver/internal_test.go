package sftpserver

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"
)

// TestRanges compares with a plain set of bytes.
func TestRanges(t *testing.T) {
	t.Parallel()
	const size = 64
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var r ranges
		var have [size + 1]bool
		for range 12 {
			from, to := random.Int64N(size), random.Int64N(size+1)
			if random.IntN(5) == 0 {
				r.cut(from)
				for i := from; i < size; i++ {
					have[i] = false
				}
			} else {
				if !r.add(from, to) {
					t.Fatal("too scattered")
				}
				for i := from; i < to; i++ {
					have[i] = true
				}
			}
			var want []Range
			whole := int64(0)
			for i := int64(0); i < size; i++ {
				if have[i] && (i == 0 || !have[i-1]) {
					want = append(want, Range{From: i})
				}
				if have[i] && !have[i+1] {
					want[len(want)-1].To = i + 1
				}
				if have[i] && whole == i {
					whole++
				}
			}
			if diff := cmp.Diff(want, r.snapshot()); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if !r.covers(whole) || r.covers(whole+1) {
				t.Fatalf("covers(%d) = %v, covers(%d) = %v of %v", whole, r.covers(whole), whole+1, r.covers(whole+1), want)
			}
		}
	}
}

func TestRanges_areBounded(t *testing.T) {
	t.Parallel()
	var r ranges
	for i := range int64(maxRanges) {
		if !r.add(2*i, 2*i+1) {
			t.Fatalf("refused the %dth", i)
		}
	}
	if r.add(2*maxRanges, 2*maxRanges+1) {
		t.Error("one too many was taken")
	}
	if !r.add(1, 2) || !r.add(2*maxRanges-1, 2*maxRanges) {
		t.Error("one that touches another was refused")
	}
}

// FuzzCleanPath: no path leads out of the root, and cleaning again changes nothing.
func FuzzCleanPath(f *testing.F) {
	for _, p := range []string{"", ".", "/", "..", "//", "/a", "a", "./a", "/../a", "a/../../b", "a/./b//c/", "\x00", "/\x001", `..\..`, "/a/..", "ä/../ö"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		got := cleanPath(p)
		if !strings.HasPrefix(got, "/") || got != cleanPath(got) || got != "/" && strings.HasSuffix(got, "/") {
			t.Errorf("cleanPath(%q) = %q", p, got)
		}
		for _, part := range strings.Split(got, "/")[1:] {
			if part == ".." || part == "." || part == "" && got != "/" {
				t.Errorf("cleanPath(%q) = %q", p, got)
			}
		}
	})
}

// FuzzHello looks ahead at whatever comes instead of a client's first messages.
func FuzzHello(f *testing.F) {
	kexInit := []byte{20}
	kexInit = append(kexInit, make([]byte, 16)...)
	for _, list := range []string{"curve25519-sha256", "ecdsa-sha2-nistp256", "aes128-ctr,aes128-gcm@openssh.com", "aes128-gcm@openssh.com"} {
		kexInit = append(kexInit, gossh.Marshal(struct{ List string }{list})...)
	}
	packet := append([]byte{0, 0, 0, byte(len(kexInit) + 1 + 4), 4}, append(kexInit, 0, 0, 0, 0)...)
	f.Add(append([]byte("SSH-2.0-x\r\n"), packet...))
	f.Add(append([]byte("SSH-2.0-x\n"), packet[:20]...))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("SSH-2.0-x\r\n\xff\xff\xff\xff"))
	f.Add([]byte("SSH-2.0-x\r\n\x00\x00\x00\x00"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, seen []byte) {
		want := helloLength(seen)
		if want != 0 && want <= len(seen) {
			helloCiphers(seen[:want])
		}
		if want > len(seen) && want > len(seen)+35000+8 {
			t.Errorf("wants %d bytes after %d", want, len(seen))
		}
	})
}

func TestHello_ciphersOfAWholeOne(t *testing.T) {
	t.Parallel()
	hello := "SSH-2.0-x\r\n" + "\x00\x00\x00\x30\x04\x14" + strings.Repeat("c", 16) + "\x00\x00\x00\x01k\x00\x00\x00\x01h\x00\x00\x00\x03a,b\x00\x00\x00\x01c1234"
	for n := range len(hello) {
		if want := helloLength([]byte(hello[:n])); want <= n || want > len(hello)+6 {
			t.Errorf("after %d bytes %d are wanted", n, want)
		}
	}
	toServer, toClient := helloCiphers([]byte(hello))
	if diff := cmp.Diff([][]string{{"a", "b"}, {"c"}}, [][]string{toServer, toClient}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
