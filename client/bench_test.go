package client_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
)

// The server of these is our own small one in the same process, so the figures are of both ends together.

func BenchmarkUploadSFTP(b *testing.B) { benchmarkSFTP(b, true) }

func BenchmarkDownloadSFTP(b *testing.B) { benchmarkSFTP(b, false) }

func benchmarkSFTP(b *testing.B, up bool) {
	const size = 128 << 20
	key := newSigner(b)
	d := newSSHD(b, key.PublicKey())
	dump := noise(size)
	o := sftpOptions(b, key)
	c := newClient(b, "http://unused.invalid")
	b.SetBytes(size)
	b.ReportAllocs()
	for i := range b.N {
		var err error
		if up {
			d.data = nil
			_, err = c.UploadSFTP(b.Context(), d.access(), bytes.NewReader(dump), size, o)
		} else {
			d.name, d.data = "upgraded_db.dump", dump
			_, err = c.DownloadSFTP(b.Context(), d.access(), filepath.Join(b.TempDir(), fmt.Sprint(i)), o)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
