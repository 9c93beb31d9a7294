package dump_test

import (
	"testing"

	"github.com/upgrademock/upgrademock/internal/dump"
)

func TestSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n    int64
		want string
	}{
		{934902, "912.99 Kb"}, // the documented sample
		{-1, "0.00 b"},
		{0, "0.00 b"},
		{1, "1.00 b"},
		{1023, "1023.00 b"},
		{1024, "1.00 Kb"},
		{849920, "830.00 Kb"},
		{1<<20 - 6, "1023.99 Kb"},
		{1<<20 - 5, "1.00 Mb"}, // never "1024.00 Kb"
		{1 << 20, "1.00 Mb"},
		{5<<30 + 1<<29, "5.50 Gb"},
		{1 << 40, "1.00 Tb"},
		{1 << 50, "1024.00 Tb"}, // there is no larger unit
		{1<<63 - 1, "8388608.00 Tb"},
	} {
		if got := dump.Size(tt.n); got != tt.want {
			t.Errorf("Size(%d) = %q, want %q", tt.n, got, tt.want)
		}
	}
}
