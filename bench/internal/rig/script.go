//go:build linux

package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Script is a request of the script API as its client knows it.
type Script struct {
	ID    int64  `json:"request_id"`
	Token string `json:"token"`

	e *Emulator
}

// CreateScript makes a request whose transfers the public key opens.
func (e *Emulator) CreateScript(ctx context.Context, publicKey []byte) (Script, error) {
	s := Script{e: e}
	err := s.call(ctx, "create", map[string]any{
		"contract": "M123456-abcdef", "target": "17.0", "aim": "test", "actuator": "cli", "api_version": "0.2",
		"env_vars": []string{}, "ssh_key": string(publicKey),
	}, &s)
	return s, err
}

// Transfer begins an upload or a download, and returns the port of its SSH server and, of a download, the dump's name.
func (s Script) Transfer(ctx context.Context, kind string) (port int, dump string, err error) {
	var answer struct {
		Port int    `json:"ssh_port"`
		Dump string `json:"dump_name"`
	}
	err = s.call(ctx, "transfer/start", map[string]any{"token": s.Token, "transfer_type": kind}, &answer)
	return answer.Port, answer.Dump, err
}

// Stop ends the transfer.
func (s Script) Stop(ctx context.Context) error {
	return s.call(ctx, "transfer/stop", map[string]any{"token": s.Token}, nil)
}

// Finish has the upload processed, and polls until the result is there.
func (s Script) Finish(ctx context.Context) error {
	if err := s.call(ctx, "process", map[string]any{"token": s.Token}, nil); err != nil {
		return err
	}
	for {
		var answer struct{ Status, Reason string }
		if err := s.call(ctx, "status", map[string]any{"token": s.Token}, &answer); err != nil {
			return err
		}
		switch answer.Status {
		case "done":
			return nil
		case "pending", "progress":
		default:
			return fmt.Errorf("the upgrade is %s: %s", answer.Status, answer.Reason)
		}
	}
}

// call makes a call and decodes its result into value, unless that is nil. A failure in either form is an error.
func (s Script) call(ctx context.Context, name string, params, value any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "not_used", "id": "not_used", "params": params})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.e.URL+"/upgrade/request/"+name, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct{ Result, Error json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s: %w", name, resp.Status, err)
	}
	var failed struct{ Error string }
	if json.Unmarshal(answer.Result, &failed) != nil || failed.Error != "" || answer.Error != nil {
		return fmt.Errorf("%s: %s%s", name, answer.Result, answer.Error)
	}
	if value == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, value)
}
