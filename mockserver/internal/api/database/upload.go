package database

import (
	"io"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// upload takes a dump: the body, byte for byte, whatever its Content-Type says (docs/fidelity.md, section 4).
func (a *API) upload(c *api.Call) (any, error) {
	if c.Fails != nil {
		return nil, c.Fails
	}
	if fails := c.Request.MayUpload(); fails != nil {
		return nil, fails
	}
	upload, err := a.receive(c)
	if err != nil {
		return nil, err
	}
	snapshot, fails := c.Request.Upload(upload)
	if fails != nil {
		return nil, fails
	}
	c.Note(&snapshot)
	a.Uploaded(snapshot.ID)
	return nil, nil
}

// completeLength is the size that a Content-Range says the whole has, as "bytes 5-9/10" does; -1 where it does not.
func completeLength(contentRange string) int64 {
	_, length, _ := strings.Cut(contentRange, "/")
	n, err := strconv.ParseInt(strings.TrimSpace(length), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// receive stores the call's body. A body that ends early leaves nothing behind (row 4.5).
func (a *API) receive(c *api.Call) (*platform.Upload, error) {
	tooLarge := platform.Failures{a.Platform.TooLarge(c.R.ContentLength)}
	if part := c.R.Header.Get("Content-Range"); part != "" {
		c.Discard()
		c.Event.Received = c.BodyRead()
		return nil, partial(c.Event.Received, completeLength(part), c.Shorten(part))
	}
	if c.R.ContentLength > a.MaxDump {
		return nil, tooLarge
	}
	upload, err := a.Platform.NewUpload()
	if err != nil {
		return nil, platform.Failures{platform.ServerError("The dump can not be stored", err)}
	}
	if err := a.store(c, upload, tooLarge); err != nil {
		c.Event.Received = upload.Size()
		upload.Discard()
		if err == api.ErrFired {
			err = c.TriggerInBody()
		}
		return nil, err
	}
	c.Event.Received = upload.Size()
	c.Event.Checksum = upload.Checksum()
	return upload, nil
}

// store copies the body; the error is what is to be answered.
func (a *API) store(c *api.Call, upload *platform.Upload, tooLarge platform.Failures) error {
	buffer := make([]byte, api.CopyBuffer)
	body := c.Body()
	for {
		n, readErr := body.Read(buffer)
		if upload.Size()+int64(n) > a.MaxDump {
			return tooLarge
		}
		if n > 0 {
			if _, err := upload.Write(buffer[:n]); err != nil {
				a.Logger.Error("a dump cannot be stored; is the disk full?", "request", c.Event.Request, "err", err)
				return platform.Failures{platform.ServerError("The dump can not be stored", err)}
			}
		}
		switch {
		case readErr == io.EOF:
			return nil
		case readErr == api.ErrFired:
			return readErr
		case readErr != nil:
			c.W.Header().Set("Connection", "close")
			return incomplete(upload.Size(), c.R.ContentLength, readErr)
		}
	}
}
