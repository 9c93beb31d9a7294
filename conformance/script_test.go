package conformance_test

import (
	"crypto/x509"
	"os"
	"testing"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// The emulator passes every check of the script API over HTTP and HTTPS.
func TestScript_mock(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, nil, mockservertest.AllowUnknownCalls, mockservertest.AllowUnmetExpectations)
	pem, err := os.ReadFile(srv.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for _, url := range []string{srv.URL(), srv.HTTPSURL()} {
		rep := judged(t, conformance.Target{URL: url, Contract: contract},
			&conformance.Options{API: conformance.APIScript, Level: conformance.LevelAssumed, RootCAs: pool})
		for _, res := range rep.Results {
			if res.Verdict == conformance.Skip {
				t.Logf("%s: %s", res.ID, res.Message)
			}
		}
	}
}
