package throttle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgrademock/upgrademock/internal/throttle"
)

// write sends n bytes in calls of the size, and returns how long the throttle held them up.
func write(t *testing.T, th *throttle.Throttle, n, size int) time.Duration {
	t.Helper()
	began := time.Now()
	for buf := make([]byte, size); n > 0; {
		for left := buf[:min(size, n)]; len(left) > 0; {
			piece, err := th.BeforeWrite(t.Context(), left)
			if err != nil {
				t.Fatal(err)
			}
			left, n = left[len(piece):], n-len(piece)
		}
	}
	return time.Since(began)
}

// read is the same for what comes in.
func read(t *testing.T, th *throttle.Throttle, n, size int) time.Duration {
	t.Helper()
	began := time.Now()
	for buf := make([]byte, size); n > 0; {
		piece, err := th.BeforeRead(t.Context(), buf[:min(size, n)])
		if err != nil {
			t.Fatal(err)
		}
		if err := th.AfterRead(t.Context(), len(piece)); err != nil {
			t.Fatal(err)
		}
		n -= len(piece)
	}
	return time.Since(began)
}

// TestLimit holds that a rate is exact, whatever it is and in whatever pieces the bytes come.
func TestLimit(t *testing.T) {
	t.Parallel()
	rates := []int64{1, 100, 1 << 10, 100_000, 10 << 20, 100 << 20}
	if testing.Short() {
		rates = rates[:5] // each byte of the last one costs as much as all others
	}
	for _, perSecond := range rates {
		for _, size := range []int{1 << 10, 4 << 10, 256 << 10} {
			synctest.Test(t, func(t *testing.T) {
				type move func(*testing.T, *throttle.Throttle, int, int) time.Duration
				for name, move := range map[string]move{"read": read, "write": write} {
					var th throttle.Throttle
					th.Limit("somebody", perSecond)
					if got := move(t, &th, int(2*perSecond), size); got < 1990*time.Millisecond || got > 2010*time.Millisecond {
						t.Errorf("%s of 2 s worth at %d B/s in pieces of %d took %v", name, perSecond, size, got)
					}
				}
			})
		}
	}
}

// TestLimit_catchesUp holds that a machine that wakes up late does not make the line slower.
func TestLimit_catchesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var th throttle.Throttle
		th.Limit("somebody", 100<<20)
		began := time.Now()
		for range 2 * 1600 { // pieces of 64 KiB, 2 s worth
			write(t, &th, 64<<10, 64<<10)
			time.Sleep(600 * time.Microsecond) // of the 625 µs that each takes, and often more
		}
		for range 20 {
			write(t, &th, 64<<10, 64<<10)
			time.Sleep(5 * time.Millisecond)
			write(t, &th, 512<<10, 64<<10)
		}
		want := 2*time.Second + 20*9*625*time.Microsecond
		if got := time.Since(began); got < want-20*time.Millisecond || got > want+20*time.Millisecond {
			t.Errorf("took %v, want %v", got, want)
		}
	})
}

// TestLimit_lowestIsInForce holds that several rates do not disturb each other.
func TestLimit_lowestIsInForce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var th throttle.Throttle
		th.Limit("a", 1000)
		th.Limit("b", 100)
		for _, step := range []struct {
			lift string
			want time.Duration
		}{{"c", 10 * time.Second}, {"b", time.Second}, {"a", 0}} {
			th.Limit(step.lift, 0)
			if got := write(t, &th, 1000, 1000); got != step.want {
				t.Errorf("without the rate of %s: 1000 bytes took %v, want %v", step.lift, got, step.want)
			}
		}
	})
}

func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var th throttle.Throttle
		th.Stall(time.Minute)
		th.Stall(time.Second) // a shorter one changes nothing
		if got := read(t, &th, 10, 10); got != time.Minute {
			t.Errorf("reading was held up for %v, want a minute", got)
		}
		if got := write(t, &th, 10, 10); got != 0 {
			t.Errorf("writing was held up for %v after the stall", got)
		}
	})
}

// TestThrottle_endsWithTheContext holds that waiting ends with the context.
func TestThrottle_endsWithTheContext(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]func(*throttle.Throttle){
		"stall": func(th *throttle.Throttle) { th.Stall(time.Hour) },
		"limit": func(th *throttle.Throttle) { th.Limit("somebody", 1) },
	} {
		synctest.Test(t, func(t *testing.T) {
			var th throttle.Throttle
			order(&th)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			if _, err := th.BeforeWrite(ctx, make([]byte, 100)); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: a write ended with %v", name, err)
			}
			if err := th.AfterRead(ctx, 100); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: a read ended with %v", name, err)
			}
		})
	}
}
