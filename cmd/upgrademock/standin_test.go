//go:build unix

package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The stand-in for the upgrade script, where no platform is needed.
func TestStandin_usage(t *testing.T) {
	t.Parallel()
	testscript.Run(t, scripts("testdata/standin"))
}
