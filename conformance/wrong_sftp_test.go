package conformance_test

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
)

// wrongShares are servers whose SFTP goes wrong.
func wrongShares() map[string]wrong {
	return map[string]wrong{
		// SFTP access.
		"sftp_user is the id": {"5.5",
			accessAnswer(func(m map[string]any) { m["sftp_user"] = strconv.Itoa(m["request_id"].(int)) }),
			"sftp-access/sftp-user"},
		"sftp_user with a hyphen": {"5.5",
			accessAnswer(func(m map[string]any) { m["sftp_user"] = reshape("_", "-")(m["sftp_user"]) }),
			"sftp-access/sftp-user"},
		"sample_command without a port": {"5.5",
			accessAnswer(func(m map[string]any) {
				m["sample_command"] = reshape(`-P \d+ `, "")(m["sample_command"])
			}),
			"sftp-access/sample-command"},
		"sample_command with -p": {"5.5",
			accessAnswer(func(m map[string]any) {
				m["sample_command"] = reshape("-P", "-p")(m["sample_command"])
			}),
			"sftp-access/sample-command"},
		"sample_command of ssh": {"5.5",
			accessAnswer(func(m map[string]any) {
				m["sample_command"] = reshape("^sftp", "ssh")(m["sample_command"])
			}),
			"sftp-access/sample-command"},
		"hostname with a port": {"5.6",
			accessAnswer(func(m map[string]any) { m["hostname"] = "127.0.0.1:2200" }),
			"sftp-access/hostname"},
		"hostname is a URL": {"5.6",
			accessAnswer(func(m map[string]any) { m["hostname"] = "sftp://127.0.0.1" }),
			"sftp-access/hostname"},
		"hostname is null": {"5.6",
			accessAnswer(func(m map[string]any) { m["hostname"] = nil }),
			"sftp-access/hostname"},
		"sftp_port is null": {"5.6",
			accessAnswer(func(m map[string]any) { m["sftp_port"] = nil }),
			"sftp-access/sftp-port"},
		"sftp_port is a fraction": {"5.6",
			accessAnswer(func(m map[string]any) { m["sftp_port"] = 2200.5 }),
			"sftp-access/sftp-port"},
		"shared_file with a path": {"5.5",
			accessAnswer(func(m map[string]any) { m["shared_file"] = "/" + m["shared_file"].(string) }),
			"sftp-access/shared-file"},
		"shared_file is another name": {"5.5",
			accessAnswer(func(m map[string]any) { m["shared_file"] = "upload.dump" }),
			"sftp-access/shared-file"},
		"request_id of another": {"5.4",
			accessAnswer(func(m map[string]any) { m["request_id"] = m["request_id"].(int) + 1 }),
			"sftp-access/request-id"},
		"the access is not a request": {"5.4",
			rewritten("request_sftp_access", func(b []byte) []byte {
				return bytes.Replace(b, []byte(`"request"`), []byte(`"access"`), 1)
			}),
			"sftp-access/answer"},

		// SFTP.
		"a dump sent over SFTP is not the request's": {"5.12, 6.1",
			saboteur{mutations: []string{"SFTP apart"}}, "process/sftp-dump"},
		"ignores APPEND": {"5.12", saboteur{mutations: []string{"ignores APPEND"}}, "sftp/resume-append sftp/append " +
			"sftp/append-same-offset sftp/append-out-of-order sftp/append-backwards sftp/append-behind " +
			"sftp/append-two-handles"},
		"SFTP of another version": {"5.5", saboteur{mutations: []string{"SFTP 6"}}, "sftp/session"},
		"a session begins at home": {"5.11", packets(func(*refserver.Session, *refserver.Packet) (byte, []byte) {
			return 104, append(refserver.AppendString(refserver.AppendString([]byte{0, 0, 0, 1}, "/home/user"), ""), 0,
				0, 0, 0)
		}, 16), "sftp/root"},
		"no fstat": {"5.12", refuses(8, 8), "sftp/stat-size"},
		"no lstat": {"5.12", refuses(8, 7), "sftp/stat-size"},
		"no close": {"5.12", refuses(4, 4), "sftp/put"},
		"no attributes": {"5.12",
			packets(func(*refserver.Session, *refserver.Packet) (byte, []byte) {
				return 105, []byte{0, 0, 0, 0}
			}, 7, 8, 17),
			"sftp/stat-size sftp/list-mode"},
		"no end of the file": {"5.12",
			atTheEnd(func(*refserver.Session) (byte, []byte) { return 103, refserver.AppendString(nil, "") }),
			"sftp/read-back"},
		"an error at the end": {"5.12",
			atTheEnd(func(f *refserver.Session) (byte, []byte) { return f.Status(4) }),
			"sftp/read-back"},
		"every read is the beginning": {"5.12",
			packets(func(f *refserver.Session, p *refserver.Packet) (byte, []byte) {
				return readAt(f, p, func(int64) int64 { return 0 })
			}, 5), "sftp/read-back sftp/put sftp/done-get-resume"},
		"a listing without size": {"5.21",
			longname(func(l string) string { return regexp.MustCompile(` +\d+ ([A-Z])`).ReplaceAllString(l, " $1") }),
			"sftp/longname"},
		"a listing with another size": {"5.21",
			longname(func(l string) string { return regexp.MustCompile(` \d+ ([A-Z])`).ReplaceAllString(l, " 1 $1") }),
			"sftp/longname"},
		"a listing with another mode": {"5.21",
			longname(func(l string) string { return strings.Replace(l, "-rw-rw-rw-", "-rw-r--r--", 1) }),
			"sftp/longname"},
		"a listing with a directory": {"5.21",
			longname(func(l string) string { return strings.Replace(l, "-rw", "drw", 1) }),
			"sftp/longname"},
		"a listing with its owner": {"5.21",
			longname(func(l string) string { return strings.Replace(l, " 0 ", " odoo ", 1) }),
			"sftp/longname"},
		"a listing with an ISO date": {"5.21", longname(func(l string) string {
			return regexp.MustCompile(`[A-Z][a-z]{2} [ \d]\d \d\d:\d\d`).ReplaceAllString(l, "2015-08-30 15:58")
		}), "sftp/longname sftp/done-longname"},
		"a listing without mode": {"5.21",
			longname(func(l string) string { return l[11:] }),
			"sftp/longname sftp/done-longname"},
		"truncation is ignored": {"5.12",
			opens(func(flags uint32) uint32 { return flags &^ 16 }),
			"sftp/overwrite sftp/truncate"},
		"opening always truncates": {"5.12",
			opens(func(flags uint32) uint32 { return flags | 16 }),
			"sftp/no-truncate sftp/resume sftp/resume-twice sftp/rewrite-middle sftp/next-session sftp/interrupted"},
		"the flag to create truncates": {"5.12",
			opens(func(flags uint32) uint32 { return flags | flags&8<<1 }),
			"sftp/no-truncate sftp/resume sftp/resume-append"},
		"APPEND truncates": {"5.12",
			opens(func(flags uint32) uint32 { return flags | flags&4<<2 }),
			"sftp/resume-append sftp/append sftp/interrupted"},
		"APPEND is refused": {"5.12", packets(func(f *refserver.Session, p *refserver.Packet) (byte, []byte) {
			p.Str()
			if p.Uint32()&4 != 0 {
				return f.Status(8)
			}
			return 0, nil
		}, 3), "sftp/resume-append sftp/append"},
		"a resume leaves a hole": {"5.12", writes(func(w *write) {
			if w.h.Flags&16 == 0 {
				w.off += 512
			}
		}), "sftp/resume sftp/resume-twice sftp/next-session"},
		"a resume begins anew": {"5.12", writes(func(w *write) {
			if w.h.Flags&16 == 0 {
				w.off -= w.h.Base
			}
			w.off = max(0, w.off)
		}), "sftp/resume sftp/next-session"},
		"each write is an append": {"5.12", writes(func(w *write) {
			w.off = int64(len(w.f.Request.Dump))
		}), "sftp/out-of-order sftp/rewrite-middle"},
		"writes are cut at 16 KiB": {"5.12", writes(func(w *write) {
			w.data = w.data[:min(len(w.data), 16<<10)]
		}), "sftp/put sftp/large"},
		"writes are text": {"5.12", writes(func(w *write) {
			w.data = strings.ReplaceAll(w.data, "\x00", " ")
		}), "sftp/put-bytes"},
		"any file can be read": {"5.13", packets(func(f *refserver.Session, p *refserver.Packet) (byte, []byte) {
			if p.Str(); p.Uint32()&2 == 0 {
				return 102, f.Add(&refserver.Handle{Flags: 1})
			}
			return 0, nil
		}, 3), "sftp/no-way-out"},
		"any path is there": {"5.13", packets(func(f *refserver.Session, p *refserver.Packet) (byte, []byte) {
			if path := p.Str(); path == "/" {
				return 0, nil
			}
			return 105, f.Attrs(false, 1000)
		}, 7, 17), "sftp/no-way-out sftp/no-such-file"},
		"any file can be written": {"5.13", packets(func(f *refserver.Session, p *refserver.Packet) (byte, []byte) {
			if path := p.Str(); !f.IsShared(path) && p.Uint32()&2 != 0 {
				return 102, f.Add(&refserver.Handle{Flags: 2, Gone: true})
			}
			return 0, nil
		}, 3), "sftp/no-create sftp/done-no-change sftp/done-read-only"},
		"any directory can be listed": {"5.13",
			packets(func(f *refserver.Session, _ *refserver.Packet) (byte, []byte) {
				return 102, f.Add(&refserver.Handle{Dir: true})
			}, 11),
			"sftp/no-way-out"},
		"what is denied ends the session": {"5.13",
			packets(func(*refserver.Session, *refserver.Packet) (byte, []byte) { return 255, nil }, 13, 14, 15, 18,
				20),
			"sftp/no-mkdir sftp/no-remove sftp/no-rename sftp/no-rmdir sftp/no-symlink"},
		"the shared file can be removed": {"5.13",
			packets(func(f *refserver.Session, _ *refserver.Packet) (byte, []byte) {
				f.Request.Dump = nil
				return f.Status(0)
			}, 13),
			"sftp/no-remove sftp/done-no-change"},
		"the upgraded file is cut": {"5.16", saboteur{mutations: []string{"SFTP cuts what was upgraded"}},
			"sftp/done-get"},
		"an empty password opens": {"5.10", saboteur{mutations: []string{"empty password"}}, "sftp/password"},
		"an end with status 1": {"5.20",
			saboteur{mutations: []string{"exit status 1"}},
			"sftp/exit-status"},
		"exec runs": {"5.20",
			saboteur{mutations: []string{"sftp/exec-refused"}},
			"sftp/exec-refused"},
		"writes in done are taken": {"5.16",
			saboteur{mutations: []string{"sftp/done-read-only"}},
			"sftp/done-read-only"},
	}
}
