package client

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// errWrongProtocol means that the server does not speak TLS.
var errWrongProtocol = errors.New("the server does not speak TLS there; " +
	"if it is meant so, write http:// instead of https://")

// TrustError reports a TLS certificate that is not trusted. A certificate authority is trusted by Options.RootCAs.
type TrustError struct {
	Host        string            // with the port, if the URL has one
	Certificate *x509.Certificate // the server's own
	Err         error             // what crypto/x509 found
}

// Error describes the certificate in one line.
func (e *TrustError) Error() string {
	c := e.Certificate
	return fmt.Sprintf("the TLS certificate of %s is not trusted: %v. "+
		"It is for %s, issued by %s, valid from %s to %s, SHA-256 %s. "+
		"If that is right, its authority must be trusted",
		e.Host, strings.TrimPrefix(e.Err.Error(), "x509: "), certNames(c), c.Issuer,
		c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly), fingerprint(c.Raw))
}

// Unwrap returns e.Err.
func (e *TrustError) Unwrap() error { return e.Err }

func certNames(c *x509.Certificate) string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return c.Subject.String()
	}
	return strings.Join(names, ", ")
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// timeoutError means that an exchange took longer than it may. Unlike the caller's own deadline, it is transient.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("no answer within %s", e.after) }
func (e *timeoutError) Timeout() bool { return true }

// explain returns a transport's error without the URL, which may hold the key, and with what to do about it.
func explain(err error, u *url.URL) error {
	var ue *url.Error
	for errors.As(err, &ue) {
		err = ue.Err
	}
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	switch {
	case errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0:
		return &TrustError{Host: u.Host, Certificate: verify.UnverifiedCertificates[0], Err: verify.Err}
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%s: %w", u.Host, errWrongProtocol)
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("the host %q has no address: %w; is the URL right?", u.Hostname(), err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s: %w; is the URL right, is the server up?", u.Host, err)
	}
	return fmt.Errorf("%s: %w", u.Host, err)
}
