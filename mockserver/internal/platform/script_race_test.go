package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// All calls may come at the same time, also while requests are wiped and forgotten; no file is left that belongs to
// none.
func TestScript_concurrently(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), following(scenario.DefaultScript()))
	var wg sync.WaitGroup
	for client := range 5 {
		wg.Go(func() {
			for i := range 10 {
				params := scriptParams()
				params.Contract = fmt.Sprintf("M%d", client%2)
				s, fails := p.CreateScript(params)
				if fails != nil {
					t.Error(fails)
					return
				}
				if r, fails := p.FindToken(s.Key); fails == nil { // nobody has forgotten it yet
					wholeWay(t, r)
				}
				if i%4 == 3 {
					p.Wipe(params.Contract, s.Key)
				}
				if i%5 == 4 {
					err := p.Reset(func(_ int64, contract string) bool { return contract == params.Contract })
					if err != nil {
						t.Error(err)
					}
				}
				p.All()
				p.Evaluate()
			}
		})
	}
	wg.Wait()
	p.background.Wait()
	noLeaks(t, p)
}

// wholeWay goes the way of an upgrade as far as that is possible, while others wipe and forget.
func wholeWay(t *testing.T, r *Request) {
	u, err := r.BeginUpload()
	if err != nil {
		return
	}
	if err := u.Root().WriteFile("origin.sql", []byte("SELECT 1;"), 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := ending(u, true, []TreeFile{{Name: "origin.sql", Size: 9, Sent: 9}}); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		return
	}
	if _, fails := r.Process(); fails != nil {
		return
	}
	for range 3 {
		r.Status()
		if _, _, err := r.Log(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	files, release, err := r.Results()
	if err != nil {
		return
	}
	_, _ = fs.ReadFile(files, r.DumpName())
	if err := release(); err != nil {
		t.Error(err)
	}
}
