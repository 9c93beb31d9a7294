package sftpserver_test

import (
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/sftpserver"
)

// void is a share without a disk: it forgets what is written, and reads as zeros. What is measured is the way there.
type void struct{ size atomic.Int64 }

func (v *void) Share(string, gossh.PublicKey) (sftpserver.Share, error) { return v, nil }

func (v *void) Stat() (sftpserver.Info, error) {
	return sftpserver.Info{Name: name, Size: v.size.Load(), ModTime: time.Unix(0, 0)}, nil
}

func (v *void) Open(flag int) (sftpserver.File, error) {
	if flag&os.O_TRUNC != 0 {
		v.size.Store(0)
	}
	return v, nil
}

func (v *void) Truncate(size int64) error { v.size.Store(size); return nil }
func (v *void) Close() error              { return nil }
func (v *void) Abort(error) error         { return nil }

func (v *void) WriteAt(p []byte, off int64) (int, error) {
	for end := off + int64(len(p)); ; {
		have := v.size.Load()
		if have >= end || v.size.CompareAndSwap(have, end) {
			return len(p), nil
		}
	}
}

func (v *void) Append(p []byte, _ int64) (int64, int, error) {
	end := v.size.Add(int64(len(p)))
	return end - int64(len(p)), len(p), nil
}

func (v *void) ReadAt(p []byte, off int64) (int, error) {
	left := max(v.size.Load()-off, 0)
	if int64(len(p)) > left {
		return int(left), io.EOF
	}
	return len(p), nil
}

// BenchmarkOpenSSH moves 128 MiB with OpenSSH's sftp as it comes.
func BenchmarkOpenSSH(b *testing.B) {
	const size = 128 << 20
	v := new(void)
	h := start(b, func(o *sftpserver.Options) { o.Shares = v })
	h.write("dump", make([]byte, size))
	for _, dir := range []string{"put dump " + name, "get " + name + " /dev/null"} {
		b.Run(dir[:3], func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			v.size.Store(size)
			for b.Loop() {
				h.mustSFTP(dir)
			}
		})
	}
}

// BenchmarkLogin is one connection with a login and nothing else.
func BenchmarkLogin(b *testing.B) {
	h := start(b)
	for b.Loop() {
		c, err := gossh.Dial("tcp", h.addr, clientConfig(user, gossh.PublicKeys(h.key)))
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkServer makes, starts and closes a server.
func BenchmarkServer(b *testing.B) {
	for b.Loop() {
		start(b)
	}
}
