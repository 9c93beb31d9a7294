package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
)

// An upgrade over HTTPS, until it is done.
func Example() {
	platform := httptest.NewServer(examplePlatform())
	defer platform.Close()
	ctx := context.Background()

	c, err := client.New(platform.URL, nil) // production: client.ProductionURL
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	req, err := c.Create(ctx, client.CreateParams{
		Contract: "M123456-abcdef", Email: "john.doe@example.com", Target: "8.0", Aim: "test", Filename: "db.dump",
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	dump, err := os.Open("testdata/db.dump")
	if err != nil {
		log.Fatal(err)
	}
	defer dump.Close()
	if err := c.Upload(ctx, req.Ref(), dump, -1, nil); err != nil {
		log.Fatal(err)
	}
	if err := c.Process(ctx, req.Ref()); err != nil {
		log.Fatal(err)
	}
	req, err = c.Wait(ctx, req.Ref(), nil)
	if errors.Is(err, client.ErrRejected) {
		log.Fatal(err) // says why
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(req.ID, req.Key, req.State)
	// Output: 10534 [key] done
}

// Retry repeats a call while the platform answers that it is busy.
func ExampleRetry() {
	calls := 0
	opts := &client.RetryOptions{
		Min:     time.Millisecond,
		OnRetry: func(err error, _ time.Duration) { fmt.Println(err) },
	}
	err := client.Retry(context.Background(), opts, func(context.Context) error {
		if calls++; calls < 3 {
			return &client.Error{Op: "status", Status: 503} // in place of a call of a Client
		}
		return nil
	})
	fmt.Println(calls, err)
	// Output:
	// client: status: HTTP status 503 Service Unavailable
	// client: status: HTTP status 503 Service Unavailable
	// 3 <nil>
}

// The platform's list of failures says which parameters were wrong.
func ExampleError() {
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"failures": [{"reason": "TARGET:INVALID", "message": "Invalid value", "expected": ["7.0", "8.0"]}]}`)
	}))
	defer platform.Close()
	c, err := client.New(platform.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_, err = c.Create(context.Background(), client.CreateParams{Target: "5.0"}, nil)
	if e, ok := errors.AsType[*client.Error](err); ok {
		for _, f := range e.Failures {
			fmt.Println(f.Reason == client.ReasonTargetInvalid, f.Expected)
		}
	}
	// Output: true [7.0 8.0]
}

// An upgrade by the script API, with a new SSH key for its transfers.
func ExampleScript() {
	ctx := context.Background()
	c, err := client.New(client.ProductionURL, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	script, err := c.Script()
	if err != nil {
		log.Fatal(err)
	}
	dump, err := client.OpenScriptDump("origin.dump") // a file, or a directory that pg_dump -Fd made
	if err != nil {
		log.Fatal(err)
	}
	signer, _, err := client.GenerateSSHKey()
	if err != nil {
		log.Fatal(err)
	}
	req, err := script.Create(ctx, client.ScriptParams{
		Contract: "M123456-abcdef", Target: "18.0", Aim: "test", SSHKey: signer.PublicKey(),
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	transfer := &client.ScriptTransferOptions{Signers: []ssh.Signer{signer}}
	if _, err := script.Upload(ctx, req.Ref(), dump, transfer); err != nil {
		log.Fatal(err)
	}
	if _, err := script.Process(ctx, req.Ref()); err != nil {
		log.Fatal(err)
	}
	// The log of the upgrade goes to the terminal while it grows.
	if _, err := script.Wait(ctx, req.Ref(), &client.ScriptWaitOptions{Log: os.Stderr}); err != nil {
		log.Fatal(err)
	}
	if _, err := script.Download(ctx, req.Ref(), ".", transfer); err != nil {
		log.Fatal(err)
	}
}

// An upload over SFTP logs in with a new key, and trusts the server's key at the first time.
func ExampleClient_UploadSFTP() {
	ctx := context.Background()
	c, err := client.New(client.ProductionURL, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	dump, err := os.Open("db.dump")
	if err != nil {
		log.Fatal(err)
	}
	defer dump.Close()
	info, err := dump.Stat()
	if err != nil {
		log.Fatal(err)
	}
	ref := client.Ref{ID: 10534, Key: "the request's key"}
	signer, _, err := client.GenerateSSHKey()
	if err != nil {
		log.Fatal(err)
	}
	access, err := c.RequestSFTPAccess(ctx, ref, client.AuthorizedKeys(signer.PublicKey()))
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.UploadSFTP(ctx, access, dump, info.Size(), &client.SFTPOptions{
		Signers:  []ssh.Signer{signer},
		HostKeys: &client.HostKeys{Files: []string{"known_hosts"}, Accept: client.AcceptNew},
	})
	if err != nil {
		log.Fatal(err)
	}
}
