package mockserver_test

import (
	"testing"

	"github.com/upgrademock/upgrademock/internal/apidoc"
)

func TestAPI(t *testing.T) { apidoc.Check(t) }
