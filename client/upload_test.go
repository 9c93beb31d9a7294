package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/upgrademock/upgrademock/client"
)

func TestUpload_progress(t *testing.T) {
	t.Parallel()
	dump := noise(3 << 20)
	var got bytes.Buffer
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(&got, r.Body)
		_, _ = io.WriteString(w, `{"failures": []}`)
	}))
	defer srv.Close()
	var last client.Progress
	err := newClient(t, srv.URL).Upload(t.Context(), sampleRef, bytes.NewReader(dump), int64(len(dump)),
		&client.UploadOptions{Progress: func(p client.Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), dump) {
		t.Error("another dump arrived")
	}
	if want := (client.Progress{Done: 3 << 20, Total: 3 << 20}); last != want {
		t.Errorf("last progress %+v, want %+v", last, want)
	}
}

func TestUpload_errors(t *testing.T) {
	t.Parallel()
	broken := errors.New("bad sector")
	end := make(chan struct{}) // servers close after it, and wait for their handlers
	var ended sync.WaitGroup
	t.Cleanup(func() { close(end); ended.Wait() })
	tests := []struct {
		name    string
		handler http.HandlerFunc
		dump    io.Reader
		size    int64
		is      []error
		isNot   []error
	}{
		{name: "the dump cannot be read", dump: iotest.ErrReader(broken), size: 10, is: []error{broken},
			isNot: []error{client.ErrTransient}},
		{name: "the dump is shorter", dump: strings.NewReader("abc"), size: 10, is: []error{client.ErrChanged},
			isNot: []error{client.ErrTransient}},
		{name: "refused before the body", size: 1 << 30, dump: io.LimitReader(zeros{}, 1<<30),
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"failures": [{"reason": "STATE:INVALID"}]}`)
			}, is: []error{client.ErrInvalidState}},
		{name: "cut in the middle", size: 8 << 20, dump: io.LimitReader(zeros{}, 8<<20),
			handler: func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(io.Discard, r.Body, 64<<10)
				panic(http.ErrAbortHandler)
			}, is: []error{client.ErrTransient, client.ErrUncertain}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := tt.handler
			if h == nil {
				h = func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
			}
			srv := httptest.NewServer(h)
			ended.Go(func() { <-end; srv.Close() })
			c, err := client.New(srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err = c.Upload(ctx, sampleRef, tt.dump, tt.size, nil)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.is {
				if !errors.Is(err, want) {
					t.Errorf("%v is not: %v", err, want)
				}
			}
			for _, no := range tt.isNot {
				if errors.Is(err, no) {
					t.Errorf("%v is: %v", err, no)
				}
			}
			if strings.Contains(err.Error(), "Aw7p") {
				t.Errorf("%q holds the key", err)
			}
		})
	}
}

// TestUpload_stalls: a server that takes nothing for StallTimeout has broken the upload. The time is not the clock's.
func TestUpload_stalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := client.New("http://platform.invalid", &client.Options{StallTimeout: time.Minute, HTTPClient: &http.Client{
			Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				_, _ = io.CopyN(io.Discard, r.Body, 64<<10)
				<-r.Context().Done()
				return nil, r.Context().Err()
			})}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = c.Upload(t.Context(), sampleRef, io.LimitReader(zeros{}, 64<<20), 64<<20, nil)
		if !errors.Is(err, client.ErrTransient) || !errors.Is(err, client.ErrUncertain) || time.Since(began) != time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
