package api

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

// Downloads are the URLs below /database/<region>/{id}/{key}/ that hand out files, by their path
// (docs/fidelity.md, section 8). Failures of scenarios are written by fail.
func (a *API) Downloads(fail func(*Call, error)) map[string]http.HandlerFunc {
	handlers := make(map[string]http.HandlerFunc)
	for path, handle := range map[string]func(*Call) (any, error){
		"original/archive": a.archive((*platform.Request).Original),
		"original/sql":     a.sql((*platform.Request).Original),
		"upgraded/archive": a.archive((*platform.Request).Upgraded),
		"upgraded/sql":     a.sql((*platform.Request).UpgradedSQL),
		"upgraded/notes":   a.notes,
		"modules/archive":  a.modules,
	} {
		handlers[path] = a.URL(scenario.OnDownload, handle, fail)
	}
	return handlers
}

// URL answers a URL of a request. Handle returns a Content; failures of scenarios are written by fail.
func (a *API) URL(on string, handle func(*Call) (any, error), fail func(*Call, error)) http.HandlerFunc {
	return a.Serve(Endpoint{
		On: on, Methods: []string{http.MethodGet, http.MethodHead},
		Read: readURL,
		Handle: func(c *Call) (any, error) {
			if c.SendsGarbage() {
				return Content(func() { c.Send(http.StatusOK, "application/octet-stream", nil) }), nil
			}
			return handle(c)
		},
		Write: func(c *Call, value any, err error) {
			if err != nil {
				fail(c, err)
			} else {
				value.(Content)()
			}
		},
	})
}

// Content writes what a URL hands out.
type Content func()

func readURL(c *Call) error {
	vars := mux.Vars(c.R)
	shown := "/database/" + c.api.Region + "/" + vars["id"] + "/" + redact.Short(vars["key"]) + "/" + vars["url"]
	c.Event.Path = Shorten(shown, 2*maxShown)
	c.ForRequest(platform.Ref{ID: vars["id"], Key: vars["key"]})
	if c.Request == nil {
		return c.NotFound("there is no request with this id and key")
	}
	return nil
}

// cannot is the answer where there is nothing to hand out, the same for every file (rows 8.1, 8.2, 8.6).
func (c *Call) cannot(err error) error {
	c.Event.Why = err.Error()
	switch {
	case errors.Is(err, platform.ErrNoContent):
		return c.NotFound(err.Error())
	case errors.Is(err, platform.ErrUnreadable): // for good: what would be tried again finds the same
		return Text(http.StatusNotFound, "404 the uploaded dump can not be read\n\n"+err.Error())
	case errors.Is(err, platform.ErrBusy):
		answer := Text(http.StatusServiceUnavailable, "503 too many dumps are being unpacked, try again later")
		answer.Header.Set("Retry-After", "30")
		return answer
	case c.R.Context().Err() != nil: // the client has gone
		panic(http.ErrAbortHandler)
	}
	c.api.Logger.Error("a file cannot be handed out", "request", c.Event.Request, "err", err)
	return Text(http.StatusInternalServerError, "500 internal server error")
}

// archive hands out a file as it is, in parts if asked (row 8.3).
func (a *API) archive(open func(*platform.Request) (*platform.Content, error)) func(*Call) (any, error) {
	return func(c *Call) (any, error) {
		content, err := open(c.Request)
		if err != nil {
			return nil, c.cannot(err)
		}
		c.Event.Why = content.Why
		return Content(func() {
			defer content.Close()
			h := c.W.Header()
			h.Set("Content-Type", "application/octet-stream")
			h.Set("Content-Disposition", attachment(content.Name))
			h.Set("ETag", content.ETag)
			http.ServeContent(&c.W, c.R, "", content.ModTime, io.NewSectionReader(content, 0, content.Size))
		}), nil
	}
}

// sql streams the SQL text (row 8.6). It has no size until it has been made, so there is no Range.
func (a *API) sql(open func(*platform.Request) (*platform.Content, error)) func(*Call) (any, error) {
	return func(c *Call) (any, error) {
		content, err := open(c.Request)
		if err != nil {
			return nil, c.cannot(err)
		}
		c.Event.Why = content.Why
		sql, err := content.SQL(c.R.Context())
		if err != nil {
			content.Close()
			return nil, c.cannot(err)
		}
		return Content(func() {
			defer content.Close()
			defer sql.Close()
			h := c.W.Header()
			h.Set("Content-Type", "application/sql")
			h.Set("Content-Disposition", attachment(strings.TrimSuffix(content.Name, path.Ext(content.Name))+".sql"))
			c.W.WriteHeader(http.StatusOK)
			if c.R.Method == http.MethodHead {
				return
			}
			if _, err := c.W.ReadFrom(sql); err != nil {
				// The client must not take half a database for a whole one.
				c.Event.Why = fmt.Sprintf("the SQL stream broke off: %v", err)
				panic(http.ErrAbortHandler)
			}
		}), nil
	}
}

// notes are a page, unless the scenario names a file.
func (a *API) notes(c *Call) (any, error) {
	return c.scriptedOr((*platform.Request).Notes, "text/html; charset=utf-8", func(snapshot platform.Snapshot) {
		c.WritePage("Upgrade notes", Format(`<p>The database of request %d was upgraded to version %s.</p>
<p>This emulator upgrades nothing: unless its scenario says otherwise, what you download is what you uploaded.</p>`,
			snapshot.ID, snapshot.Target))
	})
}

// emptyZip is an archive without files: its end-of-directory record alone.
const emptyZip = "PK\x05\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// modules are the custom modules: an empty archive (assumed), unless the scenario names one.
func (a *API) modules(c *Call) (any, error) {
	return c.scriptedOr((*platform.Request).Modules, "application/zip", func(snapshot platform.Snapshot) {
		c.W.Header().Set("Content-Disposition", attachment("modules.zip"))
		c.W.Header().Set("Content-Type", "application/zip")
		http.ServeContent(&c.W, c.R, "", snapshot.CreatedAt, strings.NewReader(emptyZip))
	})
}

// scriptedOr hands out the file that a scenario names, or else what the emulator has of its own; nothing before
// the request is done.
func (c *Call) scriptedOr(open func(*platform.Request) (*platform.Content, error), contentType string,
	own func(platform.Snapshot)) (any, error) {
	content, err := open(c.Request)
	if err != nil {
		return nil, c.cannot(err)
	}
	if content != nil {
		c.Event.Why = content.Why
		return Content(func() {
			defer content.Close()
			c.W.Header().Set("Content-Type", contentType)
			http.ServeContent(&c.W, c.R, "", content.ModTime, io.NewSectionReader(content, 0, content.Size))
		}), nil
	}
	return Content(func() { own(c.Request.Snapshot()) }), nil
}

func attachment(name string) string {
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}
