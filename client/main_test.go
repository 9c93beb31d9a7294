package client_test

import (
	"io"
	"log"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet swallows what a test server says about connections that tests break on purpose.
var quiet = log.New(io.Discard, "", 0)
