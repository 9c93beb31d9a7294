//go:build !unix

package rsync_test

import "testing"

// makeSpecial makes nothing: there are no special files.
func makeSpecial(testing.TB, string) {}
