package workflow_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
	"github.com/upgrademock/upgrademock/internal/claim"
)

func TestSizeMatches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		figure string
		size   int64
		want   bool
	}{
		{"912.99 Kb", 934_902, true}, // the documented sample: 934902 / 1024 = 912.99
		{"912.99 Kb", 934_902 + 30, false},
		{"912.99 Kb", 900_000, false},
		{"5.00 b", 5, true},
		{"5.00 b", 6, false},
		{"1.00 Gb", 1 << 30, true},
		{"1.00 gb", 1 << 30, true},
		{"2.50 Tb", 5 << 39, true},
		{"", 0, false},
		{"unknown", 7, false},
		{"7", 7, false},
		{"7.00 parsecs", 7, false},
		{"NaN b", 7, false},
	} {
		if got := workflow.SizeMatches(tt.figure, tt.size); got != tt.want {
			t.Errorf("%q for %d bytes: got %v, want %v", tt.figure, tt.size, got, tt.want)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 1 << 30: "1.0 GiB", 3 << 39: "1.5 TiB", 5 << 50: "5120.0 TiB",
	} {
		if got := workflow.Size(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// FuzzLoad: whatever stands in a state file, it is read or refused with a sentence that names the file.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"version": 1, "stage": "created", "request": 7, "key": "k",
		"dump": {"path": "/x", "size": 3, "modified": "2026-01-02T03:04:05Z"}}`))
	f.Add([]byte(`{"version": 2, "stage": "created"}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(``))
	f.Add([]byte(`{"version": 1, "stage": 7}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := workflow.Load(path)
		switch {
		case err == nil && (s == nil || s.Phase == ""):
			t.Errorf("got %+v", s)
		case err != nil && !strings.Contains(err.Error(), path):
			t.Errorf("%v does not name the file", err)
		case err == nil:
			c, err := claim.Take(path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Release()
			if err := workflow.SaveUnder(c, s); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestLoad_nothingThere(t *testing.T) {
	t.Parallel()
	if s, err := workflow.Load(filepath.Join(t.TempDir(), "missing")); s != nil || err != nil {
		t.Errorf("got %v, %v", s, err)
	}
}
