package mockserver

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/gorilla/mux"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/redact"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// download is the one way of every URL in the answers (docs/fidelity.md, section 8).
func (s *Server) download(on string, serve func(*Server, *call)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := s.begin(on, w, r)
		defer s.end(c)
		vars := mux.Vars(r)
		c.event.Path = shorten("/database/"+s.opts.Region+"/"+vars["id"]+"/"+redact.Short(vars["key"])+"/"+vars["url"], 2*maxShown)
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			c.w.Header().Set("Allow", "GET, HEAD")
			http.Error(&c.w, "405 method not allowed", http.StatusMethodNotAllowed)
			return
		}
		s.identify(c, platform.Ref{ID: vars["id"], Key: vars["key"]})
		if c.request == nil {
			s.notThere(c, errors.New("there is no request with this id and key"))
			return
		}
		if on == scenario.OnDownload {
			if s.strikeFirst(c) {
				return
			}
			if c.fault != nil && c.fault.Garbage {
				s.send(c, http.StatusOK, []string{"application/octet-stream"}, nil)
				return
			}
		}
		serve(s, c)
	}
}

// notThere is the plain 404 that tells nothing (row 8.1); the journal knows why.
func (s *Server) notThere(c *call, why error) {
	c.event.Why = why.Error()
	plainNotFound(&c.w)
}

func plainNotFound(w http.ResponseWriter) { http.Error(w, "404 page not found", http.StatusNotFound) }

// content serves what open opens, or says that it is not there.
func (s *Server) content(c *call, open func(*platform.Request) (*platform.Content, error), serve func(*call, *platform.Content)) {
	content, err := open(c.request)
	switch {
	case err != nil:
		s.cannot(c, err)
	default:
		if content != nil {
			defer content.Close()
			c.event.Why = content.Why
		}
		serve(c, content)
	}
}

// cannot says that there is nothing to hand out, the same way for every file (rows 8.1, 8.2, 8.6).
func (s *Server) cannot(c *call, err error) {
	c.event.Why = err.Error()
	switch {
	case errors.Is(err, platform.ErrNoContent):
		s.notThere(c, err)
	case errors.Is(err, platform.ErrUnreadable): // for good: what would be tried again finds the same
		http.Error(&c.w, "404 the uploaded dump can not be read\n\n"+err.Error(), http.StatusNotFound)
	case errors.Is(err, platform.ErrBusy):
		c.w.Header().Set("Retry-After", "30")
		http.Error(&c.w, "503 too many dumps are being unpacked, try again later", http.StatusServiceUnavailable)
	case c.r.Context().Err() != nil: // the client has gone
		panic(http.ErrAbortHandler)
	default:
		s.log.Error("a file cannot be handed out", "request", c.event.Request, "err", err)
		http.Error(&c.w, "500 internal server error", http.StatusInternalServerError)
	}
}

func (s *Server) serveOriginal(c *call)    { s.content(c, (*platform.Request).Original, s.serveArchive) }
func (s *Server) serveUpgraded(c *call)    { s.content(c, (*platform.Request).Upgraded, s.serveArchive) }
func (s *Server) serveOriginalSQL(c *call) { s.content(c, (*platform.Request).Original, s.serveSQL) }
func (s *Server) serveUpgradedSQL(c *call) { s.content(c, (*platform.Request).UpgradedSQL, s.serveSQL) }

// serveArchive hands out a file as it is, in parts if asked (row 8.3).
func (s *Server) serveArchive(c *call, content *platform.Content) {
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", attachment(content.Name))
	h.Set("ETag", content.ETag)
	http.ServeContent(&c.w, c.r, "", content.ModTime, io.NewSectionReader(content, 0, content.Size))
}

// serveSQL streams the SQL text (row 8.6). It has no size until it has been made, so there is no Range.
func (s *Server) serveSQL(c *call, content *platform.Content) {
	sql, err := content.SQL(c.r.Context())
	if err != nil {
		s.cannot(c, err)
		return
	}
	defer sql.Close()
	h := c.w.Header()
	h.Set("Content-Type", "application/sql")
	h.Set("Content-Disposition", attachment(strings.TrimSuffix(content.Name, path.Ext(content.Name))+".sql"))
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return
	}
	if _, err := c.w.ReadFrom(sql); err != nil {
		// The client must not take half a database for a whole one.
		c.event.Why = fmt.Sprintf("the SQL stream broke off: %v", err)
		panic(http.ErrAbortHandler)
	}
}

func attachment(name string) string {
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}
