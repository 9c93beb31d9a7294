package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"os"

	"github.com/upgrademock/upgrademock/client"
)

// An upgrade over HTTPS, from the request to the upgraded dump.
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
