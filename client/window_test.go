package client

import (
	"context"
	"errors"
	"testing"
)

// A transfer that ends while pieces wait for their turn tells of no byte that was not written.
func TestWindow_endsBeforeTheTurn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, first := range []bool{true, false} {
		var w *window
		var told int64
		w = newWindow(0, 40, 10, 40, func(done int64) { told = done })
		reached, err := w.run(context.Background(), func(_ []byte, off int64) error {
			if (off == 0) == first {
				w.fail(broken) // as the end of the context does, from outside
			}
			return w.turn(off)
		})
		if reached != told || first && reached != 0 || reached > 10 || !errors.Is(err, broken) {
			t.Errorf("broken at the first piece %v: reached %d, told of %d, %v", first, reached, told, err)
		}
	}
}
