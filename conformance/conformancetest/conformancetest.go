// Package conformancetest judges a server from a Go test.
//
//	conformancetest.Run(t, conformance.Target{URL: srv.URL(), Contract: "M123456-abcdef"}, nil)
package conformancetest

import (
	"testing"

	"github.com/upgrademock/upgrademock/conformance"
)

// Run judges the target with [conformance.Run], each check a subtest of t that is called by the check's id.
// A check that fails or could not be judged fails its subtest, and one that was skipped skips it.
// If no check could be made, Run ends t. A nil opts is the same as the zero Options.
func Run(t *testing.T, target conformance.Target, opts *conformance.Options) *conformance.Report {
	t.Helper()
	rep, err := conformance.Run(t.Context(), target, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, res := range rep.Results {
		t.Run(res.ID, func(t *testing.T) {
			switch res.Verdict {
			case conformance.Fail, conformance.Error:
				t.Errorf("%s: %s (%s)", res.Verdict, res.Message, res.Source())
			case conformance.Skip:
				t.Skip(res.Message)
			}
		})
	}
	return rep
}
