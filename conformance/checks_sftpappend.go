package conformance

import (
	"fmt"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

const appendBase = 100_003 // bytes that are there before the checks append

// appends makes the check of appending with the flag APPEND in many writes at once. Offset returns the offset that a
// write is sent with, given its number and where in the appended bytes it begins; each write goes to the end all the same.
func appends(id, how string, offset func(i int, at int64) int64) check {
	return check{id: "sftp/" + id, rows: rows("5.12"), evidence: EvidenceObserved, needs: needsSFTP | needsWrites,
		says: "With the flag APPEND each write goes to the end, in the order in which they come: " + how + ".",
		run: func(b *checker) {
			req := b.create()
			c, data := b.sftp(req), someDump(300_001)
			c.mustPut(req.filename(), data[:appendBase])
			c.appends(data[appendBase:], req.filename(), how, offset)
			c.has(req.filename(), "put of 100003 bytes and appending the rest with "+how, data)
		}}
}

// appends ends the check unless the server takes the writes that append data.
func (c *session) appends(data []byte, name, how string, offset func(i int, at int64) int64) {
	bs := raw.Blocks(data, 0)
	for i := range bs {
		bs[i].Offset = offset(i, bs[i].Offset)
	}
	c.b.wrote("appending with "+how, c.Put(name, raw.OpenResume, bs))
}

func checkSFTPResume(b *checker, c *session, name string) {
	data := someDump(writtenSize)
	c.mustPut(name, data[:100_003])
	b.wrote("put -a from 100003", c.Put(name, raw.FlagWrite|raw.FlagCreat, raw.Blocks(data[100_003:], 100_003)))
	c.has(name, "put of 100003 bytes and put -a of the rest", data)
}

func checkSFTPResumeAppend(b *checker, c *session, name string) {
	data := someDump(writtenSize)
	const first, second = 100_003, 200_007
	c.mustPut(name, data[:first])
	b.wrote("appending from 100003", c.Put(name, raw.OpenResume, raw.Blocks(data[first:second], first)))
	c.has(name, "put of 100003 bytes and appending with offsets from there", data[:second])
	c.appends(data[second:], name, "offset 0 in each write", func(int, int64) int64 { return 0 })
	c.has(name, "appending with offset 0 in each write", data)
}

func checkSFTPAppendTwoHandles(b *checker, c *session, name string) {
	data := someDump(writtenSize)
	c.mustPut(name, data[:appendBase])
	var handles []string
	for range 2 {
		h, err := c.Open(name, raw.OpenResume)
		b.wrote("open"+raw.FlagNames(raw.OpenResume), err)
		handles = append(handles, h)
	}
	for i, bl := range raw.Blocks(data[appendBase:], 0) {
		b.wrote("a write through one of two handles that append", c.Write(handles[i%2], []raw.Block{bl}))
	}
	for _, h := range handles {
		b.wrote("close", c.CloseHandle(h))
	}
	c.has(name, "Writes through two handles that append", data)
}

func checkSFTPResumeTwice(b *checker, c *session, name string) {
	data := someDump(writtenSize)
	for from, step := 0, 77_777; from < len(data); from += step {
		to := min(from+step, len(data))
		b.wrote("put -a", c.Put(name, raw.FlagWrite|raw.FlagCreat, raw.Blocks(data[from:to], int64(from))))
		if a, err := c.Stat(raw.FxpStat, name); err != nil || a.Size != uint64(to) {
			b.wrong("put -a up to "+fmt.Sprint(to)+" and stat", "that size", fmt.Sprintf("%v %v", a, err))
		}
	}
	c.has(name, "put -a in four parts", data)
}
