package mockservertest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// upgradeMyDatabase stands for the program under test.
func upgradeMyDatabase(client *http.Client, platform string) error {
	resp, err := client.Get(platform + "/database/v1/create?contract=M123456-abcdef&…")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// The program under test keeps its production URL. The test fails if it gives up when polls are answered with
// SERVER:ERROR, which it would be told to repeat.
func Example() {
	_ = func(t *testing.T) { // func TestUpgrade(t *testing.T)
		srv := mockservertest.New(t, &mockserver.Options{Scenarios: mockservertest.Scenarios(t, "server-error-for-a-while")})
		if err := upgradeMyDatabase(srv.Client(), "https://upgrade.odoo.com"); err != nil {
			t.Error(err)
		}
	}
}

// A request that exists from the start needs no call to make it.
func ExampleNew_requests() {
	_ = func(t *testing.T) { // func TestStatus(t *testing.T)
		srv := mockservertest.New(t, &mockserver.Options{Requests: []mockserver.NewRequest{{State: "invalid"}}})
		r := srv.Requests()[0]
		resp, err := srv.Client().Get(fmt.Sprintf("https://upgrade.odoo.com/database/v1/status?request=%d&key=%s", r.ID,
			r.Key))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
}
