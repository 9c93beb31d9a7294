package transfer_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/transfer"
)

// Shutdown lets a session end by itself, and takes no other.
func TestShutdown(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	key := newIdentity(t)
	r := b.request(key)
	port := b.start(r, platform.Uploading).Port
	client := b.mustDial(port, key)
	s, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, _ := s.StdinPipe()
	out, _ := s.StdoutPipe()
	if err := s.Start(upload); err != nil {
		t.Fatal(err)
	}
	down := make(chan struct{})
	go func() {
		defer close(down)
		b.Shutdown(t.Context())
	}()
	wantRefused(t, port)
	if _, err := b.Start(r, platform.Uploading); !errors.Is(err, transfer.ErrClosed) {
		t.Errorf("Start: %v, want ErrClosed", err)
	}
	in.Write([]byte("still here"))
	in.Close()
	if got, err := io.ReadAll(out); err != nil || string(got) != "still here" {
		t.Errorf("the session has answered %q, %v", got, err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("the session: %v", err)
	}
	b.journal.await(t, 1, "rsync.upload")
	client.Close()
	<-down
}

// Shutdown ends what has not ended in time.
func TestShutdown_late(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	key := newIdentity(t)
	session := b.hold(b.start(b.request(key), platform.Uploading).Port, key)
	late, cancel := context.WithCancel(t.Context())
	cancel()
	b.Shutdown(late)
	if err := session.Wait(); err == nil {
		t.Error("the session has ended well")
	}
}
