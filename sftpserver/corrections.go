package sftpserver

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"net"
	"slices"
	"time"

	"github.com/upgrademock/upgrademock/internal/sftpwire"
)

// This file holds all that is done about pkg/sftp (v1.13.12). Each correction is a function; its reason is what the
// library does without it, with the place in the library's source, and the library's issue where one is known.
// TestCorrections shows each fault in the library alone, so that a correction can go when the library has mended it.
//
//	admit            workerChan: eight workers act on READs and WRITEs in any order, and on other requests beside them;
//	                 each request takes pages of 256 KiB, two dozen at a time
//	endInput         Serve: answers that are not sent when the input ends are dropped
//	refuseLong       recvPacket: a packet above 256 KiB ends the session without an answer
//	refuseUnknown    makePacket: so does an unknown type
//	serveExtension   makePacket: limits@openssh.com is unknown; statvfs@openssh.com is refused with another text
//	openToRead       Request.open: an OPEN that wants neither to read nor to write fails
//	checkHandle      Request.call: READDIR of a file, READ and WRITE of a directory, and READ of a file that is open to
//	                 be written act on what is not theirs; the last one writes what happens to be in memory
//	handleOf         packetWorker: FSETSTAT is handed on with the path of the handle, without the handle
//	announce         sftpExtensions: VERSION names extensions that are not served
//	withLongNames    runLs: dates in another form than OpenSSH's; some clients read them
//	endNow           no door: a handler cannot end the session with its answer, before the next one is sent
//
// What a door of the library serves needs no correction: the open-file interfaces for OPEN with both ways,
// TransferError for handles that are open when the session breaks, WithRSAllocator against an allocation for each
// packet (issue 334). Files are never opened with O_APPEND, because of issues 218 and 295. The holes that a broken
// session leaves (issue 472) are the business of [File].

// request is one that pkg/sftp serves now.
type request struct {
	effect   effect
	from, to uint64  // of a write
	pages    int     // of pkg/sftp's allocator: one of 256 KiB for each request, two for a READ
	handle   *handle // that an OPEN opened, or whose attributes an FSETSTAT sets
}

// effect is what a request means for those before and after it.
type effect int

const (
	alone  effect = iota // sees what all earlier ones have done, and is seen by all later ones
	reads                // changes nothing
	writes               // changes the bytes between from and to
)

// maxPages bounds what the requests being served in one session hold in memory.
const maxPages = 4

// besides reports whether two requests may be served at once, since their order makes no difference.
func (r request) besides(o request) bool {
	return r.effect == reads && o.effect == reads ||
		r.effect == writes && o.effect == writes && (r.to <= o.from || o.to <= r.from)
}

// admit waits until a request may be handed to pkg/sftp. Requests of one session have to act on the file in the order
// in which they came (draft-ietf-secsh-filexfer-02, section 6.1). It fails when the connection ends before.
func (f *filter) admit(r request) error {
	err := f.await(func() bool {
		if len(f.pending) > 0 && f.pages+r.pages > maxPages {
			return false
		}
		return !slices.ContainsFunc(f.pending, func(earlier request) bool { return !r.besides(earlier) })
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.pending = append(f.pending, r)
	f.pages += r.pages
	f.mu.Unlock()
	return nil
}

// answered removes the oldest request, which has its answer.
func (f *filter) answered() {
	f.mu.Lock()
	if len(f.pending) > 0 {
		f.pages -= f.pending[0].pages
		f.pending = f.pending[1:]
	}
	f.changed.Broadcast()
	f.mu.Unlock()
}

// await waits until the condition holds, under mu. It fails when the connection ends before.
func (f *filter) await(condition func() bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if condition() {
		return nil
	}
	ctx := f.session.ssh.Context()
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		f.changed.Broadcast()
		f.mu.Unlock()
	})
	defer stop()
	for !condition() {
		if ctx.Err() != nil {
			return net.ErrClosed
		}
		f.changed.Wait()
	}
	return nil
}

// endInput lets pkg/sftp learn of the end of the input when it has answered everything.
func (f *filter) endInput(err error) {
	f.end = err
	f.session.inputEnded(err)
	f.await(func() bool { return len(f.pending) == 0 })
}

// dropHalf forgets the newest request: the input ended before it was whole, so it gets no answer.
func (f *filter) dropHalf() {
	f.mu.Lock()
	f.pending = f.pending[:max(len(f.pending)-1, 0)]
	f.mu.Unlock()
}

func (f *filter) refuseLong(id uint32, length int) error {
	f.session.deny("message", "", fmt.Sprintf("a message of %d bytes: %d are the most", length, maxPacket))
	return f.answerInstead(sftpwire.StatusPacket(id, sftpwire.BadMessage, "Message too long"))
}

func (f *filter) refuseUnknown(id uint32, kind byte) error {
	f.session.deny("message", "", fmt.Sprintf("unknown message type %d", kind))
	return f.answerInstead(sftpwire.StatusPacket(id, sftpwire.OpUnsupported, statusUnsupported.text))
}

func (f *filter) serveExtension(id uint32) error {
	d := f.peek(256)
	switch name := d.Text(); name {
	case sftpwire.LimitsExtension:
		limits := sftpwire.Limits{Packet: maxPacket, Read: maxTransfer, Write: maxTransfer, Handles: maxHandles}
		return f.answerInstead(limits.Reply(id))
	case "posix-rename@openssh.com", "hardlink@openssh.com":
		return f.admit(request{pages: 1}) // Filecmd refuses them as it refuses RENAME
	default:
		f.session.deny("extension", name, "not supported")
		return f.answerInstead(sftpwire.StatusPacket(id, sftpwire.OpUnsupported, statusUnsupported.text))
	}
}

// openToRead lets an OPEN that wants neither to read nor to write open the file to read, as OpenSSH's server does.
func (f *filter) openToRead() {
	d := f.peek(4096 - sftpwire.HeadSize)
	d.Text()
	flags := d.Bytes(4)
	if d.Err() != nil || flags[3]&(sftpwire.FlagRead|sftpwire.FlagWrite) != 0 {
		return
	}
	flags[3] |= sftpwire.FlagRead // in the buffer that pkg/sftp reads from
}

// checkHandle refuses a READ, WRITE or READDIR that does not fit its handle. The others are admitted.
func (f *filter) checkHandle(kind byte, id uint32) error {
	d := f.peek(64)
	name := d.Bytes(d.Uint32())
	f.mu.Lock()
	h := f.handles[string(name)]
	f.mu.Unlock()
	if (h != nil) == (kind == sftpwire.Readdir) {
		return f.invalidHandle(id)
	}
	from := d.Uint64()
	to := from + uint64(d.Uint32())
	if d.Err() != nil || to < from {
		from, to = 0, math.MaxUint64
	}
	r := request{pages: 1}
	switch {
	case kind == sftpwire.Read && !h.flags.Read:
		f.session.deny("read", "/"+h.name, "the file was not opened to be read")
		return f.invalidHandle(id)
	case kind == sftpwire.Write && !h.writable():
		f.session.deny("write", "/"+h.name, "the file was not opened to be written")
		return f.invalidHandle(id)
	case kind == sftpwire.Read:
		r.pages = 2
		if !h.mayFire(true, to) {
			r.effect = reads
		}
	case kind == sftpwire.Write && !h.flags.Append && !h.mayFire(false, to):
		r.effect, r.from, r.to = writes, from, to
	}
	return f.admit(r)
}

func (f *filter) invalidHandle(id uint32) error {
	return f.answerInstead(sftpwire.StatusPacket(id, sftpwire.Failure, statusHandle.text))
}

// handleOf returns the handle that an FSETSTAT is for. Such a request is served alone, so that its handler finds the
// handle with present. Likewise opened and nameHandle bring a handle and what the client calls it together.
func (f *filter) handleOf(kind byte) *handle {
	if kind != sftpwire.Fsetstat {
		return nil
	}
	d := f.peek(64)
	name := d.Text()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.handles[name]
}

// present returns the handle of the request that pkg/sftp serves now, which must be one that is served alone.
func (f *filter) present() *handle {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) == 0 {
		return nil
	}
	return f.pending[0].handle
}

// opened notes the handle that the present OPEN has opened.
func (f *filter) opened(h *handle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) > 0 {
		f.pending[0].handle = h
	}
}

// nameHandle notes what the client calls the handle that the present OPEN has opened. That of an OPENDIR is unknown.
func (f *filter) nameHandle(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) > 0 && f.pending[0].handle != nil {
		h := f.pending[0].handle
		h.nameOnWire = name
		f.handles[name] = h
	}
}

// closed forgets a handle.
func (f *filter) closed(h *handle) {
	f.mu.Lock()
	delete(f.handles, h.nameOnWire)
	f.mu.Unlock()
}

// announce is the VERSION answer, with what is served.
func announce(version uint32) []byte {
	return sftpwire.NewEncoder(sftpwire.Version, version).Text(sftpwire.LimitsExtension).Text("1").Packet()
}

// listed are the attributes of an entry of a listing: size, owner, permissions and times. A REALPATH has none.
const listed = sftpwire.AttrSize | sftpwire.AttrUIDGID | sftpwire.AttrPermissions | sftpwire.AttrTimes

// withLongNames gives the entries of a listing the lines that OpenSSH's server gives them.
func (f *filter) withLongNames(id uint32, packet []byte) []byte {
	d := sftpwire.NewDecoder(packet[sftpwire.HeadSize:])
	count := d.Uint32()
	e := sftpwire.NewEncoder(sftpwire.Name, id).Uint32(count)
	for range count {
		name := d.Text()
		d.Text() // pkg/sftp's line
		if d.Uint32() != listed {
			return packet
		}
		size, uid, gid, mode, atime, mtime := d.Uint64(), d.Uint32(), d.Uint32(), d.Uint32(), d.Uint32(), d.Uint32()
		if d.Err() != nil {
			return packet
		}
		line := longName(name, fs.FileMode(mode&0o777), size, time.Unix(int64(mtime), 0), f.session.server.opts.Now())
		e.Text(name).Text(line).Uint32(listed)
		e.Uint64(size).Uint32(uid).Uint32(gid).Uint32(mode).Uint32(atime).Uint32(mtime)
	}
	return e.Packet()
}

// longName is the line of `ls -l` for the file, in UTC; as OpenSSH's server makes it, the year stands in place of the
// time of day for a file older than half a year or of the future. Some clients read size and mode from here only.
func longName(name string, mode fs.FileMode, size uint64, mtime, now time.Time) string {
	layout := "Jan _2 15:04"
	if age := now.Sub(mtime); age < 0 || age > 365*24*time.Hour/2 {
		layout = "Jan _2  2006"
	}
	return fmt.Sprintf("%s %4d %-8d %-8d %8d %s %s", mode, 1, 0, 0, size, mtime.UTC().Format(layout), name)
}

// isDue reports whether the answer with this code is the last one of the connection. A fault that ends the connection
// does so in a request that is served alone, so the first refusal is its answer. Several requests at once may find
// that the access has ended; the first answer that says so is the last one.
func (e *ending) isDue(code uint32) bool {
	if e.fault == nil {
		return code == sftpwire.PermissionDenied
	}
	return code != sftpwire.OK && code != sftpwire.EOF
}

// endNow ends the connection with this answer, which all earlier ones have preceded. A fault takes the place of
// the answer.
func (f *filter) endNow(e *ending, answer []byte) {
	if e.fault == nil {
		f.send(answer)
	}
	e.end(f.session)
}
