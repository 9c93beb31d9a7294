package conformance

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// BaseURL parses the URL of a server: http or https, a host, and the path before /database/v1 and
// /upgrade, if any.
// The error wraps [ErrURL].
func BaseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" ||
		u.Fragment != "" {
		return nil, fmt.Errorf("%w: %q: want the server's address, as http://127.0.0.1:8480", ErrURL, raw)
	}
	for _, path := range []string{"/database/", "/upgrade/"} {
		if before, _, has := strings.Cut(u.Path+"/", path); has {
			base := *u
			base.Path, base.RawPath = before, ""
			return nil, fmt.Errorf("%w: %q: leave out the path of the methods, which each call adds: want %s",
				ErrURL, raw, base.String())
		}
	}
	return u, nil
}

// fill checks the options and sets the defaults of options and target.
func (o *Options) fill(u *url.URL, t *Target) error {
	level, err := ParseLevel(string(o.Level))
	if err != nil {
		return err
	}
	o.Level = level
	if o.API, err = ParseAPI(string(o.API)); err != nil {
		return err
	}
	if o.Resume != nil {
		o.API = cmp.Or(o.Resume.API, APIDatabase)
	}
	if !o.Production && !Loopback(u) {
		return fmt.Errorf("%w: %s is not on this machine, and Options.Production is false", ErrProduction, u.Host)
	}
	if o.Production {
		if o.Level == LevelAssumed {
			return fmt.Errorf("%w: what is only assumed is never judged there; the level must be observed or "+
				"documented", ErrProduction)
		}
		if t.Email == "" && o.API != APIScript {
			return fmt.Errorf("%w: the database API needs an address of yours, to which it writes", ErrProduction)
		}
		o.Parallel = 1
		if o.Pause == 0 || !Loopback(u) {
			o.Pause = max(o.Pause, time.Second)
		}
	}
	if t.Email == "" {
		t.Email = "john.doe@example.com"
	}
	if t.UnknownContract == "" {
		t.UnknownContract = "M123456-abcxyz"
	}
	if t.Region == "" {
		t.Region = "eu1"
	}
	if o.Wait == 0 && !o.Production {
		o.Wait = 30 * time.Second
	}
	o.Wait = max(o.Wait, 0)
	if o.Timeout == 0 {
		o.Timeout = 10*time.Minute + 2*o.Wait
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = 10 * time.Second
		if o.Production {
			o.CallTimeout = time.Minute
		}
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	return nil
}

// Loopback reports whether the URL leads to this machine, so that [Options.Production] is not needed.
func Loopback(u *url.URL) bool {
	host := u.Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

func (o *Options) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: o.RootCAs, InsecureSkipVerify: o.Insecure, NextProtos: []string{"http/1.1"}}
}
