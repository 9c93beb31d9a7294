package recording

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/upgrademock/upgrademock/internal/retrace"
)

// unpacked returns the beginning of a body, which may be packed as its Content-Encoding says, or as it came although a
// program has unpacked it. known is false if it is packed in a way that is not known here. partial is set if it is not
// all of the body.
func unpacked(body []byte, coding string, partial *bool) (plain []byte, known bool) {
	in := bytes.NewReader(body)
	var from io.Reader
	var err error
	coding = strings.ToLower(strings.TrimSpace(coding))
	switch {
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		from, err = gzip.NewReader(in)
	case bytes.HasPrefix(body, []byte("\x28\xb5\x2f\xfd")):
		var z *zstd.Decoder
		if z, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20)); err == nil {
			defer z.Close()
			from = z
		}
	case coding == "deflate" && len(body) > 0 && body[0]&0x0f == 8:
		from, err = zlib.NewReader(in)
	case coding == "", slices.Contains([]string{"identity", "none"}, coding), isText(body):
		return body, true
	default:
		return nil, false
	}
	if err != nil {
		*partial = true
		return nil, true
	}
	plain, err = io.ReadAll(io.LimitReader(from, retrace.MaxBody+1))
	*partial = *partial || err != nil || len(plain) > retrace.MaxBody
	return plain[:min(len(plain), retrace.MaxBody)], true
}

// isText reports whether the beginning of a body is text, which is not packed any more.
func isText(body []byte) bool {
	body = body[:min(len(body), 1000)]
	for range utf8.UTFMax { // its last character may be cut
		if utf8.Valid(body) || len(body) == 0 {
			break
		}
		body = body[:len(body)-1]
	}
	return utf8.Valid(body) && !bytes.ContainsFunc(body, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t'
	})
}
