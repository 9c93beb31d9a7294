package pgarchive_test

import (
	"io"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
)

// Whatever the bytes, an archive is refused or written; it does not panic, and what is written does not outgrow what
// the bytes can hold.
func FuzzOpen(f *testing.F) {
	for minor := 10; minor <= 16; minor++ {
		a := small()
		a.minor, a.offsets = minor, minor%2 == 0
		f.Add(a.custom(f), false)
		f.Add(a.tar(f), true)
	}
	for _, method := range []byte{1, 2, 3} {
		a := small()
		a.minor, a.compression = 16, method
		f.Add(a.custom(f), false)
	}
	f.Add(fixtures.Dump("openchs.piped.cdump"), false)
	f.Fuzz(func(t *testing.T, b []byte, tar bool) {
		open := openCustom
		if tar {
			open = openTar
		}
		for _, reader := range readers {
			a, err := open(reader(b))
			if a == nil {
				t.Fatal("no archive, not even an empty one")
			}
			if err != nil {
				if len(a.Entries) > 0 {
					t.Error("entries beside an error")
				}
				continue
			}
			_ = a.WriteSQL(&fullWriter{left: 8 << 20})
		}
		if a, err := open(readers["random"](b)); err == nil {
			for _, e := range a.Entries {
				if data, err := a.Data(e); err == nil {
					_, _ = io.CopyN(io.Discard, data, 1<<20)
				}
			}
		}
	})
}
