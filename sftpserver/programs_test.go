package sftpserver_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/sftpserver"
)

// paramiko runs lines of Python with "sftp", an open SFTPClient, and the files of the host's directory.
func (h *host) paramiko(lines ...string) string {
	h.tb.Helper()
	program := []string{
		"import warnings; warnings.simplefilter('ignore')",
		"import paramiko, os, stat",
		"t = paramiko.Transport(('127.0.0.1', " + h.port() + "))",
		"t.connect(username='" + user + "', pkey=" + h.paramikoKey + ")",
		"sftp = paramiko.SFTPClient.from_transport(t)",
		"name = '" + name + "'",
	}
	program = append(append(program, lines...), "t.close()")
	script := h.write("script.py", []byte(strings.Join(program, "\n")+"\n"))
	return h.must("", testprog.NeedPython(h.tb, "paramiko", "python3-paramiko"), script)
}

func startParamiko(t *testing.T, kind string) *host {
	t.Helper()
	testprog.NeedPython(t, "paramiko", "python3-paramiko")
	h := start(t)
	h.share.keys = []gossh.PublicKey{signer(t, kind).PublicKey()}
	h.writeKey("id", kind)
	class := map[string]string{"ed25519": "Ed25519Key", "ecdsa": "ECDSAKey", "rsa": "RSAKey"}[kind]
	h.paramikoKey = fmt.Sprintf("paramiko.%s.from_private_key_file('id')", class)
	return h
}

func TestParamiko_putGetStat(t *testing.T) {
	t.Parallel()
	kinds := []string{"ed25519", "ecdsa", "rsa"}
	if testing.Short() {
		kinds = kinds[:1] // Python takes half a second to begin
	}
	for _, kind := range kinds {
		h := startParamiko(t, kind)
		want := pattern(2<<20 + 5)
		h.write("dump", want)
		out := h.paramiko(
			"sftp.put('dump', name)", // which stats the file afterwards
			"sftp.get('/' + name, 'back')",
			"s = sftp.stat(name)",
			"print(sftp.listdir('.'), sftp.normalize('.'), oct(s.st_mode), s.st_size, s.st_uid)",
			"print(sftp.listdir_attr('/')[0].longname)",
			"sftp.chmod(name, 0o600); sftp.utime(name, None); sftp.chown(name, 1, 1)",
		)
		h.wants(want)
		if !bytes.Equal(h.read("back"), want) {
			t.Errorf("%s: what came back differs", kind)
		}
		wantOut := "['" + name + "'] / 0o100666 2097157 0\n-rw-rw-rw-    1 0        0         2097157 Aug 30 15:58 " +
			name + "\n"
		if diff := cmp.Diff(wantOut, out); diff != "" {
			t.Errorf("%s: printed (-want +got):\n%s", kind, diff)
		}
	}
}

// TestParamiko_append is the way of known clients: mode "a", in small pieces, with or without waiting for answers.
func TestParamiko_append(t *testing.T) {
	t.Parallel()
	testprog.OneIn(t, 3)
	for _, pipelined := range []string{"True", "False"} {
		for _, mode := range []string{"a", "ab", "a+"} {
			h := startParamiko(t, "ed25519")
			before, tail := pattern(100_001), pattern(777_777)
			h.share.set(before)
			h.write("tail", tail)
			h.paramiko(
				"f = sftp.open(name, '"+mode+"')",
				"f.set_pipelined("+pipelined+")",
				"for piece in iter(lambda src=open('tail', 'rb'): src.read(3001), b''): f.write(piece)",
				"f.close()",
			)
			h.wants(append(before, tail...))
		}
	}
}

func TestParamiko_modes(t *testing.T) {
	t.Parallel()
	testprog.OneIn(t, 3)
	h := startParamiko(t, "ed25519")
	h.share.set(pattern(1000))
	out := h.paramiko(
		"with sftp.open(name, 'r+') as f:",
		"  f.seek(500); f.write(b'middle'); f.seek(0); print(len(f.read()))",
		"  f.truncate(800); print(f.stat().st_size); f.chmod(0o600); f.utime(None)",
		"with sftp.open(name, 'rb') as f:",
		"  f.prefetch(); print(len(f.read())); print(f.readv([(10, 20), (700, 50)]).__class__.__name__)",
		"for what in ['sftp.open(name, \"x\")', 'sftp.open(\"other\", \"w\")', 'sftp.mkdir(\"d\")', 'sftp.remove(name)',",
		"             'sftp.rename(name, \"o\")', 'sftp.posix_rename(name, \"o\")', 'sftp.symlink(name, \"o\")',",
		"             'sftp.rmdir(\"/\")', 'sftp.open(\"/etc/passwd\")', 'sftp.stat(\"nothing\")',",
		"             'sftp.listdir(\"/etc\")']:",
		"  try: eval(what); print(what, 'went well')",
		"  except PermissionError as e: print('denied', e.errno)",
		"  except FileNotFoundError as e: print('nothing there', e.errno)",
		"  except IOError as e: print(e)",
		"with sftp.open(name, 'w') as f: f.write(b'short')",
	)
	want := "1000\n800\n800\ngenerator\n" + "File already exists\n" + strings.Repeat("denied 13\n", 7) +
		strings.Repeat("nothing there 2\n", 3)
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	h.wants([]byte("short"))
}

// TestParamiko_leavesWithoutClosing has written everything but neither closed its file nor its session.
func TestParamiko_leavesWithoutClosing(t *testing.T) {
	t.Parallel()
	h := startParamiko(t, "ed25519")
	h.paramiko(
		"f = sftp.open(name, 'w')",
		"f.set_pipelined(True)",
		"f.write(b'x' * 100000); f.flush()",
		"os._exit(0)",
	)
	e := h.events.await(t, 1, sftpserver.EventAbort)[0]
	if n := len(h.share.bytes()); int64(n) != e.Size {
		t.Errorf("%d bytes are there, %d were reported", n, e.Size)
	}
}

// TestParamiko_otherLogins tries what the server does not offer, as clients do that don't ask first.
func TestParamiko_otherLogins(t *testing.T) {
	t.Parallel()
	testprog.OneIn(t, 3)
	h := startParamiko(t, "ed25519")
	script := h.write("login.py", []byte(`
import warnings; warnings.simplefilter('ignore')
import paramiko
for how in ["auth_password('user_10534', 'secret')", "auth_interactive('user_10534', lambda *a: ['secret'])",
            "auth_none('user_10534')"]:
    t = paramiko.Transport(('127.0.0.1', `+h.port()+`))
    t.start_client(timeout=20)
    try: eval('t.' + how); print('in')
    except paramiko.BadAuthenticationType as e: print(e.allowed_types)
    t.close()
`))
	out := h.must("", testprog.NeedPython(t, "paramiko", "python3-paramiko"), script)
	if diff := cmp.Diff(strings.Repeat("['publickey']\n", 3), out); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	h.events.await(t, 3, sftpserver.EventDisconnect)
	var methods []string
	for _, e := range h.events.all(sftpserver.EventRefused) {
		methods = append(methods, e.Method)
	}
	if diff := cmp.Diff([]string{"password", "keyboard-interactive", "none"}, methods); diff != "" {
		t.Errorf("journalled (-want +got):\n%s", diff)
	}
}

func (h *host) lftp(commands string) string {
	h.tb.Helper()
	return h.must("", testprog.Need(h.tb, "lftp", "lftp"), h.lftpArgs(commands)...)
}

func (h *host) lftpArgs(commands string) []string {
	connect := "ssh " + strings.Join(h.sshOptions(), " ") + " -a -x"
	return []string{"--norc", "-c", fmt.Sprintf("set cmd:fail-exit yes; set net:max-retries 2; set net:timeout 20; "+
		"set sftp:connect-program '%s'; open -p %s sftp://%s:@127.0.0.1; %s", connect, h.port(), user, commands)}
}

func TestLFTP(t *testing.T) {
	t.Parallel()
	h := start(t)
	want := pattern(2<<20 + 9)
	h.write("dump", want)
	h.lftp("put dump -o " + name + "; ls; get " + name + " -o back")
	h.wants(want)
	if !bytes.Equal(h.read("back"), want) {
		t.Error("what came back differs")
	}
	h.share.set(want[:1<<20+3])
	h.lftp("put -c dump -o " + name)
	h.wants(want)
	h.write("part", want[:70_001])
	h.lftp("get -c " + name + " -o part")
	if !bytes.Equal(h.read("part"), want) {
		t.Error("what was resumed differs")
	}
	if out, errs, err := h.run("", testprog.Need(t, "lftp", "lftp"),
		h.lftpArgs("set xfer:use-temp-file yes; put dump -o "+name)...); err == nil {
		t.Errorf("a temporary name was taken:\n%s%s", out, errs)
	}
	if list := h.events.all(sftpserver.EventDenied); !slices.ContainsFunc(list,
		func(e sftpserver.Event) bool { return strings.Contains(e.Reason, "set xfer:use-temp-file no") }) {
		t.Errorf("the journal says %+v", list)
	}
	h.wants(want)
	h.share.protect(true)
	h.lftp("pget -n 3 " + name + " -o parts; mirror / copy")
	if !bytes.Equal(h.read("parts"), want) || !bytes.Equal(h.read("copy/"+name), want) {
		t.Error("what came in parts differs")
	}
}

func (h *host) curl(args ...string) string {
	h.tb.Helper()
	curl := testprog.Need(h.tb, "curl", "curl")
	if !strings.Contains(h.must("", curl, "--version"), " sftp") {
		testprog.Missing(h.tb, "SFTP in curl", "curl") // Debian's is built with it
	}
	base := []string{"-sS", "-k", "--max-time", "50", "-u", user + ":", "--key", "id", "--pubkey", "id.pub"}
	return h.must("", curl, append(base, args...)...)
}

func TestCurl(t *testing.T) {
	t.Parallel()
	// libssh2 signs with RSA by SHA-1 in the versions that are still around, so the key is an ECDSA one.
	h := start(t)
	key := signer(t, "ecdsa")
	h.share.keys = []gossh.PublicKey{key.PublicKey()}
	h.writeKey("id", "ecdsa")
	h.write("id.pub", gossh.MarshalAuthorizedKey(key.PublicKey()))
	url := "sftp://127.0.0.1:" + h.port() + "/"
	want := pattern(1<<20 + 9)
	h.write("dump", want)
	h.curl("-T", "dump", url+name)
	h.wants(want)
	h.curl("-o", "back", url+name)
	if !bytes.Equal(h.read("back"), want) {
		t.Error("what came back differs")
	}
	if out := h.curl(url); !strings.Contains(out, "-rw-rw-rw-    1 0        0         1048585 Aug 30 15:58 "+name) {
		t.Errorf("the listing is\n%s", out)
	}
	h.write("part", want[:5000])
	h.curl("-C", "-", "-o", "part", url+name)
	if !bytes.Equal(h.read("part"), want) {
		t.Error("what was resumed differs")
	}
	h.share.set(want[:5001])
	h.curl("-C", "-", "-T", "dump", url+name)
	h.wants(want)
	h.share.set([]byte("before "))
	h.curl("--append", "-T", "dump", url+name)
	h.wants(append([]byte("before "), want...))
	h.share.set(want)
	h.curl("--append", "-T", "dump", url+name) // what is appended is no longer than what is there
	h.wants(append(bytes.Clone(want), want...))
}

func TestRclone(t *testing.T) {
	t.Parallel()
	h := start(t)
	rclone := testprog.Need(t, "rclone", "rclone")
	want := pattern(2<<20 + 1)
	h.write("dump", want)
	h.write("rclone.conf", fmt.Appendf(nil, `[host]
type = sftp
host = 127.0.0.1
port = %s
user = %s
key_file = %s/id
shell_type = none
md5sum_command = none
sha1sum_command = none
`, h.port(), user, h.dir))
	run := func(args ...string) string {
		return h.must("", rclone, append([]string{"--config", h.dir + "/rclone.conf", "--retries", "1",
			"--low-level-retries", "1", "--timeout", "20s"}, args...)...)
	}
	run("copyto", "dump", "host:"+name)
	h.wants(want)
	if out := run("lsl", "host:"); !strings.Contains(out, "2097153 2015-08-30") {
		t.Errorf("lsl: %s", out)
	}
	h.share.protect(true)
	run("copyto", "host:/"+name, "back")
	if !bytes.Equal(h.read("back"), want) {
		t.Error("what came back differs")
	}
	if _, err := os.Stat(h.dir + "/back"); err != nil {
		t.Error(err)
	}
}
