package sftpserver_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/sftpserver"
)

// refusals are the answers to what is not allowed.
const (
	denied = "3 Permission denied"
	noFile = "2 No such file"
)

func TestRoot_listsOnlyTheFile(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set(make([]byte, 849920))
	c := h.client()
	for _, dir := range []string{"/", ".", "", "./", "//", "..", "/../..", "./../."} {
		list, err := c.ReadDir(dir)
		if err != nil {
			t.Fatalf("ReadDir(%q): %v", dir, err)
		}
		var got []string
		for _, e := range list {
			got = append(got, fmt.Sprintf("%v %d %v %s", e.Mode(), e.Size(), e.ModTime().UTC(), e.Name()))
		}
		if diff := cmp.Diff([]string{"-rw-rw-rw- 849920 2015-08-30 15:58:00 +0000 UTC " + name}, got); diff != "" {
			t.Errorf("ReadDir(%q) (-want +got):\n%s", dir, diff)
		}
	}
}

func TestPath_formsOfTheFile(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set([]byte("dump"))
	c := h.client()
	for _, p := range []string{"/" + name, name, "./" + name, "/./" + name, "//" + name, "../" + name, "/x/../" + name} {
		st, err := c.Stat(p)
		if err != nil || st.Size() != 4 || st.Mode() != 0o666 {
			t.Errorf("Stat(%q) = %v, %v", p, st, err)
		}
		if st, err := c.Lstat(p); err != nil || st.Size() != 4 {
			t.Errorf("Lstat(%q) = %v, %v", p, st, err)
		}
		f, err := c.Open(p)
		if err != nil {
			t.Errorf("Open(%q): %v", p, err)
			continue
		}
		f.Close()
		if got, err := c.RealPath(p); err != nil || got != "/"+name {
			t.Errorf("RealPath(%q) = %q, %v", p, got, err)
		}
	}
	for _, p := range []string{"", ".", "/", "..", "//", "/../.."} {
		if got, err := c.RealPath(p); err != nil || got != "/" {
			t.Errorf("RealPath(%q) = %q, %v, want /", p, got, err)
		}
		if st, err := c.Stat(p); err != nil || st.Mode() != fs.ModeDir|0o755 {
			t.Errorf("Stat(%q) = %v, %v, want a directory", p, st, err)
		}
	}
}

// TestAttributes_onTheWire reads what some clients read: the attributes as numbers, and the longname as text.
func TestAttributes_onTheWire(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set(make([]byte, 849920))
	r := h.raw()
	attrs := []byte{0, 0, 0, 0x0f, 0, 0, 0, 0, 0, 0x0c, 0xf8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0xb6}
	mtime := binary.BigEndian.AppendUint32(nil, uint32(h.share.mtime.Unix()))
	attrs = slices.Concat(attrs, mtime, mtime)
	kind, rest := r.ask(17, "/"+name)
	if diff := cmp.Diff(attrs, rest); kind != 105 || diff != "" {
		t.Errorf("STAT: type %d (-want +got):\n%s", kind, diff)
	}
	_, handle := r.ask(11, "/")
	kind, rest = r.ask(12, handle)
	line := "-rw-rw-rw-    1 0        0          849920 Aug 30 15:58 " + name
	want := slices.Concat(message(104, 1, name, line)[5:], attrs)
	if diff := cmp.Diff(want, rest); kind != 104 || diff != "" {
		t.Errorf("READDIR: type %d (-want +got):\n%s", kind, diff)
	}
	if s := r.status(12, handle); !strings.HasPrefix(s, "1 ") {
		t.Errorf("second READDIR: %s, want end of file", s)
	}
}

// TestRefused tries everything that is not for the one file: each is refused with a fixed text, journalled, and the
// session goes on.
func TestRefused(t *testing.T) {
	t.Parallel()
	attrs := []byte{0, 0, 0, 0}
	size := []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9}
	file := "/" + name
	for _, test := range []struct {
		what   string
		op     string // as journalled
		kind   byte
		fields []any
		want   string
	}{
		{"open another file for reading", "open read", 3, []any{"/other", fRead, attrs}, noFile},
		{"open another file for writing", "open write|create|truncate", 3, []any{"/other", fWrite | fCreate | fTrunc,
			attrs}, denied},
		{"open another file for writing without creating", "open write", 3, []any{"/other", fWrite, attrs}, denied},
		{"create another file for reading", "open read|create", 3, []any{"/other", fRead | fCreate, attrs}, denied},
		{"open the root for writing", "open write", 3, []any{"/", fWrite, attrs}, denied},
		{"open the root for reading", "open read", 3, []any{"/", fRead, attrs}, "4 Is a directory"},
		{"open a path through the file", "open read", 3, []any{file + "/x", fRead, attrs}, noFile},
		{"open what lies outside", "open read", 3, []any{"../../etc/passwd", fRead, attrs}, noFile},
		{"open with a NUL", "open read", 3, []any{file + "\x00", fRead, attrs}, noFile},
		{"open what may be a marked path", "open read", 3, []any{"/\x001", fRead, attrs}, noFile},
		{"open with another case", "open read", 3, []any{strings.ToUpper(file), fRead, attrs}, noFile},
		{"open for exclusive creation", "open write|create|exclusive", 3, []any{file, fWrite | fCreate | fExcl, attrs},
			"4 File already exists"},
		{"stat another file", "stat", 17, []any{"/other"}, noFile},
		{"lstat another file", "lstat", 7, []any{"/other"}, noFile},
		{"setstat another file", "setstat", 9, []any{"/other", size}, noFile},
		{"setstat the root", "setstat", 9, []any{"/", size}, denied},
		{"setstat of broken attributes", "setstat", 9, []any{file, size[:6]}, "4 Failure"},
		{"setstat of a negative size", "truncate", 9, []any{file, []byte{0, 0, 0, 1, 255, 255, 255, 255, 0, 0, 0, 0}},
			"4 File too large"},
		{"setstat of what may be a marked path", "setstat", 9, []any{"/\x0077", size}, noFile},
		{"opendir of the file", "opendir", 11, []any{file}, noFile},
		{"opendir of nothing", "opendir", 11, []any{"/other"}, noFile},
		{"mkdir", "mkdir", 14, []any{"/dir", attrs}, denied},
		{"mkdir of what is there", "mkdir", 14, []any{"/", attrs}, denied},
		{"rmdir", "rmdir", 15, []any{"/"}, denied},
		{"remove the file", "remove", 13, []any{file}, denied},
		{"remove another", "remove", 13, []any{"/other"}, denied},
		{"rename the file", "rename", 18, []any{file, "/other"}, denied},
		{"rename onto the file", "rename", 18, []any{"/other", file}, denied},
		{"posix-rename", "rename", 200, []any{"posix-rename@openssh.com", file, "/other"}, denied},
		{"hard link", "link", 200, []any{"hardlink@openssh.com", file, "/other"}, denied},
		{"symbolic link", "symlink", 20, []any{file, "/other"}, denied},
		{"symbolic link to what lies outside", "symlink", 20, []any{"/etc/passwd", file}, denied},
		{"readlink", "readlink", 19, []any{file}, denied},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			h.share.set([]byte("dump"))
			r := h.raw()
			if got := r.status(test.kind, test.fields...); got != test.want {
				t.Errorf("answered %q, want %q", got, test.want)
			}
			if got := r.open(file, fRead); got == "" {
				t.Error("the session does not go on")
			}
			if got := string(h.share.bytes()); got != "dump" {
				t.Errorf("the file is now %q", got)
			}
			r.conn.Close()
			h.events.await(t, 1, sftpserver.EventDisconnect)
			list := h.events.all(sftpserver.EventDenied)
			if len(list) != 1 || list[0].Op != test.op || list[0].Reason == "" {
				t.Errorf("journalled %+v, want one %q with a reason", list, test.op)
			}
		})
	}
}

// TestUnsupported sends what the server does not know: it says so, and goes on.
func TestUnsupported(t *testing.T) {
	t.Parallel()
	r := start(t).raw()
	for _, test := range []struct {
		what   string
		kind   byte
		fields []any
	}{
		{"statvfs", 200, []any{"statvfs@openssh.com", "/"}},
		{"fsync", 200, []any{"fsync@openssh.com", "1"}},
		{"an unknown extension", 200, []any{"nobody@example.com", "x"}},
		{"an extension without a name", 200, []any{}},
		{"LINK of version 6", 21, []any{"/a", "/b", []byte{0}}},
		{"an answer", 103, []any{"data"}},
		{"type 255", 255, []any{"x"}},
		{"type 0", 0, []any{}},
	} {
		if got := r.status(test.kind, test.fields...); !strings.HasPrefix(got, "8 ") {
			t.Errorf("%s: answered %q, want unsupported", test.what, got)
		}
	}
}

func TestSetstat_timesAndModeHaveNoEffect(t *testing.T) {
	t.Parallel()
	for _, readOnly := range []bool{false, true} {
		h := start(t)
		h.share.protect(readOnly)
		h.share.set([]byte("dump"))
		c := h.client()
		if err := c.Chtimes(name, now, now); err != nil {
			t.Errorf("read-only %v: Chtimes: %v", readOnly, err)
		}
		if err := c.Chmod(name, 0o600); err != nil {
			t.Errorf("read-only %v: Chmod: %v", readOnly, err)
		}
		if err := c.Chown(name, 1000, 1000); err != nil {
			t.Errorf("read-only %v: Chown: %v", readOnly, err)
		}
		f, err := c.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Chmod(0o600); err != nil {
			t.Errorf("read-only %v: FSETSTAT: %v", readOnly, err)
		}
		st, err := f.Stat()
		want := fs.FileMode(0o666)
		if readOnly {
			want = 0o444
		}
		if err != nil || st.Mode() != want || !st.ModTime().Equal(h.share.mtime) {
			t.Errorf("read-only %v: afterwards %v %v, %v", readOnly, st.Mode(), st.ModTime(), err)
		}
	}
}

// TestTemporaryNames writes as clients do that rename at the end. They read what others read; the journal names the
// cause, and the client's option.
func TestTemporaryNames(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.client()
	for _, test := range []struct{ base, want string }{
		{name + ".filepart", "WinSCP does not with Preferences, Transfer, Endurance, Disable"},
		{name + ".5b6c7d8e.partial", "rclone does not with --inplace"},
		{name + ".partial", "rclone does not with --inplace"},
		{".in." + name, "lftp does not after set xfer:use-temp-file no"},
		{name + ".part", "MarkPartial=false"},
		{name + ".writing", "use-temporary-file-name=false"},
		{".giosaveX1Y2Z3", "take another client"},
		{name + "-A1b2C3d4", "Cyberduck: Preferences, Transfers, Uploads"},
		{"." + name, "Apache NiFi: Dot Rename"},
		{name + ".tmp", "switch off the client's option for temporary names"},
		{"upload.TMP", "switch off the client's option for temporary names"},
		{name + ".inprogress", "switch off the client's option for temporary names"},
		{name + "~", "switch off the client's option for temporary names"},
		{"." + name + ".x7Yz2Q", "switch off the client's option for temporary names"},
		{"other.sql", ""},
		{"template", ""},
	} {
		h.events.reset()
		if _, err := c.OpenFile(test.base, os.O_WRONLY|os.O_CREATE|os.O_TRUNC); !os.IsPermission(err) ||
			strings.Contains(err.Error(), "option") {
			t.Errorf("%s: %v, want permission denied and no more", test.base, err)
		}
		if err := c.Rename("/"+test.base, "/"+name); !os.IsPermission(err) {
			t.Errorf("renaming %s: %v", test.base, err)
		}
		list := h.events.all(sftpserver.EventDenied)
		if len(list) != 2 {
			t.Fatalf("%s: journalled %+v", test.base, list)
		}
		for _, e := range list {
			why := "only /" + name + " can be written"
			if test.want == "" && e.Reason != why || !strings.HasPrefix(e.Reason, why) ||
				!strings.Contains(e.Reason, test.want) {
				t.Errorf("%s: the journal says %q, want something with %q", test.base, e.Reason, test.want)
			}
		}
	}
}

// TestShareFails has a share that cannot say what its file is like: the session begins all the same, and each
// operation on the file says so, in a fixed text for the client, and in the share's own for the journal.
func TestShareFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("/srv/dumps/7: broken"), "4 Failure"},
		{fmt.Errorf("/srv/dumps/7: %w", sftpserver.ErrUnreadable), "4 The file cannot be read"},
		{fmt.Errorf("/srv/dumps/7: %w", syscall.ENOSPC), "4 No space left on device"},
	} {
		h := start(t)
		h.share.unfit = test.err
		r := h.raw()
		if kind, _ := r.ask(16, "."); kind != 104 {
			t.Errorf("%v: REALPATH was answered with type %d", test.err, kind)
		}
		for what, got := range map[string]string{
			"stat": r.status(17, name), "opendir": r.status(11, "/"), "open": r.status(3, name, fRead, 0),
		} {
			if got != test.want {
				t.Errorf("%v: %s was answered %q, want %q", test.err, what, got, test.want)
			}
		}
		list := h.events.all(sftpserver.EventDenied)
		if len(list) != 3 || list[0].Reason != test.err.Error() {
			t.Errorf("%v: journalled %+v", test.err, list)
		}
	}
}
