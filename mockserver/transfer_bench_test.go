package mockserver_test

import (
	"io"
	"os"
	"runtime/metrics"
	"sync"
	"testing"
	"time"
)

// endless repeats a block, so that a dump of any size costs no memory.
type endless []byte

func (e endless) Read(p []byte) (int, error) { return copy(p, e), nil }

// BenchmarkUpload sends one dump after the other and says how many bytes a second it takes, and what the heap
// grew to meanwhile, the client's part of it included: it must not depend on the size.
func BenchmarkUpload(b *testing.B) {
	block := endless(pattern(256<<10, 1))
	for _, size := range []struct {
		name  string
		bytes int64
	}{{"8MiB", 8 << 20}, {"256MiB", 256 << 20}} {
		for _, way := range []string{"http", "https", "sftp"} {
			b.Run(way+"/"+size.name, func(b *testing.B) {
				w := onWire(b, nil)
				if way == "https" {
					w.base = w.srv.HTTPSURL()
				}
				m := w.create()
				w.grant(m, "ed25519")
				session := w.login(m, "ed25519")
				peak := peakHeap(b)
				b.SetBytes(size.bytes)
				for b.Loop() {
					if way == "sftp" {
						f, err := session.OpenFile("/db_name.dump", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
						if err != nil {
							b.Fatal(err)
						}
						if _, err := f.ReadFromWithConcurrency(io.LimitReader(block, size.bytes), 64); err != nil {
							b.Fatal(err)
						}
						if err := f.Close(); err != nil {
							b.Fatal(err)
						}
						continue
					}
					if a := w.send("POST", "upload?"+m.params().Encode(), nil, io.LimitReader(block, size.bytes)); len(
						a.Failures) > 0 {
						b.Fatal(a.Body)
					}
				}
				b.ReportMetric(float64(peak())/(1<<20), "peak-heap-MiB")
			})
		}
	}
}

// peakHeap looks at the heap a hundred times a second until it is asked what the most was.
func peakHeap(tb testing.TB) func() uint64 {
	var most uint64
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-ticker.C:
			case <-done:
				return
			}
		}
	})
	stop := sync.OnceFunc(func() {
		close(done)
		watching.Wait()
	})
	tb.Cleanup(stop)
	return func() uint64 {
		stop()
		return most
	}
}
