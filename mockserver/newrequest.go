package mockserver

import (
	"cmp"
	"fmt"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// NewRequest is a request that exists from the start; see Options.Requests. The zero value is a request in
// state draft with the parameters of the documented sample.
type NewRequest struct {
	// Contract, Email, Target, Aim, Filename and Timezone are the parameters of create. "" is M123456-abcdef,
	// john.doe@example.com, the last of the valid targets, test, db_name.dump, and no time zone.
	Contract, Email, Target, Aim, Filename, Timezone string
	// Dump is the complete dump that was uploaded; nil means that none was.
	Dump []byte
	// Process begins the upgrade, which then follows the request's scenario. It needs a Dump that is not empty.
	Process bool
	// State, if not "", is a state to put the request in, as Server.SetState does, with the keys in Set.
	State string
	Set   map[string]any
}

// makeRequests makes the requests of the options, unless the data directory has any.
func makeRequests(p *platform.Platform, opts *Options) error {
	if len(opts.Requests) == 0 || len(p.All()) > 0 {
		return nil
	}
	for i, n := range opts.Requests {
		if err := makeRequest(p, opts, n); err != nil {
			return badOption("Requests", "number %d: %w", i+1, err)
		}
	}
	return nil
}

func makeRequest(p *platform.Platform, opts *Options, n NewRequest) error {
	if err := checkSet(platform.APIDatabase, n.Set); err != nil {
		return err
	}
	target := n.Target
	if valid := opts.Targets; target == "" && len(valid) > 0 {
		target = valid[len(valid)-1]
	}
	snapshot, fails := p.Create(platform.CreateParams{
		Contract: cmp.Or(n.Contract, "M123456-abcdef"), Email: cmp.Or(n.Email, "john.doe@example.com"),
		Target: target, Aim: cmp.Or(n.Aim, "test"),
		Filename: cmp.Or(n.Filename, "db_name.dump"), Timezone: n.Timezone,
	})
	if fails != nil {
		return fails
	}
	r, ok := p.Get(snapshot.ID)
	if !ok {
		return fmt.Errorf("%w: %d", ErrNoRequest, snapshot.ID)
	}
	if n.Dump != nil {
		if err := storeDump(p, r, n.Dump, opts.MaxDump); err != nil {
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
	_, err := r.Force(n.State, n.Set)
	return err
}

func storeDump(p *platform.Platform, r *platform.Request, dump []byte, maxDump int64) error {
	if int64(len(dump)) > maxDump {
		return platform.Failures{p.TooLarge(int64(len(dump)))}
	}
	upload, err := p.NewUpload()
	if err != nil {
		return err
	}
	if _, err := upload.Write(dump); err != nil {
		upload.Discard()
		return err
	}
	if _, fails := r.Upload(upload); fails != nil {
		return fails
	}
	return nil
}
