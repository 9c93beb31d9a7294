package rsync_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/client/internal/rsync"
	"github.com/upgrademock/upgrademock/client/internal/transfer"
)

func TestOpen_notRsync(t *testing.T) {
	t.Parallel()
	_, err := rsync.Send(rsync.Stream{R: strings.NewReader("This account is not available.\n"), W: io.Discard},
		rsync.Source{})
	if !errors.Is(err, transfer.ErrContradiction) || !strings.Contains(err.Error(), "This") {
		t.Errorf("got %v", err)
	}
}

func FuzzReceive(f *testing.F) {
	whole := new(script).entry("upgrade.log", 3, file).end().int(0, 0, 0, 0, 0, 3)
	_, _ = whole.WriteString("abc")
	seed, _ := io.ReadAll(whole.framed())
	f.Add(seed)
	f.Add([]byte("\x1b\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		parent := t.TempDir()
		plant(t, parent, map[string][]byte{"to/": nil})
		_, err := receive(t, rsync.Stream{R: bytes.NewReader(raw), W: io.Discard}, filepath.Join(parent, "to"))
		rsync.Join(err)
		for name := range content(t, parent) {
			if top := strings.TrimPrefix(name, "to/"); name != "to/" && !strings.HasPrefix(top, "filestore") &&
				!strings.HasPrefix(top, "upgraded.dump") && top != "upgrade.log" && top != "upgrade.log/" {
				t.Errorf("%q was made", name)
			}
		}
	})
}

func FuzzSend(f *testing.F) {
	f.Add([]byte("\x1b\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = rsync.Send(rsync.Stream{R: bytes.NewReader(raw), W: io.Discard}, rsync.Source{
			Entries: []rsync.Entry{{Name: "f", Size: 3}},
			Open: func(rsync.Entry) (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader("abc")), nil
			}})
	})
}
