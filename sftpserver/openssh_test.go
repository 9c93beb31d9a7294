package sftpserver_test

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// run runs a program in the host's directory and returns what it printed and whether it succeeded.
func (h *host) run(stdin, program string, args ...string) (stdout, stderr string, err error) {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir = h.dir
	cmd.Env = append(cmd.Environ(), "HOME="+h.dir, "SSH_AUTH_SOCK=", "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (h *host) sshOptions() []string {
	return []string{"-F", "/dev/null", "-oIdentityFile=" + h.dir + "/id", "-oIdentitiesOnly=yes", "-oStrictHostKeyChecking=no",
		"-oUserKnownHostsFile=" + h.dir + "/known_hosts", "-oConnectTimeout=20", "-oLogLevel=ERROR", "-oPasswordAuthentication=no"}
}

// sftp runs a batch with OpenSSH's sftp.
func (h *host) sftp(batch string, more ...string) (stdout, stderr string, err error) {
	h.tb.Helper()
	args := append(append(h.sshOptions(), more...), "-b", "-", "-P", h.port(), user+"@127.0.0.1")
	return h.run(batch, testprog.Need(h.tb, "sftp", "openssh-client"), args...)
}

func TestOpenSSH_put(t *testing.T) {
	t.Parallel()
	h := start(t)
	want := pattern(3<<20 + 17)
	h.write("dump", want)
	out, errs, err := h.sftp("put dump " + name + "\nls -l\nls -l " + name + "\n")
	if err != nil {
		t.Fatalf("sftp: %v\n%s%s", err, out, errs)
	}
	if !bytes.Equal(h.share.bytes(), want) {
		t.Errorf("%d bytes arrived, not the %d that were sent", len(h.share.bytes()), len(want))
	}
	if line := "-rw-rw-rw-    1 0        0         3145745 Aug 30 15:58 " + name; !strings.Contains(out, "\n"+line+"\n") {
		t.Errorf("ls -l printed\n%s, which has not the line\n%s", out, line)
	}
	t.Log(out, h.told.all())
}
