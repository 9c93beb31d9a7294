package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The static binary alone, in a root with nothing else but a directory to write to, passes the suite that it
// carries: no zone database, no authorities, no /etc, no /proc. As an image made FROM scratch has it, and started as
// OpenShift starts one: with a user's number that owns nothing, in the group 0.
func TestEmptyRoot(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds the program anew and runs the whole suite")
	}
	root := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(root, "upgrademock"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// as the Dockerfile has them
	for name, mode := range map[string]os.FileMode{"tmp": 0o777 | os.ModeSticky, "data": 0o770} {
		dir := filepath.Join(root, name)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
		if os.Getuid() == 0 {
			if err := os.Chown(dir, 65532, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	inside := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/upgrademock", args...)
		cmd.Dir, cmd.Env = "/", []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		if uid, gid := os.Getuid(), os.Getgid(); uid == 0 {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 1000650000, Gid: 0}
		} else {
			cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
		}
		return cmd
	}
	server := inside("serve", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--sftp", "127.0.0.1:0",
		"--data-dir", "/data", "--ready-file", "/data/ready.json")
	server.Stderr = t.Output()
	if err := server.Start(); err != nil {
		if os.Getuid() != 0 && strings.Contains(err.Error(), "not permitted") {
			t.Skipf("this user may not change the root: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	var r ready
	for began := time.Now(); r.URL == ""; time.Sleep(readyPause) {
		if data, err := os.ReadFile(filepath.Join(root, "data/ready.json")); err == nil {
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatal(err)
			}
		}
		if time.Since(began) > 30*time.Second {
			t.Fatal("it is not ready after 30 s")
		}
	}
	suite := inside("conformance", "--url", r.URL, "--contract", "M123456-abcdef", "--level", "assumed")
	if out, err := suite.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
