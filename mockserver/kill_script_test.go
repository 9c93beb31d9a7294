package mockserver_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
)

// scriptAccount is what one client of the script API knows, until the emulator was killed.
type scriptAccount struct {
	seed     uint64
	dir      string // for the dumps, and for what is downloaded
	signer   ssh.Signer
	requests []*scriptKnown
	answers  int
}

// scriptKnown is what the client knows of one request.
type scriptKnown struct {
	ref              client.ScriptRef
	dump             string // the directory
	files            map[string]string
	sent             bool // the upload was answered
	asked, processed bool // process was called, and answered
}

// transfer gives up when a connection breaks.
func (a *scriptAccount) transfer() *client.ScriptTransferOptions {
	return &client.ScriptTransferOptions{
		Signers: []ssh.Signer{a.signer},
		Retry:   &client.RetryOptions{Min: time.Millisecond, Max: time.Millisecond, Limit: time.Millisecond},
	}
}

// script returns the client's side of the script API. The server may have another address than in the life before.
func (a *scriptAccount) script(w *wire) (script *client.Script, done func(), err error) {
	c, err := client.New(w.httpsBase, &client.Options{HTTPClient: w.http})
	if err != nil {
		return nil, nil, err
	}
	script, err = c.Script()
	return script, func() { c.Close() }, err
}

// live makes requests and sends dumps until the emulator is gone.
func (a *scriptAccount) live(w *wire, began chan<- struct{}) {
	script, done, err := a.script(w)
	if err == nil {
		defer done()
		err = a.round(w.Context(), script, 0)
	}
	began <- struct{}{}
	if err != nil {
		w.Errorf("the first round of a script: %v", err)
	}
	for round := 1; err == nil; round++ {
		err = a.round(w.Context(), script, round)
	}
}

func (a *scriptAccount) round(ctx context.Context, script *client.Script, n int) error {
	made, err := script.Create(ctx, client.ScriptParams{
		Contract: "M123456-abcdef", Target: "8.0", Aim: "test", SSHKey: a.signer.PublicKey(),
	}, nil)
	if err != nil {
		return err
	}
	a.answers++
	r := &scriptKnown{ref: made.Ref(), dump: filepath.Join(a.dir, strconv.Itoa(n))}
	if r.files, err = a.write(r.dump, n); err != nil {
		return err
	}
	a.requests = append(a.requests, r)
	if _, err := a.upload(ctx, script, r.ref, r); err != nil {
		return err
	}
	a.answers++
	if n%2 == 1 {
		return nil // one that stays new
	}
	r.asked = true
	if _, err := script.Process(ctx, r.ref); err != nil {
		return err
	}
	a.answers++
	r.processed = true
	return nil
}

// write makes a dump in PostgreSQL's directory format, as far as the emulator looks into it.
func (a *scriptAccount) write(dir string, n int) (map[string]string, error) {
	files := map[string]string{"toc.dat": "PGDMP\x01\x0e\x00\x04\x08\x03"}
	for i := range 4 {
		files[fmt.Sprintf("%d.dat", 3000+i)] = string(pattern(30_000+10_000*i, a.seed*1000+uint64(n*10+i)))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (a *scriptAccount) upload(ctx context.Context, script *client.Script, ref client.ScriptRef, r *scriptKnown,
) (*client.Transferred, error) {
	dump, err := client.OpenScriptDump(r.dump)
	if err != nil {
		return nil, err
	}
	moved, err := script.Upload(ctx, ref, dump, a.transfer())
	if err == nil {
		r.sent = true
	}
	return moved, err
}

// check holds the next life against what the last one answered: a token stays good, files that were sent are not sent
// again, and the upgraded dump is the one that was sent.
func (a *scriptAccount) check(w *wire) {
	script, done, err := a.script(w)
	if err != nil {
		w.Fatal(err)
	}
	defer done()
	for _, r := range a.requests {
		r.ref.Host = ""
		if err := a.checkOne(w, script, r); err != nil {
			w.Errorf("request %s of a script (sent %t, process asked %t, answered %t): %v", r.ref.ID, r.sent, r.asked,
				r.processed, err)
		}
	}
}

func (a *scriptAccount) checkOne(w *wire, script *client.Script, r *scriptKnown) error {
	status, err := script.Status(w.Context(), r.ref)
	if err != nil {
		return err
	}
	if status.State == client.ScriptNew {
		if r.processed {
			return errors.New("it is new again after process")
		}
		before := r.sent
		moved, err := a.upload(w.Context(), script, r.ref, r)
		if err != nil {
			return err
		}
		if before && (moved.Files > 0 || moved.Skipped != len(r.files)) {
			return fmt.Errorf("%d files were sent again, and %d skipped, of a complete dump", moved.Files, moved.Skipped)
		}
		if _, err := script.Process(w.Context(), r.ref); err != nil {
			return err
		}
	} else if !r.asked {
		return fmt.Errorf("it is %s without process", status.State)
	}
	for polls := 0; status.State != client.ScriptDone; polls++ {
		if polls == 100 {
			return fmt.Errorf("it is %s after %d polls", status.State, polls)
		}
		if status, err = script.Status(w.Context(), r.ref); err != nil {
			return err
		}
		switch status.State {
		case client.ScriptPending, client.ScriptProgress, client.ScriptDone:
		default:
			return fmt.Errorf("it is %s: %s", status.State, status.Reason)
		}
	}
	into := r.dump + "-upgraded"
	if err := os.Mkdir(into, 0o700); err != nil {
		return err
	}
	got, err := script.Download(w.Context(), r.ref, into, a.transfer())
	if err != nil {
		return err
	}
	files := make(map[string]string)
	for name := range r.files {
		text, err := os.ReadFile(filepath.Join(got.Dump, name))
		if err != nil {
			return err
		}
		files[name] = string(text)
	}
	if !maps.Equal(files, r.files) {
		return errors.New("the upgraded dump is not the one that was sent")
	}
	return nil
}
