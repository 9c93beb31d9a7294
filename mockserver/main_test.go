package mockserver_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also lets this binary be the emulator that a test kills or starves: see child_test.go.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(beChild())
	}
	// After a call whose headers were too long, net/http waits half a second before it closes the connection,
	// Close or not.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}
