//go:build !unix

package rsync_test

import (
	"errors"
	"os"
	"testing"
)

// makeSpecial makes nothing: there are no special files.
func makeSpecial(testing.TB, string) {}

// awaitHangup fails: it is not needed here.
func awaitHangup(*os.File) error { return errors.ErrUnsupported }
