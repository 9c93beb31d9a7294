package conformance

import "errors"

// The errors of [Run] and [Replay] for a run in which no check was made.
var (
	// ErrProduction is returned for a URL that does not lead to this machine without Options.Production,
	// and with it for options that a shared platform must not be asked with.
	ErrProduction = errors.New("this may be a shared platform")

	// ErrURL is returned for a URL that is not a server's: see [BaseURL].
	ErrURL = errors.New("the URL is not a server's")

	// ErrNoServer is returned if what is at the target's URL is not this API, or nothing is there.
	ErrNoServer = errors.New("no Database Upgrade API")

	// ErrScheme is returned if the server speaks https and the target's URL says http, or the reverse.
	ErrScheme = errors.New("the server speaks the other of http and https")

	// ErrCertificate is returned if the server's certificate is not signed by an authority of Options.RootCAs.
	ErrCertificate = errors.New("the server's certificate is not trusted")

	// ErrContract is returned if the server does not know the target's contract.
	ErrContract = errors.New("the server does not know the contract")
)
