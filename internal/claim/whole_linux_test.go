package claim_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/upgrademock/upgrademock/internal/claim"
)

// A claim is never there without its first line: what a program that is killed while it takes one leaves is known as
// a claim, and is not taken for an empty file of the user's.
func TestTake_neverEmpty(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out")
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			content, err := os.ReadFile(claim.Name(path))
			if err == nil && len(content) == 0 {
				t.Error("a claim is there and empty")
				return
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
				return
			}
		}
	})
	for range 2000 {
		c, err := claim.Take(path)
		if err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
	close(done)
	watching.Wait()
}
