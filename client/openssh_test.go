package client_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// TestSFTP_openSSH holds the transfers against the SFTP server that most of the world runs, which says its limits
// and so gets packets of another size than the other tests' server.
func TestSFTP_openSSH(t *testing.T) {
	t.Parallel()
	program := testprog.Need(t, "/usr/lib/openssh/sftp-server", "openssh-sftp-server")
	key := newSigner(t)
	d := newSSHD(t, key.PublicKey())
	dir := t.TempDir()
	d.program = []string{program, "-d", dir}
	shared := filepath.Join(dir, "db.dump")
	dump := noise(9<<20 + 1)
	c := newClient(t, "http://unused.invalid")
	o := sftpOptions(t, key)
	o.Window = 1 << 20

	// The first half goes up and the connection is gone.
	ctx, cancel := context.WithCancel(t.Context())
	half := *o
	half.Progress = func(p client.Progress) {
		if p.Done > 4<<20 {
			cancel()
		}
	}
	if _, err := c.UploadSFTP(ctx, d.access(), bytes.NewReader(dump), int64(len(dump)), &half); err == nil {
		t.Fatal("the upload was not interrupted")
	}
	info, err := os.Stat(shared)
	if err != nil || info.Size() < 4<<20 {
		t.Fatalf("after the interruption: %v, %v", info, err)
	}
	got, err := c.UploadSFTP(t.Context(), d.access(), bytes.NewReader(dump), int64(len(dump)), o)
	if err != nil {
		t.Fatal(err)
	}
	// The server may have written on for a moment, what was still in its pipe.
	if got.From < info.Size()-o.Window {
		t.Errorf("took up at %d, the server had %d", got.From, info.Size())
	}
	if there, _ := os.ReadFile(shared); !bytes.Equal(there, dump) {
		t.Error("the server has something else than the dump")
	}

	// And down again, under the name of the upgraded file.
	if err := os.Rename(shared, filepath.Join(dir, "upgraded_db.dump")); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if _, err := c.DownloadSFTP(t.Context(), d.access(), out, o); err != nil {
		t.Fatal(err)
	}
	if there, _ := os.ReadFile(out); !bytes.Equal(there, dump) {
		t.Error("something else came down")
	}
}
