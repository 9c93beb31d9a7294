package dump_test

import (
	"bytes"
	"context"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
)

func BenchmarkSniff(b *testing.B) {
	for _, name := range realDumps {
		b.Run(name, func(b *testing.B) {
			in := fixtures.Dump(name)
			for b.Loop() {
				sniff(in)
			}
		})
	}
	// Dumps of other programs' databases, where Sniff looks as far as it ever does.
	row := "12345\tSome Partner\t2015-09-09 07:13:49\t\\N\tt\tsome.partner@example.com\n"
	for name, p := range map[string]*pattern{
		"endless COPY": {head: "COPY t (a) FROM stdin;\n", every: row},
		"endless INSERTs": {head: "SELECT 1;\n",
			every: "INSERT INTO public.t VALUES (12345, 'Some Partner', NULL, true, 'some.partner@example.com');\n"},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(256 << 20)
			for b.Loop() {
				dump.Sniff(p, math.MaxInt64)
			}
		})
	}
	bomb := []byte(packed(b, strings.Repeat("-- comment\n", 8<<20), "gzip"))
	b.Run("gzip bomb", func(b *testing.B) {
		for b.Loop() {
			sniff(bomb)
		}
	})
}

func BenchmarkSQL(b *testing.B) {
	for _, name := range realDumps {
		b.Run(name, func(b *testing.B) {
			in := fixtures.Dump(name)
			for b.Loop() {
				r, err := dump.SQL(context.Background(), bytes.NewReader(in), int64(len(in)))
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, r)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
				r.Close()
			}
		})
	}
}
