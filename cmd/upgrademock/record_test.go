package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestRecordCommands runs what makes and takes recordings.
func TestRecordCommands(t *testing.T) {
	t.Parallel()
	testscript.Run(t, scripts("testdata/record"))
}
