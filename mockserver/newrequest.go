package mockserver

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	gossh "golang.org/x/crypto/ssh"
)

// NewRequest is a request that exists from the start; see Options.Requests. The zero value is a request of the database
// API, in state draft, with the parameters of the documented sample.
type NewRequest struct {
	// API is the API over which it was made, APIDatabase (also "") or APIScript. One of the script API begins in state
	// new.
	API string
	// Contract, Email, Target, Aim, Filename and Timezone are the parameters of create. "" is M123456-abcdef,
	// john.doe@example.com, the last of the valid targets, test, db_name.dump, and no time zone. Without Options.Targets,
	// the script API's Target is 18.0. It has no Email and no Timezone, and calls the dump "origin" with the ending of
	// Filename.
	Contract, Email, Target, Aim, Filename, Timezone string
	// SSHKey is the line of the public key for transfers of the script API; "" is one to which nobody has the private
	// key.
	SSHKey string
	// Dump is the complete dump that was uploaded; nil means that none was.
	Dump []byte
	// Process begins the upgrade, which then follows the request's scenario. It needs a Dump that is not empty.
	Process bool
	// State, if not "", is a state to put the request in, as Server.SetState does, with the keys in Set.
	State string
	Set   map[string]any
}

// makeRequests makes the requests of the options, unless the data directory has any.
func (s *Server) makeRequests() error {
	if len(s.opts.Requests) == 0 || len(s.platform.All()) > 0 {
		return nil
	}
	for i, n := range s.opts.Requests {
		if err := s.makeRequest(n); err != nil {
			return badOption("Requests", "number %d: %w", i+1, err)
		}
	}
	return nil
}

func (s *Server) makeRequest(n NewRequest) error {
	n.API = cmp.Or(n.API, APIDatabase)
	if n.API != APIDatabase && n.API != APIScript {
		return fmt.Errorf("unknown API %q: choose %s or %s", n.API, APIDatabase, APIScript)
	}
	if err := checkSet(n.API, n.Set); err != nil {
		return err
	}
	n.Contract, n.Aim = cmp.Or(n.Contract, "M123456-abcdef"), cmp.Or(n.Aim, "test")
	n.Filename = cmp.Or(n.Filename, "db_name.dump")
	create, store := s.createDatabase, s.storeDump
	if n.API == APIScript {
		create, store = s.createScript, s.storeTree
	}
	snapshot, err := create(n)
	if err != nil {
		return err
	}
	r, ok := s.platform.Get(snapshot.ID)
	if !ok {
		return fmt.Errorf("%w: %d", ErrNoRequest, snapshot.ID)
	}
	if n.Dump != nil {
		if size := int64(len(n.Dump)); size > s.opts.MaxDump {
			return platform.Failures{s.platform.TooLarge(size)}
		}
		if err := store(r, n); err != nil {
			return err
		}
	}
	if n.Process {
		if _, fails := r.Process(); fails != nil {
			return fails
		}
	}
	if n.State == "" {
		return nil
	}
	_, err = r.Force(n.State, n.Set)
	return err
}

func (s *Server) createDatabase(n NewRequest) (platform.Snapshot, error) {
	target := n.Target
	if valid := s.opts.Targets; target == "" && len(valid) > 0 {
		target = valid[len(valid)-1]
	}
	snapshot, fails := s.platform.Create(platform.CreateParams{
		Contract: n.Contract, Email: cmp.Or(n.Email, "john.doe@example.com"), Target: target, Aim: n.Aim,
		Filename: n.Filename, Timezone: n.Timezone,
	})
	if fails != nil {
		return snapshot, fails
	}
	return snapshot, nil
}

func (s *Server) createScript(n NewRequest) (platform.Snapshot, error) {
	if n.Target == "" {
		n.Target = "18.0"
		if valid := s.scriptTargets; len(valid) > 0 {
			n.Target = valid[len(valid)-1]
		}
	}
	if n.SSHKey == "" {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return platform.Snapshot{}, err
		}
		key, err := gossh.NewPublicKey(public)
		if err != nil {
			return platform.Snapshot{}, err
		}
		n.SSHKey = string(gossh.MarshalAuthorizedKey(key))
	}
	snapshot, fails := s.platform.CreateScript(platform.ScriptParams{
		Contract: n.Contract, Target: n.Target, Aim: n.Aim, Actuator: "cli", APIVersion: "0.2", SSHKey: n.SSHKey,
	})
	if fails != nil {
		return snapshot, fails
	}
	return snapshot, nil
}

// storeTree makes the dump one that came over rsync.
func (s *Server) storeTree(r *platform.Request, n NewRequest) error {
	ending := path.Ext(n.Filename)
	if strings.HasSuffix(n.Filename, ".sql.gz") {
		ending = ".sql.gz"
	}
	upload, err := r.BeginUpload()
	if err != nil {
		return err
	}
	file := platform.TreeFile{Name: "origin" + ending, Size: int64(len(n.Dump)), Sent: int64(len(n.Dump))}
	written := upload.Root().WriteFile(file.Name, n.Dump, 0o600)
	upload.Note(file, false)
	_, err = upload.End(written == nil, nil)
	return errors.Join(written, err)
}

func (s *Server) storeDump(r *platform.Request, n NewRequest) error {
	upload, err := s.platform.NewUpload()
	if err != nil {
		return err
	}
	if _, err := upload.Write(n.Dump); err != nil {
		upload.Discard()
		return err
	}
	if _, fails := r.Upload(upload); fails != nil {
		return fails
	}
	return nil
}
