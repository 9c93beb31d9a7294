package sftpserver_test

import (
	"io"
	"testing"

	gossh "golang.org/x/crypto/ssh"
)

// FuzzMessages sends bytes in place of SFTP messages. Whatever they are, the session ends when the input does, with an
// exit status, nothing is left open, and the server takes the next client.
func FuzzMessages(f *testing.F) {
	begin := message(1, 3)
	open := message(3, 1, "/"+name, fRead|fWrite|fCreate, 0)
	with := func(messages ...[]byte) []byte {
		b := append([]byte(nil), begin...)
		for _, m := range messages {
			b = append(b, m...)
		}
		return b
	}
	f.Add([]byte{})
	f.Add(begin[:5])
	f.Add(with(open, message(6, 2, "1", uint64(0), "data"), message(5, 3, "1", uint64(0), 100), message(8, 4, "1"),
		message(4, 5, "1")))
	f.Add(with(open, message(6, 2, "1", uint64(1<<63), "data", []byte("padding")), message(10, 3, "1", 1, uint64(7))))
	f.Add(with(message(3, 1, "/"+name, fAppend, 0), message(6, 2, "1", uint64(5), "data"),
		message(6, 3, "1", uint64(0), "data")))
	f.Add(with(message(11, 1, "/"), message(12, 2, "1"), message(5, 3, "1", uint64(0), 9), message(4, 4, "1")))
	f.Add(with(message(200, 1, "limits@openssh.com"), message(200, 2, "posix-rename@openssh.com", "/a", "/b"),
		message(200, 3)))
	f.Add(with(message(9, 1, "/"+name, 0x8000000f, make([]byte, 40)), message(9, 1, "/\x001", 1, uint64(1))))
	f.Add(with(message(21, 1), message(255, 2, "x"), message(0, 3), message(101, 4, 0)))
	f.Add(with([]byte{0xff, 0xff, 0xff, 0xff, 6}))
	f.Add(with([]byte{0, 4, 0, 9, 6, 0, 0, 0, 1}))
	f.Add(with(message(20, 1, "/etc/passwd", "/"+name), message(18, 2, "/a", "/b"), message(14, 3, "/d", 0),
		message(19, 4, name)))

	h := start(f)
	conn, err := gossh.Dial("tcp", h.addr, clientConfig(user, gossh.PublicKeys(h.key)))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { conn.Close() })
	f.Fuzz(func(t *testing.T, sent []byte) {
		ch, reqs, err := conn.OpenChannel("session", nil)
		if err != nil {
			t.Fatalf("the server does not go on: %v", err)
		}
		if ok, err := ch.SendRequest("subsystem", true, gossh.Marshal(struct{ Name string }{"sftp"})); !ok || err != nil {
			t.Fatal(ok, err)
		}
		go io.Copy(io.Discard, ch)
		ch.Write(sent) // the server may have ended the session before all of it is there
		ch.CloseWrite()
		if got := exits(reqs); len(got) != 1 || got[0] > 1 {
			t.Errorf("exit statuses %v", got)
		}
		if open, _ := h.share.ended(); open != 0 {
			t.Errorf("%d files are left open", open)
		}
		h.events.reset()
	})
}
