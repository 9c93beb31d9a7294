package conformancetest_test

import (
	"testing"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/conformancetest"
)

// Judge a server in a test of its own. The server listens at url.
func ExampleRun() {
	url := "http://127.0.0.1:8480"
	_ = func(t *testing.T) {
		conformancetest.Run(t, conformance.Target{URL: url, Contract: "M123456-abcdef"}, nil)
	}
}
