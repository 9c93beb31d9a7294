//go:build !unix

package mockserver_test

import "errors"

func limitFileSize() error { return errors.ErrUnsupported }
