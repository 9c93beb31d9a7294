package sshhost

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"
)

// FuzzKexPeek looks ahead at whatever comes instead of a client's first messages.
func FuzzKexPeek(f *testing.F) {
	kexInit := []byte{20}
	kexInit = append(kexInit, make([]byte, 16)...)
	for _, list := range []string{"curve25519-sha256", "ecdsa-sha2-nistp256", "aes128-ctr,aes128-gcm@openssh.com",
		"aes128-gcm@openssh.com"} {
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
		want := kexInitEnd(seen)
		if want != 0 && want <= len(seen) {
			kexCiphers(seen[:want])
		}
		if want > len(seen) && want > len(seen)+35000+8 {
			t.Errorf("wants %d bytes after %d", want, len(seen))
		}
	})
}

func TestKexCiphers(t *testing.T) {
	t.Parallel()
	begin := "SSH-2.0-x\r\n" + "\x00\x00\x00\x30\x04\x14" + strings.Repeat("c", 16) +
		"\x00\x00\x00\x01k\x00\x00\x00\x01h\x00\x00\x00\x03a,b\x00\x00\x00\x01c1234"
	for n := range len(begin) {
		if want := kexInitEnd([]byte(begin[:n])); want <= n || want > len(begin)+6 {
			t.Errorf("after %d bytes %d are wanted", n, want)
		}
	}
	toServer, toClient := kexCiphers([]byte(begin))
	if diff := cmp.Diff([][]string{{"a", "b"}, {"c"}}, [][]string{toServer, toClient}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
