package control

import (
	"errors"
	"io"
	"net/http"
)

// The calls for programs elsewhere, such as in another container: what they need to trust and to reach the emulator.

func (a api) authority(w http.ResponseWriter, _ *http.Request, _ query) (any, error) {
	return answerText(w, "application/x-pem-file", string(a.Environment.Authority()))
}

func (a api) knownHosts(w http.ResponseWriter, r *http.Request, _ query) (any, error) {
	text, err := a.Environment.KnownHosts(hostName(r.Host))
	if err != nil {
		return nil, err
	}
	if text == "" {
		return nil, problem{http.StatusNotFound, errors.New("there is no SFTP server: its listener is switched off")}
	}
	return answerText(w, "text/plain; charset=utf-8", text)
}

// environment answers lines for a shell, to be evaluated.
func (a api) environment(w http.ResponseWriter, r *http.Request, _ query) (any, error) {
	text, err := a.Environment.KnownHosts(hostName(r.Host))
	if err != nil {
		return nil, err
	}
	lines := a.Environment.Addresses(r).Shell(a.Environment.Authority(), text)
	return answerText(w, "text/x-shellscript; charset=utf-8", lines)
}

func answerText(w http.ResponseWriter, kind, text string) (any, error) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	io.WriteString(w, text)
	return nil, errWritten
}
