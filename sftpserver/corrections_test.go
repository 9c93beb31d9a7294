package sftpserver_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pkg/sftp"

	"github.com/upgrademock/upgrademock/internal/sftpwire"
)

// bare is a file system of one empty file as pkg/sftp asks for it. It remembers what it was asked.
type bare struct {
	asked  []*sftp.Request
	writes int
	second chan struct{} // closed when what is not at offset 0 was written
}

func (b *bare) Fileread(*sftp.Request) (io.ReaderAt, error)   { return bytes.NewReader(nil), nil }
func (b *bare) Filewrite(*sftp.Request) (io.WriterAt, error)  { return b, nil }
func (b *bare) Filelist(*sftp.Request) (sftp.ListerAt, error) { return b, nil }

// ListAt lists a file of the second of January.
func (b *bare) ListAt(to []os.FileInfo, _ int64) (int, error) {
	info, err := fstest.MapFS{name: {ModTime: time.Date(2015, 1, 2, 3, 4, 5, 0, time.UTC)}}.Stat(name)
	to[0] = info
	return 1, err
}

func (b *bare) Filecmd(r *sftp.Request) error {
	b.asked = append(b.asked, r)
	return nil
}

// WriteAt does not return from offset 0 before another offset was written, if second is set.
func (b *bare) WriteAt(p []byte, off int64) (int, error) {
	switch {
	case b.second == nil:
		b.writes++
	case off == 0:
		<-b.second
	default:
		close(b.second)
	}
	return len(p), nil
}

// alone is pkg/sftp's server without any correction, with the hands already shaken.
func alone(t *testing.T, b *bare) (*raw, <-chan error) {
	t.Helper()
	client, server := net.Pipe()
	s := sftp.NewRequestServer(server, sftp.Handlers{FileGet: b, FilePut: b, FileCmd: b, FileList: b})
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve()
		server.Close()
	}()
	t.Cleanup(func() { client.Close() })
	r := &raw{tb: t, stream: client}
	return r, ended
}

// TestCorrections holds that pkg/sftp still needs each correction of corrections.go. One that fails here after an
// update of the library can go. What endInput corrects is a race, and shows only now and then; for endNow
// there is nothing to show.
func TestCorrections(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, *bare, *raw, <-chan error){
		"admit": func(t *testing.T, b *bare, r *raw, _ <-chan error) {
			r.version()
			b.second = make(chan struct{})
			handle := r.open(name, fWrite)
			r.send(sftpwire.Write, handle, uint64(0), "first")
			r.send(sftpwire.Write, handle, uint64(1), "second")
			r.receive() // not before the second one is done
			r.receive()
		},
		"refuseLong": func(t *testing.T, _ *bare, r *raw, ended <-chan error) {
			r.version()
			r.write(binary.BigEndian.AppendUint32(nil, maxPacket+1))
			if err := <-ended; err == nil || errors.Is(err, io.EOF) {
				t.Errorf("the session ended with %v", err)
			}
		},
		"refuseUnknown": func(t *testing.T, _ *bare, r *raw, ended <-chan error) {
			r.version()
			r.send(99)
			if err := <-ended; err == nil || errors.Is(err, io.EOF) {
				t.Errorf("the session ended with %v", err)
			}
		},
		"serveExtension": func(t *testing.T, _ *bare, r *raw, _ <-chan error) {
			r.version()
			if kind, _ := r.ask(sftpwire.Extended, sftpwire.LimitsExtension); kind == sftpwire.ExtendedReply {
				t.Error("limits are served")
			}
		},
		"openToRead": func(t *testing.T, _ *bare, r *raw, _ <-chan error) {
			r.version()
			if kind, _ := r.ask(sftpwire.Open, name, 0, 0); kind == sftpwire.Handle {
				t.Error("a file is opened without flags")
			}
		},
		"checkHandle": func(t *testing.T, b *bare, r *raw, _ <-chan error) {
			r.version()
			r.ask(sftpwire.Read, r.open(name, fWrite), uint64(0), 4)
			if b.writes != 1 {
				t.Error("reading from a file that is open to be written does not write")
			}
		},
		"handleOf": func(t *testing.T, b *bare, r *raw, _ <-chan error) {
			r.version()
			size := []any{sftpwire.AttrSize, uint64(1)}
			r.ask(sftpwire.Fsetstat, append([]any{r.open(name, fWrite)}, size...)...)
			r.ask(sftpwire.Setstat, append([]any{name}, size...)...)
			public := cmp.FilterPath(func(p cmp.Path) bool {
				field, ok := p.Last().(cmp.StructField)
				return ok && strings.ToLower(field.Name()[:1]) == field.Name()[:1]
			}, cmp.Ignore())
			if len(b.asked) != 2 || !cmp.Equal(b.asked[0], b.asked[1], public) {
				t.Errorf("FSETSTAT and SETSTAT differ: %+v", b.asked)
			}
		},
		"announce": func(t *testing.T, _ *bare, r *raw, _ <-chan error) {
			r.write(message(sftpwire.Init, 3))
			if _, _, fields := r.receive(); !bytes.Contains(fields, []byte("hardlink@openssh.com")) {
				t.Errorf("announced: %q", fields)
			}
		},
		"withLongNames": func(t *testing.T, _ *bare, r *raw, _ <-chan error) {
			r.version()
			_, handle := r.ask(11, "/")
			if _, fields := r.ask(sftpwire.Readdir, handle); !bytes.Contains(fields, []byte("0 Jan 2  2015 ")) {
				t.Errorf("listed: %q", fields)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := new(bare)
			r, ended := alone(t, b)
			test(t, b, r, ended)
		})
	}
}

const maxPacket = 256 << 10
