package platform

import (
	"errors"
	"os"
	"testing"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

// What may take long ends when the platform is to end, and the complete dump stays.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	ref := create(t, p)
	if fails := upload(t, p, ref, []byte("the dump")); fails != nil {
		t.Fatal(fails)
	}
	f, err := share(t, p, ref).Open(os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	u, err := p.NewUpload()
	if err != nil {
		t.Fatal(err)
	}
	p.Interrupt()
	if _, err := f.WriteAt([]byte("X"), 0); !errors.Is(err, safefile.ErrStopped) { // needs a copy
		t.Errorf("a copy was made: %v", err)
	}
	if err := f.Abort(errBroken); err != nil {
		t.Error(err)
	}
	if _, err := u.Write([]byte("more")); !errors.Is(err, errClosing) {
		t.Errorf("an upload went on: %v", err)
	}
	if err := u.Discard(); err != nil {
		t.Error(err)
	}
	if got := string(original(t, p, ref)); got != "the dump" {
		t.Errorf("the dump is %q", got)
	}
	noLeaks(t, p)
}
