package conformance

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// wrote ends the check unless err is nil.
func (c *checker) wrote(did string, err error) {
	if err != nil {
		c.wrong(did, "success", err.Error())
	}
}

const writtenSize = 300_001 // bytes of most files that are written: ten blocks, the last one short

// writeCheck makes a check of writing to the shared file of a draft.
func writeCheck(id, row string, evidence Evidence, says string, run func(c *checker, s *session, name string)) check {
	return check{id: "sftp/" + id, rows: rows(row), evidence: evidence, needs: needsSFTP | needsWrites, says: says,
		run: func(c *checker) {
			req := c.create()
			run(c, c.sftp(req), req.filename())
		}}
}

func sftpWriteChecks() []check {
	return []check{
		writeCheck("put", "5.12", EvidenceDocumented, "put writes the shared file whole.", checkSFTPPut),
		writeCheck("put-path", "5.12", EvidenceDocumented, "The shared file may be called name, /name and ./name.",
			checkSFTPPutPath),
		writeCheck("put-bytes", "5.12", EvidenceDocumented, "Whatever bytes are written, are kept.",
			checkSFTPPutBytes),
		writeCheck("put-without-creat", "5.12", EvidenceDocumented,
			"The shared file may be opened for writing without asking to create it.", checkSFTPPutWithoutCreat),
		writeCheck("large", "5.12", EvidenceDocumented,
			"A file of some megabytes is taken, with many writes on their way at once.", checkSFTPLarge),
		writeCheck("overwrite", "5.12", EvidenceDocumented, "put over a longer file leaves only the new one.",
			checkSFTPOverwrite),
		writeCheck("truncate", "5.12", EvidenceDocumented, "Opening for writing with truncation empties the file.",
			checkSFTPTruncate),
		writeCheck("truncate-setstat", "5.12", EvidenceAssumed, "Setting the size cuts the shared file.",
			checkSFTPTruncateSetstat),
		writeCheck("no-truncate", "5.12", EvidenceDocumented,
			"Opening for writing without truncation keeps what is there.", checkSFTPNoTruncate),
		writeCheck("resume", "5.12", EvidenceDocumented, "put -a goes on at the file's present size.",
			checkSFTPResume),
		writeCheck("resume-append", "5.12", EvidenceObserved,
			"Appending with the flag APPEND, with many writes at once, gives the file once: with offsets from the "+
				"present size on, and with offset 0 in each.", checkSFTPResumeAppend),
		appends("append", "offsets counted from 0", func(_ int, at int64) int64 { return at }),
		appends("append-same-offset", "the size at the beginning as the offset of each write",
			func(int, int64) int64 { return appendBase }),
		appends("append-out-of-order", "offsets in another order than the writes come in", func(i int, _ int64) int64 {
			return appendBase + []int64{3, 0, 2, 1, 6, 5, 4}[i%7]*raw.BlockSize
		}),
		appends("append-backwards", "offsets that go down to 0",
			func(i int, _ int64) int64 { return max(0, appendBase-int64(i)*raw.BlockSize) }),
		appends("append-behind", "offsets far behind the end",
			func(i int, at int64) int64 { return appendBase + 1<<20 + int64(i)<<30 + at }),
		writeCheck("append-two-handles", "5.12", EvidenceObserved,
			"Writes through two handles opened with the flag APPEND each go to the end, in the order in which they "+
				"come.", checkSFTPAppendTwoHandles),
		writeCheck("resume-twice", "5.12", EvidenceDocumented, "A transfer may be resumed again and again.",
			checkSFTPResumeTwice),
		writeCheck("out-of-order", "5.12", EvidenceObserved, "Writes in any order go to their offsets.",
			checkSFTPOutOfOrder),
		writeCheck("rewrite-middle", "5.12", EvidenceDocumented, "A write in the middle changes that part only.",
			checkSFTPRewriteMiddle),
		writeCheck("padded-write", "5.22", EvidenceObserved,
			"Bytes after the fields of a packet are ignored, as a widely used client pads WRITE.",
			checkSFTPPaddedWrite),
		writeCheck("read-and-write", "5.12", EvidenceAssumed,
			"The shared file can be opened for reading and writing at once.", checkSFTPReadAndWrite),
		writeCheck("read-back", "5.12", EvidenceDocumented,
			"The shared file can be read: parts, the end, and nothing behind it.", checkSFTPReadBack),
		writeCheck("setstat", "5.14", EvidenceAssumed,
			"Setting times and permissions is accepted, and the mode stays.", checkSFTPSetstat),
		{id: "sftp/next-session", rows: rows("5.12"), evidence: EvidenceDocumented, needs: needsSFTP | needsWrites,
			says: "What one session has written, the next one sees and can resume.",
			run:  checkSFTPNextSession},
		{id: "sftp/interrupted", rows: rows("5.12"), evidence: EvidenceDocumented, needs: needsSFTP | needsWrites,
			says: "When the connection breaks, what was acknowledged is kept, and put -a goes on from there.",
			run:  checkSFTPInterrupted},
		{id: "sftp/two-sessions", rows: rows("5.12"), evidence: EvidenceAssumed, needs: needsSFTP | needsWrites,
			says: "Two sessions may be open on one share.",
			run:  checkSFTPTwoSessions},
		{id: "sftp/own-share", rows: rows("5.10", "5.11"), evidence: EvidenceDocumented,
			needs: needsSFTP | needsWrites,
			says:  "Each request's share is its own, also where two shared files have the same name.",
			run:   checkSFTPOwnShare},
		{id: "sftp/same-dump", rows: rows("5.17"), evidence: EvidenceAssumed, needs: needsSFTP | needsWrites,
			says: "SFTP and HTTPS upload the same dump: the last completed write wins, and status describes it.",
			run:  checkSFTPSameDump},
	}
}

func checkSFTPPut(c *checker, s *session, name string) {
	data := someDump(200_001)
	c.wrote("put", s.Put(name, raw.OpenPut, raw.Blocks(data, 0)))
	s.has(name, "put", data)
}

func checkSFTPPutPath(c *checker, s *session, name string) {
	for i, path := range []string{name, "/" + name, "./" + name} {
		data := someDump(1000 + i)
		c.wrote("put to "+path, s.Put(path, raw.OpenPut, raw.Blocks(data, 0)))
		s.has(path, "put to "+path, data)
	}
}

func checkSFTPPutBytes(c *checker, s *session, name string) {
	data := append(append(sqlDump("9.4.5", everyByte()), "\r\n\n\x00\x1a\r"...), c.random(70_000)...)
	c.wrote("put", s.Put(name, raw.OpenPut, raw.Blocks(data, 0)))
	s.has(name, "put of every byte value", data)
}

func checkSFTPPutWithoutCreat(c *checker, s *session, name string) {
	data := someDump(50_000)
	c.wrote("put", s.Put(name, raw.FlagWrite|raw.FlagTrunc, raw.Blocks(data, 0)))
	s.has(name, "put without the flag to create", data)
}

func checkSFTPLarge(c *checker, s *session, name string) {
	data := someDump(3<<20 + 5)
	c.wrote("put of 3 MiB", s.Put(name, raw.OpenPut, raw.Blocks(data, 0)))
	s.has(name, "put of 3 MiB", data)
}

func checkSFTPOverwrite(c *checker, s *session, name string) {
	s.mustPut(name, someDump(writtenSize))
	short := slices.Clone(someDump(writtenSize)[1000:5000])
	c.wrote("put of a shorter file", s.Put(name, raw.OpenPut, raw.Blocks(short, 0)))
	s.has(name, "put of 4000 bytes over 300001", short)
}

func checkSFTPTruncate(c *checker, s *session, name string) {
	s.mustPut(name, someDump(writtenSize))
	h, err := s.Open(name, raw.OpenPut)
	c.wrote("open with truncation", err)
	c.wrote("close", s.CloseHandle(h))
	if a, err := s.Stat(raw.FxpStat, name); err != nil || a.Size != 0 {
		c.wrong("open with truncation, close, stat", "size 0", fmt.Sprintf("%v %v", a, err))
	}
}

func checkSFTPTruncateSetstat(c *checker, s *session, name string) {
	data := someDump(writtenSize)
	s.mustPut(name, data)
	c.wrote("setstat size 5000", s.Do("setstat size", raw.FxpSetstat,
		raw.Packet(nil).Str(name).Attrs(raw.Attrs{Flags: raw.AttrSize, Size: 5000})))
	s.has(name, "setstat size 5000", data[:5000])
	h, err := s.Open(name, raw.FlagWrite)
	c.wrote("open", err)
	c.wrote("fsetstat size 1000", s.Do("fsetstat size", raw.FxpFsetstat,
		raw.Packet(nil).Str(h).Attrs(raw.Attrs{Flags: raw.AttrSize, Size: 1000})))
	c.wrote("close", s.CloseHandle(h))
	s.has(name, "fsetstat size 1000", data[:1000])
}

func checkSFTPNoTruncate(c *checker, s *session, name string) {
	data := someDump(writtenSize)
	s.mustPut(name, data)
	for _, flags := range []uint32{raw.FlagWrite, raw.FlagWrite | raw.FlagCreat,
		raw.FlagRead | raw.FlagWrite | raw.FlagCreat} {
		h, err := s.Open(name, flags)
		c.wrote("open"+raw.FlagNames(flags), err)
		c.wrote("close", s.CloseHandle(h))
		s.has(name, "open"+raw.FlagNames(flags)+", close", data)
	}
}

func checkSFTPOutOfOrder(c *checker, s *session, name string) {
	data := someDump(writtenSize)
	bs := raw.Blocks(data, 0)
	slices.Reverse(bs)
	c.rng.Shuffle(len(bs), func(i, j int) { bs[i], bs[j] = bs[j], bs[i] })
	c.wrote("writes out of order", s.Put(name, raw.OpenPut, bs))
	s.has(name, "writes out of order", data)
}

func checkSFTPRewriteMiddle(c *checker, s *session, name string) {
	data := someDump(writtenSize)
	s.mustPut(name, data)
	patch := []byte("-- changed here --")
	c.wrote("a write at 150000", s.Put(name, raw.FlagWrite, []raw.Block{{Offset: 150_000, Data: patch}}))
	copy(data[150_000:], patch)
	s.has(name, "a write in the middle", data)
}

func checkSFTPPaddedWrite(c *checker, s *session, name string) {
	data := someDump(writtenSize)
	bs := raw.Blocks(data, 0)
	for i := range bs {
		bs[i].Pad = []byte{0, 0, 0, 0}
	}
	c.wrote("writes padded with four bytes", s.Put(name, raw.OpenPut, bs))
	s.has(name, "writes padded with four bytes", data)
}

func checkSFTPReadAndWrite(c *checker, s *session, name string) {
	h, err := s.Open(name, raw.FlagRead|raw.OpenPut)
	c.wrote("open for reading and writing", err)
	c.wrote("write", s.Write(h, []raw.Block{{Data: someDump(5000)}}))
	got, err := s.Read(h, 1000, 2000)
	c.wrote("read", err)
	s.same("a read through the handle written with", got, someDump(5000)[1000:3000])
	c.wrote("close", s.CloseHandle(h))
}

func checkSFTPReadBack(c *checker, s *session, name string) {
	data := someDump(writtenSize)
	s.mustPut(name, data)
	h, err := s.Open(name, raw.FlagRead)
	c.wrote("open for reading", err)
	got, err := s.Read(h, 1234, 100)
	c.wrote("read", err)
	s.same("a read of 100 bytes at 1234", got, data[1234:1334])
	got, err = s.Read(h, writtenSize-10, 100)
	c.wrote("read", err)
	s.same("a read of 100 bytes, 10 before the end", got, data[writtenSize-10:])
	for _, at := range []int64{writtenSize, writtenSize + 1000} {
		if got, err := s.Read(h, at, 100); err != io.EOF {
			c.wrong("a read behind the end", "the status EOF", fmt.Sprintf("%d bytes, %v", len(got), err))
		}
	}
	c.wrote("close", s.CloseHandle(h))
}

func checkSFTPSetstat(c *checker, s *session, name string) {
	data := someDump(1000)
	s.mustPut(name, data)
	h, err := s.Open(name, raw.FlagWrite)
	c.wrote("open", err)
	a := raw.Attrs{Flags: raw.AttrMode | raw.AttrTimes, Mode: 0o600, Atime: 1441782829, Mtime: 1441782829}
	c.wrote("fsetstat of mode and times", s.Do("fsetstat", raw.FxpFsetstat, raw.Packet(nil).Str(h).Attrs(a)))
	c.wrote("close", s.CloseHandle(h))
	for _, a := range []raw.Attrs{{Flags: raw.AttrMode, Mode: 0o600}, {Flags: raw.AttrTimes, Mtime: 1441782829},
		{Flags: raw.AttrOwner}} {
		c.wrote("setstat of "+a.String(), s.Do("setstat", raw.FxpSetstat, raw.Packet(nil).Str(name).Attrs(a)))
	}
	if got, err := s.Stat(raw.FxpStat, name); err != nil || got.Mode&0o7777 != 0o666 {
		c.wrong("chmod 600 and stat", "the mode 0666 as before", fmt.Sprintf("%v %v", got, err))
	}
	s.has(name, "setstat", data)
}

func checkSFTPNextSession(c *checker) {
	req, key := c.create(), raw.NewKey("ed25519")
	a := c.access(req, key)
	data := someDump(writtenSize)
	s := c.session(a, key)
	s.mustPut(a.file, data[:200_000])
	s.End()
	s = c.session(a, key)
	if got, err := s.Stat(raw.FxpStat, a.file); err != nil || got.Size != 200_000 {
		c.wrong("put of 200000 bytes, and stat in the next session", "size 200000", fmt.Sprintf("%v %v", got, err))
	}
	c.wrote("put -a in the next session",
		s.Put(a.file, raw.FlagWrite|raw.FlagCreat, raw.Blocks(data[200_000:], 200_000)))
	s.has(a.file, "put and, in the next session, put -a", data)
}

func checkSFTPInterrupted(c *checker) {
	req, key := c.create(), raw.NewKey("ed25519")
	a := c.access(req, key)
	data := someDump(writtenSize)
	s := c.session(a, key)
	h, err := s.Open(a.file, raw.OpenPut)
	if err != nil {
		c.blocked("sftp/put", "open: %v", err)
	}
	const sent = 5 * raw.BlockSize
	if err := s.Write(h, raw.Blocks(data[:sent], 0)); err != nil {
		c.blocked("sftp/put", "write: %v", err)
	}
	s.Drop()
	s = c.session(a, key)
	var got raw.Attrs
	for range 40 { // a server may take a moment to notice the break
		if got, err = s.Stat(raw.FxpStat, a.file); err == nil && got.Size == sent {
			break
		}
		c.pause(50 * time.Millisecond)
	}
	if err != nil || got.Size != sent {
		c.wrong(fmt.Sprintf("%d bytes, all acknowledged, then the connection broken; stat in the next session", sent),
			"that size", fmt.Sprintf("%v %v", got, err))
	}
	c.wrote("put -a after the break", s.Put(a.file, raw.OpenResume, raw.Blocks(data[sent:], sent)))
	s.has(a.file, "put -a after a broken connection", data)
	s.End()
}

func checkSFTPTwoSessions(c *checker) {
	req, key := c.create(), raw.NewKey("ed25519")
	a := c.access(req, key)
	one, two := c.session(a, key), c.session(a, key)
	data := someDump(writtenSize)
	c.wrote("put in one session", one.Put(a.file, raw.OpenPut, raw.Blocks(data, 0)))
	two.has(a.file, "put in one session, seen in another open one", data)
}

func checkSFTPOwnShare(c *checker) {
	first, second := c.create("filename", "twin.dump"), c.create("filename", "twin.dump")
	s, d := c.sftp(first), c.sftp(second)
	x, y := someDump(4000), someDump(5000)
	s.mustPut(first.filename(), x)
	d.mustPut(second.filename(), y)
	s.has(first.filename(), "put to two requests' shares", x)
	d.has(second.filename(), "put to two requests' shares", y)
}

func checkSFTPSameDump(c *checker) {
	req := c.create()
	s := c.sftp(req)
	s.mustPut(req.filename(), sized(205678))
	s.End()
	r := c.status(req)
	for range 20 {
		if r = c.status(req); r.request()["filesize"] != nil {
			break
		}
		c.pause(50 * time.Millisecond)
	}
	c.shows(r, "put over SFTP and then status", "filesize", `"200.86 Kb"`)
	c.shows(r, "put over SFTP and then status", "postgresql", `"9.4"`)
	c.holds(req, "put over SFTP", sized(205678))
	c.put(req, sized(1024))
	s = c.sftp(req)
	s.has(req.filename(), "upload over HTTP after one over SFTP", sized(1024))
}
