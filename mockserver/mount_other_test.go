//go:build unix && !linux

package mockserver_test

import "errors"

func mountSmall(string, int) error { return errors.ErrUnsupported }
