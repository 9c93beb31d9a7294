package conformance_test

import (
	"context"
	"fmt"
	"regexp"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/mockserver"
)

// Judge a server, here the emulator, and print what is wrong with it.
func ExampleRun() {
	srv, err := mockserver.New(&mockserver.Options{FailureStatus: 400})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	if err := srv.Start(); err != nil {
		panic(err)
	}
	rep, err := conformance.Run(context.Background(), conformance.Target{URL: srv.URL(), Contract: "M123456-abcdef"},
		&conformance.Options{Level: conformance.LevelAssumed, Run: regexp.MustCompile("^answers/")})
	if err != nil {
		panic(err)
	}
	for _, res := range rep.Results {
		if res.Verdict == conformance.Fail {
			fmt.Println(res.ID, "is wrong by rows", res.Rows)
		}
	}
	fmt.Println(rep.Passed, "passed,", rep.Failed, "failed")
	// Output:
	// answers/failure-200 is wrong by rows [1.7]
	// 8 passed, 1 failed
}
