package sftpserver_test

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/sftpserver"
)

// run runs a program in the host's directory and returns what it printed and whether it succeeded.
func (h *host) run(stdin, program string, args ...string) (stdout, stderr string, err error) {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir = h.dir
	cmd.Env = append(cmd.Environ(), "HOME="+h.dir, "SSH_AUTH_SOCK=", "LC_ALL=C", "TZ=UTC")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// must is run for a program that has to succeed.
func (h *host) must(stdin, program string, args ...string) string {
	h.tb.Helper()
	out, errs, err := h.run(stdin, program, args...)
	if err != nil {
		h.tb.Fatalf("%s %s: %v\n%s\n%s\njournal: %+v", program, strings.Join(args, " "), err, out, errs, h.events.all())
	}
	return out
}

// sshOptions keep OpenSSH's programs away from the developer's own configuration.
func (h *host) sshOptions() []string {
	return []string{"-F", "/dev/null", "-oIdentityFile=" + h.dir + "/id", "-oIdentitiesOnly=yes",
		"-oStrictHostKeyChecking=no",
		"-oUserKnownHostsFile=" + h.dir + "/known_hosts", "-oConnectTimeout=20", "-oLogLevel=ERROR", "-oBatchMode=yes"}
}

// sftp runs a batch with OpenSSH's sftp.
func (h *host) sftp(batch string, more ...string) (stdout, stderr string, err error) {
	h.tb.Helper()
	args := append(append(h.sshOptions(), more...), "-b", "-", "-P", h.port(), user+"@127.0.0.1")
	return h.run(batch, testprog.Need(h.tb, "sftp", "openssh-client"), args...)
}

// mustSFTP is sftp for a batch that has to succeed.
func (h *host) mustSFTP(batch string, more ...string) string {
	h.tb.Helper()
	out, errs, err := h.sftp(batch, more...)
	if err != nil {
		h.tb.Fatalf("sftp: %v\n%s\n%s\njournal: %+v", err, out, errs, h.events.all())
	}
	return out
}

// TestOpenSSH_putAndList is the sample session of the documentation.
func TestOpenSSH_putAndList(t *testing.T) {
	t.Parallel()
	h := start(t)
	want := pattern(849920)
	h.write("dump", want)
	out := h.mustSFTP("put dump " + name + "\nls -l\nls -l " + name + "\nls\npwd\n")
	h.wants(want)
	for _, line := range []string{
		"-rw-rw-rw-    1 0        0          849920 Aug 30 15:58 " + name,
		"Remote working directory: /",
		"\n" + name,
	} {
		if !strings.Contains(out, line) {
			t.Errorf("printed\n%s, which has not\n%s", out, line)
		}
	}
	if errs := h.events.all(sftpserver.EventDenied, sftpserver.EventAbort); len(errs) > 0 {
		t.Errorf("journalled %+v", errs)
	}
}

func TestOpenSSH_everyKeyType(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"rsa", "ecdsa"} {
		h := start(t)
		h.share.keys = []gossh.PublicKey{signer(t, kind).PublicKey()}
		h.writeKey("id", kind)
		h.write("dump", []byte("dump"))
		h.mustSFTP("put dump " + name)
		h.wants([]byte("dump"))
	}
}

func TestOpenSSH_resumeOverwriteTimes(t *testing.T) {
	t.Parallel()
	h := start(t)
	long, short := pattern(3<<20+11), pattern(12345)
	h.write("long", long)
	h.write("short", short)
	h.share.set(long[:1<<20+5])
	h.mustSFTP("put -a long " + name)
	h.wants(long)
	if e := h.events.all(sftpserver.EventClose); len(e) != 1 || cmp.Diff([]sftpserver.Range{{From: 1<<20 + 5, To: 3<<20 +
		11}}, e[0].Written) != "" {
		t.Errorf("the resume is reported as %+v", e)
	}
	h.mustSFTP("put -p short /" + name)
	h.wants(short)
	h.mustSFTP("put -a long " + name)
	h.wants(long)
	out := h.mustSFTP("ls -l")
	if !strings.Contains(out, "-rw-rw-rw-") {
		t.Errorf("after put -p of a file with mode 0600:\n%s", out)
	}
	h.mustSFTP("chmod 600 " + name + "\nchown 0 " + name)
}

func TestOpenSSH_get(t *testing.T) {
	t.Parallel()
	for _, readOnly := range []bool{false, true} {
		h := start(t)
		want := pattern(3<<20 + 7)
		h.share.set(want)
		h.share.protect(readOnly)
		h.write("part", want[:1<<20+1])
		h.mustSFTP("get " + name + " whole\nget -a " + name + " part\nget -p " + name + " times\nreget " + name + " part\n")
		for _, file := range []string{"whole", "part", "times"} {
			if !bytes.Equal(h.read(file), want) {
				t.Errorf("read-only %v: %s differs", readOnly, file)
			}
		}
		h.mustSFTP("get -r / copy")
		if !bytes.Equal(h.read("copy/"+name), want) {
			t.Errorf("read-only %v: the copy of the directory differs", readOnly)
		}
	}
}

// TestOpenSSH_blocks sends blocks of every size that a user may ask for.
func TestOpenSSH_blocks(t *testing.T) {
	t.Parallel()
	want := pattern(1<<20 + 13)
	for _, size := range []string{"1000", "32768", "65536", "200000", "261120", "262100"} {
		h := start(t)
		h.write("dump", want)
		h.mustSFTP("put dump "+name+"\nget "+name+" back", "-B", size)
		h.wants(want)
		if !bytes.Equal(h.read("back"), want) {
			t.Errorf("-B %s: read back %d bytes", size, len(h.read("back")))
		}
	}
}

// TestOpenSSH_ciphers asks for each cipher on its own.
func TestOpenSSH_ciphers(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, cipher := range []string{"chacha20-poly1305@openssh.com", "aes128-ctr", "aes256-ctr",
		"aes128-gcm@openssh.com", "aes256-gcm@openssh.com"} {
		want := pattern(100_000 + len(cipher))
		h.write("dump", want)
		h.mustSFTP("put dump "+name, "-oCiphers="+cipher)
		h.wants(want)
	}
	for _, cipher := range []string{"3des-cbc", "aes128-cbc"} {
		if _, _, err := h.sftp("ls", "-oCiphers="+cipher); err == nil {
			t.Errorf("%s is accepted", cipher)
		}
	}
}

// TestOpenSSH_refused sees that each refusal is one for the user, and that the session goes on.
func TestOpenSSH_refused(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.share.set([]byte("dump"))
	h.write("dump", []byte("other"))
	out, errs, err := h.sftp(strings.Join([]string{
		"-put dump other.dump", "-put dump ../other.dump", "-mkdir dir", "-rmdir /", "-rm " + name, "-rename " + name +
			" other", "-ln -s " + name + " link",
		"-ln " + name + " hard", "-get /etc/passwd", "-get ../../etc/passwd", "-cd /etc", "-df", "ls", "get " + name +
			" back", ""}, "\n"))
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	h.wants([]byte("dump"))
	if string(h.read("back")) != "dump" {
		t.Errorf("got %q afterwards", h.read("back"))
	}
	if n := strings.Count(strings.ToLower(errs), "permission denied"); n < 6 {
		t.Errorf("permission denied %d times:\n%s", n, errs)
	}
	h.share.protect(true)
	if _, errs, err := h.sftp("put dump " + name); err == nil || !strings.Contains(strings.ToLower(errs),
		"permission denied") {
		t.Errorf("put to a read-only file: %v\n%s", err, errs)
	}
	h.wants([]byte("dump"))
}

func TestOpenSSH_login(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.writeKey("id", "ecdsa") // which is not known
	_, errs, err := h.sftp("ls")
	if err == nil || !strings.Contains(errs, "Permission denied (publickey)") {
		t.Errorf("another key: %v\n%s", err, errs)
	}
	_, errs, err = h.sftp("ls", "-oPubkeyAuthentication=no", "-oBatchMode=no", "-oNumberOfPasswordPrompts=1")
	if err == nil || !strings.Contains(errs, "Permission denied (publickey)") {
		t.Errorf("no key: %v\n%s", err, errs)
	}
	refused := h.events.await(t, 2, sftpserver.EventRefused)
	if refused[0].Method != "publickey" || refused[1].Method != "none" {
		t.Errorf("journalled %+v", refused)
	}
}

func TestOpenSSH_scp(t *testing.T) {
	t.Parallel()
	h := start(t)
	scp := testprog.Need(t, "scp", "openssh-client")
	want := pattern(1 << 20)
	h.write("dump", want)
	remote := user + "@127.0.0.1:" + name
	args := func(more ...string) []string { return append(append(h.sshOptions(), "-P", h.port()), more...) }
	h.must("", scp, args("-s", "dump", remote)...)
	h.wants(want)
	h.must("", scp, args("-s", "-p", remote, "back")...)
	if !bytes.Equal(h.read("back"), want) {
		t.Error("what scp brought back differs")
	}
	_, errs, err := h.run("", scp, args("-O", "dump", remote)...)
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 || !strings.Contains(errs,
		"only the sftp subsystem") {
		t.Errorf("scp -O: %v\n%s", err, errs)
	}
	h.wants(want)
}

func TestOpenSSH_shell(t *testing.T) {
	t.Parallel()
	h := start(t)
	ssh := testprog.Need(t, "ssh", "openssh-client")
	for _, more := range [][]string{nil, {"id"}, {"-A", "-X", "id"}} {
		_, errs, err := h.run("", ssh, append(append(h.sshOptions(), "-p", h.port(), user+"@127.0.0.1"), more...)...)
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 ||
			!strings.Contains(errs, "only the sftp subsystem") {
			t.Errorf("ssh %v: %v\n%s", more, err, errs)
		}
	}
	if _, errs, err := h.run("", ssh, append(h.sshOptions(), "-tt", "-p", h.port(), user+"@127.0.0.1")...); err == nil ||
		!strings.Contains(errs, "PTY") {
		t.Errorf("ssh -tt: %v\n%s", err, errs)
	}
	// A forwarding that the server refuses ends the client, if its options say so.
	_, _, err := h.run("", ssh, append(h.sshOptions(), "-oExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:1", "-p",
		h.port(), user+"@127.0.0.1")...)
	if err == nil {
		t.Error("a remote forwarding was accepted")
	}
}

// TestOpenSSH_brokenAndResumed cuts the connection at an offset, and lets the client continue.
func TestOpenSSH_brokenAndResumed(t *testing.T) {
	t.Parallel()
	for _, fault := range []sftpserver.Fault{{Disconnect: true}, {Reset: true}, {Error: "no space left on device"}} {
		fault.After = 1 << 20
		h := startFaulty(t, sftpserver.OpWrite, fault)
		want := pattern(4<<20 + 3)
		h.write("dump", want)
		out, errs, err := h.sftp("put dump " + name)
		if err == nil {
			t.Fatalf("%s: went well\n%s%s", what(fault), out, errs)
		}
		if fault.Error != "" {
			if !strings.Contains(errs, "Failure") {
				t.Errorf("%s: the user reads\n%s", what(fault), errs)
			}
		} else if !strings.Contains(errs, "closed") && !strings.Contains(errs, "reset by peer") &&
			!strings.Contains(errs, "Broken pipe") &&
			err.Error() != "signal: broken pipe" { // now and then sftp dies of the pipe to its ssh, before either says a word
			t.Errorf("%s: sftp ended with %v, the user reads\n%s%s", what(fault), err, out, errs)
		}
		h.wants(want[:1<<20])
		h.mustSFTP("put -a dump " + name)
		h.wants(want)

		h = startFaulty(t, sftpserver.OpRead, fault)
		h.share.set(want)
		if out, errs, err := h.sftp("get " + name + " back"); err == nil {
			t.Fatalf("%s: went well\n%s%s", what(fault), out, errs)
		}
		if got := h.read("back"); !bytes.Equal(got, want[:min(len(got), 1<<20)]) {
			t.Errorf("%s: the client has %d bytes", what(fault), len(got))
		}
		h.mustSFTP("get -a " + name + " back")
		if !bytes.Equal(h.read("back"), want) {
			t.Errorf("%s: what was resumed differs", what(fault))
		}
	}
}

// TestOpenSSH_killed kills the client in the middle of an upload; the next one continues.
func TestOpenSSH_killed(t *testing.T) {
	t.Parallel()
	h := startFaulty(t, sftpserver.OpWrite, sftpserver.Fault{Rate: 4 << 20})
	want := pattern(3 << 20)
	h.write("dump", want)
	cmd := exec.Command(testprog.Need(t, "sftp", "openssh-client"), append(h.sshOptions(), "-b", "-", "-P", h.port(),
		user+"@127.0.0.1")...)
	cmd.Dir = h.dir
	cmd.Env = append(cmd.Environ(), "HOME="+h.dir, "SSH_AUTH_SOCK=")
	cmd.Stdin = strings.NewReader("put dump " + name + "\n")
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.events.await(t, 1, sftpserver.EventFault) // fired when the file was opened
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	h.events.await(t, 1, sftpserver.EventDisconnect)
	if ends := h.events.all(sftpserver.EventClose, sftpserver.EventAbort); len(ends) != 1 {
		t.Errorf("the file ended as %+v", ends)
	}
	h.wants(want[:len(h.share.bytes())])
	h.mustSFTP("put -a dump " + name)
	h.wants(want)
}
