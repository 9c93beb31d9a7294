package mockserver

import (
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// handleUpload takes a dump: the body, byte for byte, whatever its Content-Type says (docs/fidelity.md, section 4).
func (s *Server) handleUpload(c *call) answer {
	fails := c.fails
	if fails == nil {
		fails = c.request.MayUpload()
	}
	if fails != nil {
		s.discardBody(c)
		return refused(fails...)
	}
	upload, stop := s.receive(c)
	if stop != nil {
		return *stop
	}
	snapshot, fails := c.request.Upload(upload)
	if fails != nil {
		return refused(fails...)
	}
	c.note(&snapshot)
	s.uploaded(snapshot.ID)
	return answer{}
}

// handleUpgrade is create, upload and process in one call (row 6.6).
func (s *Server) handleUpgrade(c *call) answer {
	params := createParams(&c.params)
	if contract := strings.TrimSpace(params.Contract); params.Filename == "" && contract != "" {
		params.Filename = contract + ".sql"
	}
	if fails := s.platform.Check(params); fails != nil {
		s.discardBody(c)
		return refused(fails...)
	}
	upload, stop := s.receive(c)
	if stop != nil {
		return *stop
	}
	snapshot, fails := s.platform.Upgrade(params, c.params.get("postgresql"), upload)
	if fails != nil {
		return refused(fails...)
	}
	s.keys.Add(snapshot.Key)
	s.uploaded(snapshot.ID)
	c.whole.Snapshot = snapshot
	return s.describe(c)
}

func (s *Server) uploaded(id int64) {
	if hook := s.opts.OnUpload; hook != nil {
		hook(id)
	}
}

// copyBuffers are large: bytes go between a socket and a file, and each round costs two system calls.
var copyBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

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
func (s *Server) receive(c *call) (_ *platform.Upload, stop *answer) {
	refuse := func(f platform.Failure) (*platform.Upload, *answer) {
		a := refused(f)
		return nil, &a
	}
	if part := c.r.Header.Get("Content-Range"); part != "" {
		s.discardBody(c)
		c.event.Received = c.bodyRead()
		return refuse(platform.Partial(c.event.Received, completeLength(part), s.shorten(part, maxShown)))
	}
	tooLarge := platform.TooLarge(s.opts.MaxDump, c.r.ContentLength)
	if c.r.ContentLength > s.opts.MaxDump {
		s.discardBody(c)
		return refuse(tooLarge)
	}
	upload, err := s.platform.NewUpload()
	if err != nil {
		s.discardBody(c)
		return refuse(platform.ServerError("The dump can not be stored", err))
	}
	buffer := copyBuffers.Get().(*[256 << 10]byte)
	defer copyBuffers.Put(buffer)
	body := s.struckBody(c)
	for {
		n, readErr := body.Read(buffer[:])
		if upload.Size()+int64(n) > s.opts.MaxDump {
			c.event.Received = upload.Size()
			upload.Discard()
			s.discardBody(c)
			return refuse(tooLarge)
		}
		if n > 0 {
			if _, err := upload.Write(buffer[:n]); err != nil {
				c.event.Received = upload.Size()
				upload.Discard()
				s.log.Error("a dump cannot be stored; is the disk full?", "request", c.event.Request, "err", err)
				s.discardBody(c)
				return refuse(platform.ServerError("The dump can not be stored", err))
			}
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			received := upload.Size()
			c.event.Received = received
			upload.Discard()
			if readErr == errStruck {
				s.strikeInBody(c)
				return nil, &answer{sent: true}
			}
			c.w.Header().Set("Connection", "close")
			return refuse(platform.Incomplete(received, c.r.ContentLength, readErr))
		}
	}
	c.event.Received = upload.Size()
	c.event.Checksum = upload.Checksum()
	return upload, nil
}
