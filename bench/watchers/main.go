//go:build linux

// Command watchers does to an emulator what open tabs of its live page do, without a browser: half of them look at
// everything, the others at a request each. When each is open, it says so, and goes on until it is killed.
//
//	watchers [-pages 50] http://127.0.0.1:8480/_mock
//
// What a tab asks for, and when, follows live.js of the page.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"time"
)

func main() {
	pages := flag.Int("pages", 50, "how `many`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := watch(ctx, flag.Arg(0), *pages); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "watchers:", err)
		os.Exit(1)
	}
}

func watch(ctx context.Context, base string, pages int) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	transport := &http.Transport{MaxIdleConnsPerHost: 4 * pages}
	var all, ready sync.WaitGroup
	ready.Add(pages)
	for i := range pages {
		p := &page{base: base, http: &http.Client{Transport: transport}, ready: sync.OnceFunc(ready.Done)}
		all.Go(func() {
			if err := p.open(ctx, i); err != nil {
				stop(err)
			}
		})
	}
	go func() {
		ready.Wait()
		fmt.Println("ready")
	}()
	all.Wait()
	return context.Cause(ctx)
}

// page is a tab.
type page struct {
	base   string
	http   *http.Client
	chosen int64 // the request that it shows; 0 is everything
	events chan []byte
	ready  func()
}

func (p *page) open(ctx context.Context, number int) error {
	for _, file := range []string{"/", "/page/app.js", "/page/live.js", "/page/style.css", "/page/vendor/preact.js"} {
		if err := p.get(ctx, file, nil); err != nil {
			return err
		}
	}
	var about struct{ Last uint64 }
	if err := p.get(ctx, "/about", &about); err != nil {
		return err
	}
	if number%2 == 1 {
		var list struct{ Requests []struct{ ID int64 } }
		if err := p.get(ctx, "/requests?view=brief&order=newest&limit=50", &list); err != nil {
			return err
		}
		p.chosen = list.Requests[number%len(list.Requests)].ID
	}
	failed := make(chan error, 1)
	p.events = make(chan []byte, 100)
	go func() { failed <- p.follow(ctx, about.Last) }()
	came, changed, began, looks := 0, false, time.Now(), 0
	for {
		wait := 2 * time.Second
		if came > 0 {
			wait = min(2*time.Second, max(200*time.Millisecond, time.Duration(came)*60*time.Millisecond))
		}
		select {
		case err := <-failed:
			return err
		case line := <-p.events:
			came++
			changed = changed || !bytes.Contains(line, []byte(`"on":"status"`))
			continue
		case <-time.After(time.Until(began.Add(wait))):
		}
		looks++
		if err := p.look(ctx, came > 0, changed || looks%5 == 0); err != nil {
			return err
		}
		came, changed, began = 0, false, time.Now()
	}
}

// look asks again for what is shown: what polls change, and the rest.
func (p *page) look(ctx context.Context, polled, changed bool) error {
	paths := []string{"/about"}
	if changed || polled && p.chosen != 0 {
		paths = append(paths, "/requests?view=brief&order=newest&limit=50")
	}
	of := "/requests/" + strconv.FormatInt(p.chosen, 10)
	if p.chosen != 0 && (polled || changed) {
		paths = append(paths, of+"?view=hidden", of+"/timeline")
	}
	if p.chosen != 0 && changed {
		paths = append(paths, of+"/files", "/verify?request="+strconv.FormatInt(p.chosen, 10))
	}
	for _, path := range paths {
		if err := p.get(ctx, path, nil); err != nil {
			return err
		}
	}
	return nil
}

// follow reads the events as they come.
func (p *page) follow(ctx context.Context, since uint64) error {
	path := "/events?limit=500"
	if p.chosen != 0 {
		path += "&request=" + strconv.FormatInt(p.chosen, 10)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Last-Event-ID", strconv.FormatUint(since, 10))
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	p.ready()
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("the events end: %w", err)
		}
		if bytes.HasPrefix(line, []byte("data: ")) {
			select {
			case p.events <- bytes.Clone(line[:min(len(line), 100)]):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func (p *page) get(ctx context.Context, path string, value any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(path + ": " + resp.Status)
	}
	if value != nil {
		return json.NewDecoder(resp.Body).Decode(value)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
