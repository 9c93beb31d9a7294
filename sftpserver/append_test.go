package sftpserver_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// TestAppend_clients appends as public clients do: each counts its offsets in a way of its own. TestAsyncSSH, TestCurl
// and TestParamiko_append run the programs themselves.
func TestAppend_clients(t *testing.T) {
	t.Parallel()
	before, tail := pattern(100_001), pattern(777_777)
	for client, offset := range map[string]func(sent int) int{
		"curl --append":            func(sent int) int { return sent },
		"paramiko, mode a":         func(sent int) int { return len(before) + sent },
		"asyncssh, mode ab":        func(int) int { return 0 },
		"ssh2-sftp-client, append": func(sent int) int { return (len(tail) - sent) * 7 % 1000 },
	} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			h.share.set(before)
			r := h.raw()
			handle := r.open(name, fWrite|fAppend|fCreate)
			n := 0
			for at := 0; at < len(tail); at += 32 << 10 {
				r.send(6, handle, uint64(offset(at)), string(tail[at:min(at+32<<10, len(tail))]))
				n++
			}
			for range n {
				r.wantOK("write")
			}
			r.close(handle)
			h.wants(append(bytes.Clone(before), tail...))
		})
	}
}

// TestAsyncSSH appends with asyncssh, which sends every WRITE in mode "ab" with the offset 0: one after the other, and
// many at once.
func TestAsyncSSH(t *testing.T) {
	t.Parallel()
	python := testprog.NeedPython(t, "asyncssh", "python3-asyncssh")
	for name, lines := range map[string][]string{
		"one by one": {
			"async with sftp.open(name, 'ab') as f:",
			"  for piece in pieces: await f.write(piece)",
		},
		"at once": {
			"async with sftp.open(name, 'ab') as f:",
			"  await asyncio.gather(*[f.write(piece) for piece in pieces])",
		},
		"resumed": {
			"for piece in pieces:",
			"  async with sftp.open(name, 'ab') as f: await f.write(piece)",
		},
		"with offsets": {
			"async with sftp.open(name, 'ab') as f:",
			"  for i, piece in enumerate(pieces): await f.write(piece, i * 37 % 11)",
		},
		"appended, and read back": {
			"async with sftp.open(name, 'ab+') as f:",
			"  for piece in pieces: await f.write(piece)",
			"  await f.seek(0)",
			"  assert (await f.read()) == before + tail",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 4)
			h := start(t)
			before, tail := pattern(100_001), pattern(150_000)
			h.share.set(before)
			h.write("before", before)
			h.write("tail", tail)
			program := "import asyncio, asyncssh\n" +
				"async def main():\n" +
				"  before, tail, name = open('before', 'rb').read(), open('tail', 'rb').read(), '" + h.share.name + "'\n" +
				"  pieces = [tail[i:i + 3001] for i in range(0, len(tail), 3001)]\n" +
				"  async with asyncssh.connect('127.0.0.1', " + h.port() + ", username='" + user +
				"', client_keys=['id'], known_hosts=None, config=None) as c:\n" +
				"    async with c.start_sftp_client() as sftp:\n" +
				"      " + strings.Join(lines, "\n      ") + "\n" +
				"asyncio.run(main())\n"
			h.must("", python, h.write("append.py", []byte(program)))
			h.wants(append(bytes.Clone(before), tail...))
		})
	}
}
