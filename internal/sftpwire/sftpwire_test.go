package sftpwire_test

import (
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/sftpwire"
)

func TestPackets(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ got, want string }{
		"open": {
			string(sftpwire.NewEncoder(sftpwire.Open, 7).Text("/a").Uint32(sftpwire.FlagRead).Uint32(0).Packet()),
			"\x00\x00\x00\x13\x03\x00\x00\x00\x07\x00\x00\x00\x02/a\x00\x00\x00\x01\x00\x00\x00\x00",
		},
		"read": {
			string(sftpwire.NewEncoder(sftpwire.Read, 8).Text("h").Uint64(1 << 32).Uint32(9).Packet()),
			"\x00\x00\x00\x16\x05\x00\x00\x00\x08\x00\x00\x00\x01h\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x09",
		},
		"init": {string(sftpwire.NewEncoder(sftpwire.Init, 3).Packet()), "\x00\x00\x00\x05\x01\x00\x00\x00\x03"},
		"status": {
			string(sftpwire.StatusPacket(1, sftpwire.PermissionDenied, "no")),
			"\x00\x00\x00\x15\x65\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00\x02no\x00\x00\x00\x02en",
		},
		"limits": {
			string(sftpwire.LimitsRequest(2)),
			"\x00\x00\x00\x1b\xc8\x00\x00\x00\x02\x00\x00\x00\x12limits@openssh.com",
		},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	want := sftpwire.Limits{Packet: 1, Read: 2, Write: 3, Handles: 1 << 40}
	packet := want.Reply(5)
	if diff := cmp.Diff(sftpwire.Head{Length: 37, Type: sftpwire.ExtendedReply, ID: 5},
		sftpwire.ParseHead(packet)); diff != "" {
		t.Errorf("head (-want +got):\n%s", diff)
	}
	for n := sftpwire.HeadSize; n <= len(packet); n++ {
		got, err := sftpwire.ParseLimits(packet[sftpwire.HeadSize:n])
		if n < len(packet) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if n == len(packet) && (err != nil || got != want) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

// TestDecoder_afterAMissingField holds that nothing is read from behind a field that is not there.
func TestDecoder_afterAMissingField(t *testing.T) {
	t.Parallel()
	d := sftpwire.NewDecoder([]byte("\x00\x00\x00\x09four"))
	if s := d.Text(); s != "" || d.Err() == nil {
		t.Errorf("read %q, %v", s, d.Err())
	}
	if s, n, m := d.Bytes(0), d.Uint32(), d.Uint64(); s != nil || n != 0 || m != 0 {
		t.Errorf("read %q, %d and %d behind it", s, n, m)
	}
}

// FuzzDecoder holds that what is decoded without an error encodes to the same bytes.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("\x00\x00\x00\x01h\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x05rest"))
	f.Add([]byte("\xff\xff\xff\xffh"))
	f.Add([]byte("\x80\x00\x00\x00\x80\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := sftpwire.NewDecoder(b)
		s, offset, length := d.Text(), d.Uint64(), d.Uint32()
		if d.Err() != nil {
			return
		}
		packet := sftpwire.NewEncoder(sftpwire.Read, 1).Text(s).Uint64(offset).Uint32(length).Packet()
		if got := packet[sftpwire.HeadSize:]; string(got) != string(b[:len(got)]) {
			t.Errorf("%q was decoded and encodes to %q", b, got)
		}
	})
}
