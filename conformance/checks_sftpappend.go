package conformance

import (
	"fmt"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

const appendBase = 100_003 // bytes that are there before the checks append

// appends makes the check of appending with the flag APPEND in many writes at once. Offset returns the offset that a
// write is sent with, given its number and where in the appended bytes it begins; each write goes to the end all the
// same.
func appends(id, how string, offset func(i int, at int64) int64) check {
	return check{id: "sftp/" + id, rows: rows("5.12"), evidence: EvidenceObserved, needs: needsSFTP | needsWrites,
		says: "With the flag APPEND each write goes to the end, in the order in which they come: " + how + ".",
		run: func(c *checker) {
			req := c.create()
			s, data := c.sftp(req), someDump(300_001)
			s.mustPut(req.filename(), data[:appendBase])
			s.appends(data[appendBase:], req.filename(), how, offset)
			s.has(req.filename(), "put of 100003 bytes and appending the rest with "+how, data)
		}}
}

// appends ends the check unless the server takes the writes that append data.
func (s *session) appends(data []byte, name, how string, offset func(i int, at int64) int64) {
	bs := raw.Blocks(data, 0)
	for i := range bs {
		bs[i].Offset = offset(i, bs[i].Offset)
	}
	s.checker.wrote("appending with "+how, s.Put(name, raw.OpenResume, bs))
}

func checkSFTPResume(c *checker, s *session, name string) {
	data := someDump(writtenSize)
	s.mustPut(name, data[:100_003])
	c.wrote("put -a from 100003", s.Put(name, raw.FlagWrite|raw.FlagCreat, raw.Blocks(data[100_003:], 100_003)))
	s.has(name, "put of 100003 bytes and put -a of the rest", data)
}

func checkSFTPResumeAppend(c *checker, s *session, name string) {
	data := someDump(writtenSize)
	const first, second = 100_003, 200_007
	s.mustPut(name, data[:first])
	c.wrote("appending from 100003", s.Put(name, raw.OpenResume, raw.Blocks(data[first:second], first)))
	s.has(name, "put of 100003 bytes and appending with offsets from there", data[:second])
	s.appends(data[second:], name, "offset 0 in each write", func(int, int64) int64 { return 0 })
	s.has(name, "appending with offset 0 in each write", data)
}

func checkSFTPAppendTwoHandles(c *checker, s *session, name string) {
	data := someDump(writtenSize)
	s.mustPut(name, data[:appendBase])
	var handles []string
	for range 2 {
		h, err := s.Open(name, raw.OpenResume)
		c.wrote("open"+raw.FlagNames(raw.OpenResume), err)
		handles = append(handles, h)
	}
	for i, bl := range raw.Blocks(data[appendBase:], 0) {
		c.wrote("a write through one of two handles that append", s.Write(handles[i%2], []raw.Block{bl}))
	}
	for _, h := range handles {
		c.wrote("close", s.CloseHandle(h))
	}
	s.has(name, "Writes through two handles that append", data)
}

func checkSFTPResumeTwice(c *checker, s *session, name string) {
	data := someDump(writtenSize)
	for from, step := 0, 77_777; from < len(data); from += step {
		to := min(from+step, len(data))
		c.wrote("put -a", s.Put(name, raw.FlagWrite|raw.FlagCreat, raw.Blocks(data[from:to], int64(from))))
		if a, err := s.Stat(raw.FxpStat, name); err != nil || a.Size != uint64(to) {
			c.wrong("put -a up to "+fmt.Sprint(to)+" and stat", "that size", fmt.Sprintf("%v %v", a, err))
		}
	}
	s.has(name, "put -a in four parts", data)
}
