package transfer

import (
	"context"
	"errors"
	"testing"
)

// TestWindow_endsBeforeTheTurn: a transfer that fails while pieces wait for their turn reports no byte that was not
// written.
func TestWindow_endsBeforeTheTurn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, first := range []bool{true, false} {
		var w *Window
		var reported int64
		w = NewWindow(0, 40, 10, 40, func(done int64) { reported = done })
		reached, err := w.Run(context.Background(), func(_ []byte, off int64) error {
			if (off == 0) == first {
				w.fail(broken) // as the end of the context does, from outside
			}
			return w.AwaitTurn(off)
		})
		if reached != reported || first && reached != 0 || reached > 10 || !errors.Is(err, broken) {
			t.Errorf("broken at the first piece %v: reached %d, reported %d, %v", first, reached, reported, err)
		}
	}
}
