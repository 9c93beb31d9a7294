package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgrademock/upgrademock/client"
)

// transport answers in memory, so that polling can be tested under a synthetic clock.
type transport func(n int, r *http.Request) (*http.Response, error)

type counted struct {
	answer transport
	at     []time.Time
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	c.at = append(c.at, time.Now())
	return c.answer(len(c.at)-1, r)
}

func reply(status int, body string, header ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body))}, nil
}

func state(s string) (*http.Response, error) {
	return reply(200, fmt.Sprintf(`{"failures": [], "request": {
		"id": 10534, "key": "Aw7pItGVKFuZ_FOR3U8VFQ==", "state": %q,
		"customer_message": "see https://h/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/status"}}`, s))
}

// states answers with one after the other; the last stays.
func states(all ...string) transport {
	return func(n int, _ *http.Request) (*http.Response, error) { return state(all[min(n, len(all)-1)]) }
}

func inMemory(t *testing.T, answer transport) (*client.Client, *counted) {
	t.Helper()
	rt := &counted{answer: answer}
	c, err := client.New("http://platform.test", &client.Options{HTTPClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c, rt
}

func TestWait_ends(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer transport
		state  client.State
		err    error
		polls  int
	}{
		{"done", states("pending", "processing", "done"), client.StateDone, nil, 3},
		{"delivered", states("testing", "delivered"), client.StateDelivered, nil, 2},
		{"unknown state in between", states("on_holiday", "on_holiday", "done"), client.StateDone, nil, 3},
		{"back to processing", states("testing", "processing", "testing", "done"), client.StateDone, nil, 4},
		{"invalid", states("processing", "invalid"), client.StateInvalid, client.ErrRejected, 2},
		{"cancelled", states("cancelled"), "cancelled", client.ErrRejected, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, rt := inMemory(t, tt.answer)
				r, err := c.Wait(t.Context(), sampleRef, nil)
				if !errors.Is(err, tt.err) {
					t.Fatalf("got %v, want %v", err, tt.err)
				}
				if r.State != tt.state || len(rt.at) != tt.polls {
					t.Errorf("state %s after %d polls, want %s after %d", r.State, len(rt.at), tt.state, tt.polls)
				}
				if err != nil && (!strings.Contains(err.Error(), "see https://h/") ||
					strings.Contains(err.Error(), string(sampleKey))) {
					t.Errorf("the reason is not there, or with the key: %v", err)
				}
			})
		})
	}
}

func TestWait_livesThrough(t *testing.T) {
	t.Parallel()
	failures := map[string]transport{
		"server error": func(int, *http.Request) (*http.Response, error) {
			return reply(200, `{"failures":[{"reason":"SERVER:ERROR","message":"try again"}]}`)
		},
		"502 page":    func(int, *http.Request) (*http.Response, error) { return reply(502, "<html>Bad Gateway</html>") },
		"a 200 page":  func(int, *http.Request) (*http.Response, error) { return reply(200, "<html>Welcome</html>") },
		"garbage":     func(int, *http.Request) (*http.Response, error) { return reply(200, "}{") },
		"cut JSON":    func(int, *http.Request) (*http.Response, error) { return reply(200, `{"failures": [], "req`) },
		"no request":  func(int, *http.Request) (*http.Response, error) { return reply(200, `{"failures": []}`) },
		"429":         func(int, *http.Request) (*http.Response, error) { return reply(429, "slow down") },
		"reset":       func(int, *http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET },
		"refused":     func(int, *http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED },
		"broken body": func(int, *http.Request) (*http.Response, error) { return brokenBody(), nil },
		"no answer": func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, rt := inMemory(t, func(n int, r *http.Request) (*http.Response, error) {
					if n >= 1 && n <= 6 {
						return failure(n, r)
					}
					return states("pending", "", "", "", "", "", "", "processing", "done")(n, r)
				})
				retries := 0
				r, err := c.Wait(t.Context(), sampleRef, &client.WaitOptions{OnRetry: func(error, time.Duration) { retries++ }})
				if err != nil || r.State != client.StateDone {
					t.Fatalf("got %v, %v", r, err)
				}
				if retries != 6 {
					t.Errorf("%d retries, want 6", retries)
				}
				for i := 1; i < len(rt.at); i++ {
					if d := rt.at[i].Sub(rt.at[i-1]); d < time.Second {
						t.Errorf("poll %d came %s after the one before", i, d)
					}
				}
			})
		})
	}
}

func brokenBody() *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: 100,
		Body: io.NopCloser(io.MultiReader(strings.NewReader(`{"fail`), errReader{}))}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestWait_givesUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer transport
		opts   client.WaitOptions
		within time.Duration
		is     error
		text   string
	}{
		{name: "nothing but failure", within: 31 * time.Minute, is: client.ErrTransient, text: "given up",
			answer: func(int, *http.Request) (*http.Response, error) { return reply(502, "") }},
		{name: "impatient", opts: client.WaitOptions{MaxOutage: 10 * time.Second}, within: 11 * time.Second,
			is:     client.ErrTransient,
			answer: func(int, *http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET }},
		{name: "a longer Retry-After than the limit", opts: client.WaitOptions{MaxOutage: time.Minute}, within: time.Second,
			text:   "1h0m0s",
			answer: func(int, *http.Request) (*http.Response, error) { return reply(503, "", "Retry-After", "3600") }},
		{name: "unknown request", within: time.Second, is: client.ErrNotFound,
			answer: func(int, *http.Request) (*http.Response, error) {
				return reply(200, `{"failures":[{"reason":"REQUEST:NOT_FOUND"}]}`)
			}},
		{name: "a failure nobody knows", within: time.Second, text: "MOON:FULL",
			answer: func(int, *http.Request) (*http.Response, error) {
				return reply(200, `{"failures":[{"reason":"MOON:FULL"}]}`)
			}},
		{name: "the caller's deadline", within: time.Hour, is: context.DeadlineExceeded, answer: states("processing")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, _ := inMemory(t, tt.answer)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				began := time.Now()
				_, err := c.Wait(ctx, sampleRef, &tt.opts)
				if err == nil || (tt.is != nil && !errors.Is(err, tt.is)) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("got %v, want %v with %q", err, tt.is, tt.text)
				}
				if took := time.Since(began); took > tt.within {
					t.Errorf("took %s, want at most %s", took, tt.within)
				}
			})
		})
	}
}

func TestWait_isPolite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// Eight hours of one state.
		began := time.Now()
		c, rt := inMemory(t, func(int, *http.Request) (*http.Response, error) {
			if time.Since(began) > 8*time.Hour {
				return state("done")
			}
			return state("processing")
		})
		if _, err := c.Wait(t.Context(), sampleRef, nil); err != nil {
			t.Fatal(err)
		}
		if n := len(rt.at); n > 8*60+100 {
			t.Errorf("%d polls in 8 hours", n)
		}
		if late := time.Since(began) - 8*time.Hour; late > time.Minute {
			t.Errorf("the end was seen %s late", late)
		}
		// A second call keeps its distance from the first.
		if _, err := c.Wait(t.Context(), sampleRef, nil); err != nil {
			t.Fatal(err)
		}
		if d := rt.at[len(rt.at)-1].Sub(rt.at[len(rt.at)-2]); d < time.Second {
			t.Errorf("the second Wait asked %s after the first", d)
		}
	})
}

func TestWait_retryAfter(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"17", "Sat, 01 Jan 2000 00:00:17 GMT"} {
		synctest.Test(t, func(t *testing.T) {
			c, rt := inMemory(t, func(n int, _ *http.Request) (*http.Response, error) {
				if n == 0 {
					return reply(503, "", "Retry-After", header)
				}
				return state("done")
			})
			if _, err := c.Wait(t.Context(), sampleRef, nil); err != nil {
				t.Fatal(err)
			}
			if d := rt.at[1].Sub(rt.at[0]); d < 17*time.Second {
				t.Errorf("Retry-After: %s: asked again after %s", header, d)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// SERVER:ERROR on create means that nothing was made: it may be tried again. A lost answer may not.
		c, rt := inMemory(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n < 3 {
				return reply(200, `{"failures":[{"reason":"SERVER:ERROR"}]}`)
			}
			return nil, syscall.ECONNRESET
		})
		err := client.Retry(t.Context(), nil, func(ctx context.Context) error {
			_, err := c.Create(ctx, client.CreateParams{}, nil)
			return err
		})
		if !errors.Is(err, client.ErrUncertain) || len(rt.at) != 4 {
			t.Errorf("got %v after %d calls, want ErrUncertain after 4", err, len(rt.at))
		}
	})
}
