package mockserver_test

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// started is a running emulator for the examples; tests use mockservertest.New.
func started(opts *mockserver.Options) *mockserver.Server {
	srv, err := mockserver.New(opts)
	if err != nil {
		log.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		log.Fatal(err)
	}
	return srv
}

// exampleClient stands for the program under test: it creates a request, uploads, has it processed, and polls.
type exampleClient struct {
	base   string
	params url.Values
}

func (c *exampleClient) call(method string) map[string]any {
	resp, err := http.Post(c.base+"/database/v1/"+method+"?"+c.params.Encode(), "application/octet-stream",
		strings.NewReader("-- a dump\n"))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Failures []map[string]any
		Request  map[string]any
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	if len(answer.Failures) > 0 {
		return answer.Failures[0]
	}
	return answer.Request
}

func (c *exampleClient) uploadAndProcess() {
	c.params = url.Values{"contract": {"M123456-abcdef"}, "email": {"john.doe@example.com"}, "target": {"8.0"},
		"aim": {"test"}, "filename": {"db.dump"}}
	request := c.call("create")
	c.params = url.Values{"request": {fmt.Sprint(request["id"])}, "key": {request["key"].(string)}}
	c.call("upload")
	c.call("process")
}

// Developers testing an integration offline: the whole documented way, in milliseconds.
func Example() {
	srv := started(nil)
	defer srv.Close()

	client := exampleClient{base: srv.URL()}
	client.uploadAndProcess()
	for range 3 {
		fmt.Println(client.call("status")["state"])
	}
	// Output:
	// pending
	// processing
	// done
}

// The API of today's platform, which the upgrade script uses, is served beside the other one. A request that has its
// database from the start needs no rsync; here the upgrade fails, and says why.
func Example_script() {
	srv := started(&mockserver.Options{
		Requests: []mockserver.NewRequest{{API: mockserver.APIScript, Dump: []byte("-- a dump\n"), Process: true}},
		Scenarios: []*scenario.Scenario{{
			Name: "fails", When: scenario.When{"api": mockserver.APIScript},
			Steps: []scenario.Step{
				{State: "progress", For: scenario.For{Polls: 1}},
				{State: "failed", Set: map[string]any{"reason": "A view is broken."}},
			},
		}},
	})
	defer srv.Close()

	call := fmt.Sprintf(`{"jsonrpc": "2.0", "method": "not_used", "id": 1, "params": {"token": %q}}`,
		srv.Requests()[0].Key)
	for range 2 {
		resp, err := srv.Client().Post("https://upgrade.odoo.com/upgrade/request/status", "application/json",
			strings.NewReader(call))
		if err != nil {
			log.Fatal(err)
		}
		var answer struct {
			Result struct{ Status, Reason string }
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Printf("%s %q\n", answer.Result.Status, answer.Result.Reason)
	}
	// Output:
	// progress ""
	// failed "A view is broken."
}

// CI verifying a client: does it keep polling through trouble, and leave the platform time? The verdict names
// what is wrong.
func ExampleServer_Verify() {
	script, err := scenario.Parse("patience", []byte(`
name: patience
faults: [{on: status, times: 1, failure: {reason: "SERVER:ERROR", message: "try again"}}]
expect: {calls: {process: 1, status: ">=4"}}
`))
	if err != nil {
		log.Fatal(err)
	}
	srv := started(&mockserver.Options{Scenarios: []*scenario.Scenario{script}})
	defer srv.Close()

	client := exampleClient{base: srv.URL()}
	client.uploadAndProcess()
	client.call("status") // and gives up
	for _, v := range srv.Verify(journal.Filter{}) {
		fmt.Println(v.Expect, v.Verdict)
		if v.Verdict == mockserver.Fail {
			fmt.Println("  wanted", v.Wanted)
			fmt.Println(" ", v.Hint)
		}
	}
	// Output:
	// calls.process pass
	// calls.status fail
	//   wanted status >=4 times
	//   a good client does not give up after one status
}

// Teams reproducing what production answered: a scenario as a Go value, and eight hours that pass at once.
func ExampleServer_Advance() {
	srv := started(&mockserver.Options{
		Clock: new(mockserver.ManualClock),
		Scenarios: []*scenario.Scenario{{
			Name: "invalid-after-hours",
			Steps: []scenario.Step{
				{State: "processing", For: scenario.For{Duration: 8 * time.Hour}},
				{State: "invalid", Set: map[string]any{"customer_message": "The dump has no base module."}},
			},
		}},
	})
	defer srv.Close()

	client := exampleClient{base: srv.URL()}
	client.uploadAndProcess()
	fmt.Println(client.call("status")["state"])
	if _, err := srv.Advance(8 * time.Hour); err != nil {
		log.Fatal(err)
	}
	request := client.call("status")
	fmt.Println(request["state"], request["elapsed"], request["customer_message"])
	// Output:
	// processing
	// invalid 08:00 The dump has no base module.
}

// Wrappers of the upgrade script, tested against what goes wrong: the script's calls are refused in both of the ways
// in which it is told of a failure, and the third one gets its token.
func ExampleOptions_scenarios() {
	srv := started(&mockserver.Options{Scenarios: []*scenario.Scenario{{
		Name: "contract-trouble",
		When: scenario.When{"api": scenario.APIScript, "contract": "M1*"},
		Faults: []scenario.Fault{
			{On: scenario.OnScriptCreate, Times: 1, Failure: &scenario.Failure{
				Message: "The contract has expired.", Form: scenario.FormResult,
			}},
			{On: scenario.OnScriptCreate, Times: 1, Failure: &scenario.Failure{
				Message: "Another request is running.", Form: scenario.FormError,
			}},
		},
	}}})
	defer srv.Close()

	const call = `{"jsonrpc": "2.0", "method": "not_used", "id": "not_used", "params": {"contract": "M123456-abcdef",
		"target": "18.0", "aim": "test", "actuator": "cli", "api_version": "0.2", "env_vars": [],
		"ssh_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH0VBWEtJeJCHfJC9KrEvsqGBS4YmljRW/BAAIyyyY36"}}`
	for range 3 {
		resp, err := http.Post(srv.URL()+"/upgrade/request/create", "application/json", strings.NewReader(call))
		if err != nil {
			log.Fatal(err)
		}
		var answer struct {
			Result struct{ Error, Token string }
			Error  struct{ Data struct{ Message string } }
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q %q %d\n", answer.Result.Error, answer.Error.Data.Message, len(answer.Result.Token))
	}
	// Output:
	// "The contract has expired." "" 0
	// "" "Another request is running." 0
	// "" "" 58
}
