package workflow

import (
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
)

// dump makes or finds the dump, and notes what it is.
func (r *scriptRun) dump(ctx context.Context) error {
	s := r.state
	if s.Dump.Path != "" {
		return nil // reconcile has looked at it
	}
	id := ScriptDumpID{Path: absolute(r.Dump)}
	switch {
	case s.Database != "":
		id.Path = filepath.Join(s.Out, ownDump)
		if err := r.pgDump(ctx, id.Path); err != nil {
			return err
		}
	case r.Dump == "-":
		r.step("spooling", "Reading the dump from standard input.", nil)
		spooled, err := spool(ctx, r.Stdin, r.notes, ".spooled")
		if err != nil {
			return err
		}
		id.Path, id.Spooled = spooled.Path, true
	}
	dump, err := client.OpenScriptDump(id.Path)
	if err != nil {
		return err
	}
	id.Size, id.Digest = dump.Size(), dump.Digest()
	s.Dump = id
	r.step("dump", fmt.Sprintf("The dump has %s.", Size(id.Size)), map[string]any{"bytes": id.Size})
	return s.save()
}

// pgDump dumps the database into a folder that gets its name when it is whole. What a killed run has left is removed.
func (r *scriptRun) pgDump(ctx context.Context, to string) error {
	left, _ := filepath.Glob(to + ".*")
	for _, name := range left {
		_ = os.RemoveAll(name)
	}
	_ = os.RemoveAll(to)
	r.step("dumping", fmt.Sprintf("Dumping the database %s.", r.Database), map[string]any{"database": r.Database})
	part := to + "." + randomName()
	if err := r.Postgres.dump(ctx, r.Database, part); err != nil {
		_ = os.RemoveAll(part)
		return err
	}
	return os.Rename(part, to)
}

// signers returns the keys to log in with. A key that is made is noted before the platform learns of it.
func (r *scriptRun) signers() ([]ssh.Signer, error) {
	if r.ssh != nil {
		return r.ssh, nil
	}
	var err error
	switch {
	case r.Signers != nil:
		r.ssh, err = r.Signers()
	case r.state.SSHKey != "":
		var key ssh.Signer
		if key, err = ssh.ParsePrivateKey([]byte(r.state.SSHKey)); err != nil {
			return nil, fmt.Errorf("the SSH key in %s cannot be used: %w", r.state.path, err)
		}
		r.ssh = []ssh.Signer{key}
	case r.state.past(Created):
		return nil, inputError("the SSH key that the request was created with is not known: name it with --ssh-key")
	default:
		var key ssh.Signer
		var text []byte
		if key, text, err = client.GenerateSSHKey(); err == nil {
			block, _ := pem.Decode(text)
			r.state.SSHKey, r.ssh = string(pem.EncodeToMemory(block)), []ssh.Signer{key}
		}
	}
	return r.ssh, err
}

// create makes the request and saves it, after the dump is there.
func (r *scriptRun) create(ctx context.Context) error {
	if r.ConfirmFirst != nil {
		if err := r.ConfirmFirst(); err != nil {
			return err
		}
	}
	if err := r.dump(ctx); err != nil {
		return err
	}
	signers, err := r.signers()
	if err != nil {
		return err
	}
	s, p := r.state, r.Params
	p.SSHKey = signers[0].PublicKey()
	var req *client.ScriptRequest
	err = retryCreate(ctx, r.retryOptions(), func(ctx context.Context) error {
		s.Phase = Creating
		if err := s.prepare(); err != nil {
			return err
		}
		var err error
		req, err = r.script.Create(ctx, p, &client.CreateOptions{BeforeSend: s.Commit})
		if err != nil && !errors.Is(err, client.ErrUncertain) {
			s.Phase = Begun // surely nothing was made
			s.discard()
			return errors.Join(err, s.saveQuickly())
		}
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, client.ErrUncertain):
		return fmt.Errorf("%w. Whether the platform has made a request is not known; "+
			"if it has, nothing comes of it. To try again all the same: --new-request", err)
	default:
		return err
	}
	r.Report.Secret(req.Token)
	s.Request, s.Token, s.Host, s.Phase = req.ID, string(req.Token), req.Host, Created
	// Until the file has its name, a killed process loses the request; so the disk is waited for afterwards.
	if err := cmp.Or(s.saveQuickly(), s.save()); err != nil {
		return fmt.Errorf("request %s was created, but %w", req.ID, err)
	}
	r.step("created", fmt.Sprintf("Request %s created: to %s, aim %s.", req.ID, p.Target, p.Aim), nil)
	if req.Info != "" {
		r.step("info", "The platform says: "+client.Redact(req.Info, req.Token), map[string]any{"info": req.Info})
	}
	return nil
}
