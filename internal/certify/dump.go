package certify

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"

	"github.com/upgrademock/upgrademock/fixtures"
)

const (
	dumpName = "db_name.dump"
	noise    = 3 << 20 // bytes: beyond the offsets at which scenarios cut
)

// writeDump makes a dump in PostgreSQL's custom format that a real PostgreSQL restores: a small one of pg_dump's,
// with so many random bytes more in its last large object that it is long enough. It has bytes of every kind, so
// that whatever takes it for a text shows, and a line end behind the archive, where no reader of archives looks, so
// that it shows when a client trims what it sends.
func writeDump(path string) error {
	data, err := grown(fixtures.Dump("openchs.cdump"))
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// The archive ends with the data of its large objects. Each is a zlib stream in chunks: an integer, which is a sign
// and four bytes, with a chunk's length, and so on until the length 0. Where the number of the next object would
// be, there is a 0, too.
const (
	integer = 5
	trailer = 2 * integer // the last length and the last number
)

var errNotGrown = errors.New("the archive does not end with a large object in one chunk")

// grown is the archive with more in its last large object.
func grown(archive []byte) ([]byte, error) {
	begin := bytes.LastIndex(archive, []byte("\x78\x9c")) // of the last zlib stream
	end := len(archive) - trailer
	if begin < integer || begin > end || binary.LittleEndian.Uint32(archive[begin-4:]) != uint32(end-begin) {
		return nil, errNotGrown
	}
	r, err := zlib.NewReader(bytes.NewReader(archive[begin:end]))
	if err != nil {
		return nil, err
	}
	object, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	random := rand.NewChaCha8([32]byte{}) // the same bytes in each run
	more := make([]byte, noise)
	random.Read(more)
	var packed bytes.Buffer
	w, err := zlib.NewWriterLevel(&packed, zlib.NoCompression) // random bytes get no smaller
	if err != nil {
		return nil, err
	}
	w.Write(append(object, more...)) // to memory: there is no error
	w.Close()
	made := append([]byte(nil), archive[:begin-integer]...)
	made = append(made, 0)
	made = binary.LittleEndian.AppendUint32(made, uint32(packed.Len()))
	made = append(made, packed.Bytes()...)
	return append(made, make([]byte, trailer)...), nil
}
