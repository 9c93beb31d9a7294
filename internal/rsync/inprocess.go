package rsync

import (
	"context"
	"math/rand/v2"
)

// InProcess returns the engine that needs no program. It speaks version 27 of the protocol, in which times are whole
// seconds and checksums are MD4.
func InProcess() Engine { return engine{inProcess{}} }

type inProcess struct{}

func (inProcess) receive(_ context.Context, u *upload) error {
	if err := u.r.version(); err != nil {
		return err
	}
	seed := rand.Int32()
	if err := u.greetClient(seed); err != nil {
		return err
	}
	if err := u.readList(u.r); err != nil {
		return err
	}
	t, err := newReceiving(u, seed)
	if err != nil {
		return err
	}
	defer t.close()
	// The client sends while it is still being asked for more.
	asked := make(chan error, 1)
	go func() { asked <- u.failed(t.askAll()) }()
	err = u.failed(t.receiveAll())
	if askErr := <-asked; err == nil {
		err = askErr
	}
	return err
}

func (inProcess) send(_ context.Context, d *download) error {
	if err := d.r.version(); err != nil {
		return err
	}
	seed := rand.Int32()
	if err := d.greetClient(seed); err != nil {
		return err
	}
	if err := d.r.noFilters(); err != nil {
		return err
	}
	if err := d.sendList(); err != nil {
		return err
	}
	return newSending(d, seed).sendAll()
}

// greetClient sends what a server sends first: the version of the protocol, and a number that goes into checksums.
func (t *session) greetClient(seed int32) error {
	return t.out.raw(appendInt32(appendInt32(nil, protocolVersion), seed))
}
