//go:build !unix

package mockserver_test

import "errors"

func limitFileSize(uint64) error { return errors.ErrUnsupported }
