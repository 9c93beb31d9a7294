package conformance

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// wrote ends the check unless err is nil.
func (b *checker) wrote(did string, err error) {
	if err != nil {
		b.wrong(did, "success", err.Error())
	}
}

const writtenSize = 300_001 // bytes of most files that are written: ten blocks, the last one short

// writeCheck makes a check of writing to the shared file of a draft.
func writeCheck(id, row string, evidence Evidence, says string, run func(b *checker, c *session, name string)) check {
	return check{id: "sftp/" + id, rows: rows(row), evidence: evidence, needs: needsSFTP | needsWrites, says: says,
		run: func(b *checker) {
			req := b.create()
			run(b, b.sftp(req), req.filename())
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

func checkSFTPPut(b *checker, c *session, name string) {
	data := someDump(200_001)
	b.wrote("put", c.Put(name, raw.OpenPut, raw.Blocks(data, 0)))
	c.has(name, "put", data)
}

func checkSFTPPutPath(b *checker, c *session, name string) {
	for i, path := range []string{name, "/" + name, "./" + name} {
		data := someDump(1000 + i)
		b.wrote("put to "+path, c.Put(path, raw.OpenPut, raw.Blocks(data, 0)))
		c.has(path, "put to "+path, data)
	}
}

func checkSFTPPutBytes(b *checker, c *session, name string) {
	data := append(append(sqlDump("9.4.5", everyByte()), "\r\n\n\x00\x1a\r"...), b.random(70_000)...)
	b.wrote("put", c.Put(name, raw.OpenPut, raw.Blocks(data, 0)))
	c.has(name, "put of every byte value", data)
}

func checkSFTPPutWithoutCreat(b *checker, c *session, name string) {
	data := someDump(50_000)
	b.wrote("put", c.Put(name, raw.FlagWrite|raw.FlagTrunc, raw.Blocks(data, 0)))
	c.has(name, "put without the flag to create", data)
}

func checkSFTPLarge(b *checker, c *session, name string) {
	data := someDump(3<<20 + 5)
	b.wrote("put of 3 MiB", c.Put(name, raw.OpenPut, raw.Blocks(data, 0)))
	c.has(name, "put of 3 MiB", data)
}

func checkSFTPOverwrite(b *checker, c *session, name string) {
	c.mustPut(name, someDump(writtenSize))
	short := slices.Clone(someDump(writtenSize)[1000:5000])
	b.wrote("put of a shorter file", c.Put(name, raw.OpenPut, raw.Blocks(short, 0)))
	c.has(name, "put of 4000 bytes over 300001", short)
}

func checkSFTPTruncate(b *checker, c *session, name string) {
	c.mustPut(name, someDump(writtenSize))
	h, err := c.Open(name, raw.OpenPut)
	b.wrote("open with truncation", err)
	b.wrote("close", c.CloseHandle(h))
	if a, err := c.Stat(raw.FxpStat, name); err != nil || a.Size != 0 {
		b.wrong("open with truncation, close, stat", "size 0", fmt.Sprintf("%v %v", a, err))
	}
}

func checkSFTPTruncateSetstat(b *checker, c *session, name string) {
	data := someDump(writtenSize)
	c.mustPut(name, data)
	b.wrote("setstat size 5000", c.Do("setstat size", raw.FxpSetstat,
		raw.Packet(nil).Str(name).Attrs(raw.Attrs{Flags: raw.AttrSize, Size: 5000})))
	c.has(name, "setstat size 5000", data[:5000])
	h, err := c.Open(name, raw.FlagWrite)
	b.wrote("open", err)
	b.wrote("fsetstat size 1000", c.Do("fsetstat size", raw.FxpFsetstat,
		raw.Packet(nil).Str(h).Attrs(raw.Attrs{Flags: raw.AttrSize, Size: 1000})))
	b.wrote("close", c.CloseHandle(h))
	c.has(name, "fsetstat size 1000", data[:1000])
}

func checkSFTPNoTruncate(b *checker, c *session, name string) {
	data := someDump(writtenSize)
	c.mustPut(name, data)
	for _, flags := range []uint32{raw.FlagWrite, raw.FlagWrite | raw.FlagCreat,
		raw.FlagRead | raw.FlagWrite | raw.FlagCreat} {
		h, err := c.Open(name, flags)
		b.wrote("open"+raw.FlagNames(flags), err)
		b.wrote("close", c.CloseHandle(h))
		c.has(name, "open"+raw.FlagNames(flags)+", close", data)
	}
}

func checkSFTPOutOfOrder(b *checker, c *session, name string) {
	data := someDump(writtenSize)
	bs := raw.Blocks(data, 0)
	slices.Reverse(bs)
	b.rng.Shuffle(len(bs), func(i, j int) { bs[i], bs[j] = bs[j], bs[i] })
	b.wrote("writes out of order", c.Put(name, raw.OpenPut, bs))
	c.has(name, "writes out of order", data)
}

func checkSFTPRewriteMiddle(b *checker, c *session, name string) {
	data := someDump(writtenSize)
	c.mustPut(name, data)
	patch := []byte("-- changed here --")
	b.wrote("a write at 150000", c.Put(name, raw.FlagWrite, []raw.Block{{Offset: 150_000, Data: patch}}))
	copy(data[150_000:], patch)
	c.has(name, "a write in the middle", data)
}

func checkSFTPPaddedWrite(b *checker, c *session, name string) {
	data := someDump(writtenSize)
	bs := raw.Blocks(data, 0)
	for i := range bs {
		bs[i].Pad = []byte{0, 0, 0, 0}
	}
	b.wrote("writes padded with four bytes", c.Put(name, raw.OpenPut, bs))
	c.has(name, "writes padded with four bytes", data)
}

func checkSFTPReadAndWrite(b *checker, c *session, name string) {
	h, err := c.Open(name, raw.FlagRead|raw.OpenPut)
	b.wrote("open for reading and writing", err)
	b.wrote("write", c.Write(h, []raw.Block{{Data: someDump(5000)}}))
	got, err := c.Read(h, 1000, 2000)
	b.wrote("read", err)
	c.same("a read through the handle written with", got, someDump(5000)[1000:3000])
	b.wrote("close", c.CloseHandle(h))
}

func checkSFTPReadBack(b *checker, c *session, name string) {
	data := someDump(writtenSize)
	c.mustPut(name, data)
	h, err := c.Open(name, raw.FlagRead)
	b.wrote("open for reading", err)
	got, err := c.Read(h, 1234, 100)
	b.wrote("read", err)
	c.same("a read of 100 bytes at 1234", got, data[1234:1334])
	got, err = c.Read(h, writtenSize-10, 100)
	b.wrote("read", err)
	c.same("a read of 100 bytes, 10 before the end", got, data[writtenSize-10:])
	for _, at := range []int64{writtenSize, writtenSize + 1000} {
		if got, err := c.Read(h, at, 100); err != io.EOF {
			b.wrong("a read behind the end", "the status EOF", fmt.Sprintf("%d bytes, %v", len(got), err))
		}
	}
	b.wrote("close", c.CloseHandle(h))
}

func checkSFTPSetstat(b *checker, c *session, name string) {
	data := someDump(1000)
	c.mustPut(name, data)
	h, err := c.Open(name, raw.FlagWrite)
	b.wrote("open", err)
	a := raw.Attrs{Flags: raw.AttrMode | raw.AttrTimes, Mode: 0o600, Atime: 1441782829, Mtime: 1441782829}
	b.wrote("fsetstat of mode and times", c.Do("fsetstat", raw.FxpFsetstat, raw.Packet(nil).Str(h).Attrs(a)))
	b.wrote("close", c.CloseHandle(h))
	for _, a := range []raw.Attrs{{Flags: raw.AttrMode, Mode: 0o600}, {Flags: raw.AttrTimes, Mtime: 1441782829},
		{Flags: raw.AttrOwner}} {
		b.wrote("setstat of "+a.String(), c.Do("setstat", raw.FxpSetstat, raw.Packet(nil).Str(name).Attrs(a)))
	}
	if got, err := c.Stat(raw.FxpStat, name); err != nil || got.Mode&0o7777 != 0o666 {
		b.wrong("chmod 600 and stat", "the mode 0666 as before", fmt.Sprintf("%v %v", got, err))
	}
	c.has(name, "setstat", data)
}

func checkSFTPNextSession(b *checker) {
	req, key := b.create(), raw.NewKey("ed25519")
	a := b.access(req, key)
	data := someDump(writtenSize)
	c := b.session(a, key)
	c.mustPut(a.file, data[:200_000])
	c.End()
	c = b.session(a, key)
	if got, err := c.Stat(raw.FxpStat, a.file); err != nil || got.Size != 200_000 {
		b.wrong("put of 200000 bytes, and stat in the next session", "size 200000", fmt.Sprintf("%v %v", got, err))
	}
	b.wrote("put -a in the next session",
		c.Put(a.file, raw.FlagWrite|raw.FlagCreat, raw.Blocks(data[200_000:], 200_000)))
	c.has(a.file, "put and, in the next session, put -a", data)
}

func checkSFTPInterrupted(b *checker) {
	req, key := b.create(), raw.NewKey("ed25519")
	a := b.access(req, key)
	data := someDump(writtenSize)
	c := b.session(a, key)
	h, err := c.Open(a.file, raw.OpenPut)
	if err != nil {
		b.blocked("sftp/put", "open: %v", err)
	}
	const sent = 5 * raw.BlockSize
	if err := c.Write(h, raw.Blocks(data[:sent], 0)); err != nil {
		b.blocked("sftp/put", "write: %v", err)
	}
	c.Drop()
	c = b.session(a, key)
	var got raw.Attrs
	for range 40 { // a server may take a moment to notice the break
		if got, err = c.Stat(raw.FxpStat, a.file); err == nil && got.Size == sent {
			break
		}
		b.pause(50 * time.Millisecond)
	}
	if err != nil || got.Size != sent {
		b.wrong(fmt.Sprintf("%d bytes, all acknowledged, then the connection broken; stat in the next session", sent),
			"that size", fmt.Sprintf("%v %v", got, err))
	}
	b.wrote("put -a after the break", c.Put(a.file, raw.OpenResume, raw.Blocks(data[sent:], sent)))
	c.has(a.file, "put -a after a broken connection", data)
	c.End()
}

func checkSFTPTwoSessions(b *checker) {
	req, key := b.create(), raw.NewKey("ed25519")
	a := b.access(req, key)
	one, two := b.session(a, key), b.session(a, key)
	data := someDump(writtenSize)
	b.wrote("put in one session", one.Put(a.file, raw.OpenPut, raw.Blocks(data, 0)))
	two.has(a.file, "put in one session, seen in another open one", data)
}

func checkSFTPOwnShare(b *checker) {
	first, second := b.create("filename", "twin.dump"), b.create("filename", "twin.dump")
	c, d := b.sftp(first), b.sftp(second)
	x, y := someDump(4000), someDump(5000)
	c.mustPut(first.filename(), x)
	d.mustPut(second.filename(), y)
	c.has(first.filename(), "put to two requests' shares", x)
	d.has(second.filename(), "put to two requests' shares", y)
}

func checkSFTPSameDump(b *checker) {
	req := b.create()
	c := b.sftp(req)
	c.mustPut(req.filename(), sized(205678))
	c.End()
	r := b.status(req)
	for range 20 {
		if r = b.status(req); r.request()["filesize"] != nil {
			break
		}
		b.pause(50 * time.Millisecond)
	}
	b.shows(r, "put over SFTP and then status", "filesize", `"200.86 Kb"`)
	b.shows(r, "put over SFTP and then status", "postgresql", `"9.4"`)
	b.holds(req, "put over SFTP", sized(205678))
	b.put(req, sized(1024))
	c = b.sftp(req)
	c.has(req.filename(), "upload over HTTP after one over SFTP", sized(1024))
}
