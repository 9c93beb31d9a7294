package sshhost

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

// kexPeekTime is how long the server waits for the client's list of algorithms before it sends its own. Nearly all
// clients send theirs unasked; for those that wait, it goes on without.
const kexPeekTime = 250 * time.Millisecond

// gcm are the ciphers that cost least, where the processor knows AES.
var gcm = []string{gossh.CipherAES128GCM, gossh.CipherAES256GCM}

var fastAES = cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL || cpu.S390X.HasAESGCM

// ciphers chooses what to offer. In SSH the client's order decides, and OpenSSH's begins with ChaCha20, which takes
// more than twice the CPU time of AES-GCM here; see bench/README.md. So a client that knows AES-GCM is offered nothing
// else; any other, all there is.
func (c *conn) ciphers(supported []string) []string {
	if !fastAES {
		return supported
	}
	toServer, toClient := c.peekKex()
	both := func(cipher string) bool {
		return slices.Contains(toServer, cipher) && slices.Contains(toClient, cipher)
	}
	if slices.ContainsFunc(gcm, both) {
		return gcm
	}
	return supported
}

// peekKex greets the client and looks ahead at the ciphers in its answer, each way. It reads nothing away. Nil if the
// client keeps silent.
func (c *conn) peekKex() (toServer, toClient []string) {
	line := []byte("SSH-2.0-" + serverVersion + "\r\n")
	if _, err := c.Write(line); err != nil {
		return nil, nil
	}
	c.greeted = line
	c.raw.SetReadDeadline(time.Now().Add(kexPeekTime))
	defer func() { c.raw.SetReadDeadline(c.handshakeEnd) }()
	for want := 1; want <= readBuffer; {
		if _, err := c.in.Peek(want); err != nil {
			return nil, nil
		}
		seen, _ := c.in.Peek(c.in.Buffered())
		if want = kexInitEnd(seen); want == 0 {
			return nil, nil
		} else if want <= len(seen) {
			return kexCiphers(seen)
		}
	}
	return nil, nil
}

// kexInitEnd returns how many bytes the client's version line and its KEXINIT take (RFC 4253, sections 4.2, 6 and
// 7.1), or at least take, as far as the bytes seen show; 0 if there is no KEXINIT.
func kexInitEnd(seen []byte) int {
	end := bytes.IndexByte(seen, '\n')
	if end < 0 {
		if len(seen) > 255 {
			return 0
		}
		return len(seen) + 1
	}
	packet := seen[end+1:]
	if len(packet) < 4 {
		return end + 1 + 4
	}
	length := binary.BigEndian.Uint32(packet)
	if length > 35000 {
		return 0
	}
	return end + 1 + 4 + int(length)
}

// kexCiphers takes the ciphers out of a version line and a KEXINIT.
func kexCiphers(seen []byte) (toServer, toClient []string) {
	const lengths = 4 + 1 // of the packet and of its padding
	packet := seen[bytes.IndexByte(seen, '\n')+1:]
	var kexInit struct {
		Cookie             [16]byte `sshtype:"20"`
		Kex, HostKeys      []string
		ToServer, ToClient []string
		Rest               []byte `ssh:"rest"`
	}
	if len(packet) < lengths || gossh.Unmarshal(packet[lengths:], &kexInit) != nil {
		return nil, nil
	}
	return kexInit.ToServer, kexInit.ToClient
}
