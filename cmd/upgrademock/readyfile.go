package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/upgrademock/upgrademock/internal/proxy"
	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver"
)

// ready is the ready file. Other programs read it: its keys do not change.
type ready struct {
	URL            string `json:"url"`
	HTTPSURL       string `json:"https_url"`
	ScriptURL      string `json:"script_url"` // for UPGRADE_SERVER_NAME
	SFTPHost       string `json:"sftp_host"`
	SFTPPort       int    `json:"sftp_port"`
	AdminURL       string `json:"admin_url"`
	CAFile         string `json:"ca_file"`
	KnownHostsFile string `json:"known_hosts_file"`
	PID            int    `json:"pid"`
	ProxyURL       string `json:"proxy_url,omitempty"` // with --proxy only
}

func readyOf(srv *mockserver.Server, front *proxy.Proxy) (ready, error) {
	r := ready{
		URL: srv.URL(), HTTPSURL: srv.HTTPSURL(), ScriptURL: srv.HTTPSURL(), AdminURL: srv.AdminURL(),
		PID: os.Getpid(),
	}
	if front != nil {
		r.ProxyURL = front.URL()
	}
	if addr := srv.SFTPAddr(); addr != "" {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return r, err
		}
		r.SFTPHost = host
		if r.SFTPPort, err = strconv.Atoi(port); err != nil {
			return r, err
		}
		if r.KnownHostsFile, err = filepath.Abs(srv.KnownHostsFile()); err != nil {
			return r, err
		}
	}
	var err error
	r.CAFile, err = filepath.Abs(srv.CAFile())
	return r, err
}

// writeReadyFile makes the file appear whole, or not at all. It replaces an empty file and a ready file, nothing else.
func writeReadyFile(path string, srv *mockserver.Server, front *proxy.Proxy) error {
	r, err := readyOf(srv, front)
	if err == nil {
		err = replaceReadyFile(path, r)
	}
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

func replaceReadyFile(path string, r ready) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := readReady(root, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; it stays as it is: choose another file", err)
	}
	return safefile.Replace(root, filepath.Base(path), append(data, '\n'), 0o644)
}

// readReady reads the ready file at path, which is in root; an empty file has not been written yet.
func readReady(root *os.Root, path string) (r ready, err error) {
	data, err := safefile.Read(root, filepath.Base(path), 1<<20)
	if err != nil || len(data) == 0 {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil || r.PID == 0 || r.CAFile == "" {
		return r, fmt.Errorf("%s is no ready file", path)
	}
	return r, nil
}

// removeReadyFile removes the file, unless another emulator has written it meanwhile.
func removeReadyFile(path string) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return
	}
	defer root.Close()
	if r, err := readReady(root, path); err == nil && r.PID == os.Getpid() {
		root.Remove(filepath.Base(path))
	}
}
