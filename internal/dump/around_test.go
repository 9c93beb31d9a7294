package dump_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/dump"
)

// around looks for content in b.
func around(ctx context.Context, b, content string) ([]string, error) {
	return dump.Around(ctx, strings.NewReader(b), int64(len(b)), func(r io.Reader) bool {
		got, err := io.ReadAll(io.LimitReader(r, int64(len(content))+1))
		return err == nil && string(got) == content
	})
}

func TestAround(t *testing.T) {
	t.Parallel()
	const content = "any bytes\x00 at all"
	skippable := string(binary.LittleEndian.AppendUint32([]byte("\x5e\x2a\x4d\x18"), 9)) + "nine more"
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"itself", content, nil},
		{"nothing", "", nil},
		{"gzip", packed(t, content, "gzip"), []string{"gzip"}},
		{"xz", packed(t, content, "xz"), []string{"xz"}},
		{"zstd", packed(t, content, "zstd"), []string{"zstd"}},
		{"lz4", packed(t, content, "lz4"), []string{"lz4"}},
		{"bzip2", bzipped(t, content), []string{"bzip2"}},
		{"zip", packed(t, content, "zip"), []string{"zip"}},
		{"stored in a zip", packed(t, content, "storedzip"), []string{"zip"}},
		{"tar", packed(t, content, "tar"), []string{"tar"}},
		{"behind a skippable frame", skippable + packed(t, content, "zstd"), []string{"zstd"}},
		{"tar in gzip", packed(t, content, "tar", "gzip"), []string{"gzip", "tar"}},
		{"gzip in tar", packed(t, content, "gzip", "tar"), []string{"tar", "gzip"}},
		{"gzip in zip", packed(t, content, "gzip", "zip"), []string{"zip", "gzip"}},
		{"zip in gzip", packed(t, content, "zip", "gzip"), []string{"gzip", "zip"}},
		{"an attachment", zipped(t, zip.Deflate, member{"filestore/00/" + strings.Repeat("0a", 20), content}), nil},
		{"a window of 128 MiB", rawZstd(27, content), []string{"zstd"}},
		{"gzip in a window of 128 MiB", rawZstd(27, packed(t, content, "gzip")), []string{"zstd", "gzip"}},
		{"zip in a window of 128 MiB", rawZstd(27, packed(t, content, "zip")), []string{"zstd", "zip"}},
		{"a window larger than the budget", rawZstd(30, content), nil},
		{"more behind it", packed(t, content+"!", "gzip"), nil},
		{"only its beginning", packed(t, content[1:], "gzip"), nil},
		{"cut off", packed(t, content, "gzip")[:20], nil},
		{"too deep", packed(t, content, "gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip"), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := around(t.Context(), tc.in, content)
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%v; packings (-want +got):\n%s", err, diff)
			}
		})
	}
}

// An error of reading is no verdict.
func TestAround_unreadable(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	in := packed(t, theDump, "gzip")
	r := io.NewSectionReader(failing{broken}, 0, int64(len(in)))
	if got, err := dump.Around(t.Context(), r, r.Size(), func(io.Reader) bool { return true }); !errors.Is(err, broken) {
		t.Errorf("%q, %v, want %v", got, err, broken)
	}
}

type failing struct{ err error }

func (f failing) ReadAt(p []byte, _ int64) (int, error) { return iotest.ErrReader(f.err).Read(p) }

// What other dumps hold is waited for.
func TestAround_waitsForMemory(t *testing.T) {
	bomb := zstdBomb(27, 1)
	content := bytes.Repeat([]byte("-"), 1<<20)
	synctest.Test(t, func(t *testing.T) {
		first, err := dump.SQL(t.Context(), strings.NewReader(bomb), int64(len(bomb)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := around(t.Context(), bomb, string(content)); !errors.Is(err, dump.ErrBusy) {
			t.Errorf("%q, %v, want ErrBusy", got, err)
		}
		first.Close()
		if got, err := around(t.Context(), bomb, string(content)); err != nil || len(got) != 1 {
			t.Errorf("%q, %v, want [zstd]", got, err)
		}
	})
}
